using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Mcp;

namespace InferenceServer.Tests.Mcp;

/// <summary>An entry of the configuration: what is wrong with it is said at the start, by member, and not by the first request.</summary>
public sealed partial class McpServerEntryTests
{
    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
    [JsonSerializable(typeof(McpServerEntry))]
    private sealed partial class Json : JsonSerializerContext;

    private static string? Environment(string name) => name == "TOKEN" ? "s3cret" : null;

    private static McpServerEntry Read(string json) => JsonSerializer.Deserialize(json, Json.Default.McpServerEntry)!;

    [Fact]
    public void An_entry_is_read_with_its_times_approvals_and_limits_and_what_it_leaves_out_has_a_default()
    {
        McpServerEntry entry = Read("""{"command":"npx","args":["-y","x"],"env":{"K":"${env:TOKEN}"},"tools":["read","write"],"approval":["write"],"timeout":"90s","start-timeout":"2m","start":true,"max-tools":5,"max-result":1000}""");
        Assert.Equal((TimeSpan.FromSeconds(90), TimeSpan.FromMinutes(2), true, 5, 1000, 8), (entry.Timeout, entry.StartTimeout, entry.Start, entry.MaxTools, entry.MaxResult, entry.MaxConcurrent));
        Assert.Equal((false, true), (entry.Approval.Covers("read"), entry.Approval.Covers("write")));
        Assert.Null(entry.Validate("files", Environment));
        McpServerEntry least = Read("""{"url":"https://h/mcp","tools":["*"],"approval":"always"}""");
        Assert.Equal((TimeSpan.FromSeconds(30), 64, true), (least.Timeout, least.MaxTools, least.Approval.Covers("anything")));
        Assert.Null(least.Validate("web-1", Environment));
        Assert.Contains("\"timeout\":\"90s\"", JsonSerializer.Serialize(entry, Json.Default.McpServerEntry), StringComparison.Ordinal);
        Assert.Equal(["s3cret"], entry.Secrets(Environment));
    }

    [Theory]
    [InlineData("files", """{"tools":["*"]}""", "mcp.files: it needs either 'command' or 'url'")]
    [InlineData("files", """{"command":"x","url":"http://h","tools":["*"]}""", "mcp.files: it needs either 'command' or 'url'")]
    [InlineData("a__b", """{"command":"x","tools":["*"]}""", "mcp.a__b: its name must be 1 to 32 letters, digits or single '-' and '_'")]
    [InlineData("files", """{"command":" ","tools":["*"]}""", "mcp.files: 'command' must name a program")]
    [InlineData("files", """{"url":"ftp://h","tools":["*"]}""", "mcp.files: 'url' must be an address with http or https, without a user or a password; 'headers' is for these")]
    [InlineData("files", """{"url":"http://u:p@h","tools":["*"]}""", "mcp.files: 'url' must be an address with http or https, without a user or a password; 'headers' is for these")]
    [InlineData("files", """{"url":"http://h","args":["x"],"tools":["*"]}""", "mcp.files: 'args' belongs to a server with 'command'")]
    [InlineData("files", """{"command":"x","headers":{"A":"b"},"tools":["*"]}""", "mcp.files: 'headers' belongs to a server with 'url'")]
    [InlineData("files", """{"command":"x","cwd":"/no/such","tools":["*"]}""", "mcp.files: 'cwd' must be a folder; there is none '/no/such'")]
    [InlineData("files", """{"url":"http://h","headers":{"A b":"c"},"tools":["*"]}""", "mcp.files: 'headers' has no valid name in 'A b'")]
    [InlineData("files", """{"url":"http://h","headers":{"A":"c\nd"},"tools":["*"]}""", "mcp.files: 'headers.A' must be one line, under a name without '='")]
    [InlineData("files", """{"command":"x","env":{"K":"${env:NONE}"},"tools":["*"]}""", "mcp.files: 'env.K' names the environment variable NONE, which is not set")]
    [InlineData("files", """{"command":"x"}""", "mcp.files: 'tools' must list the tools that may be used, or '*' for all")]
    [InlineData("files", """{"command":"x","tools":["*"],"timeout":"0s"}""", "mcp.files: 'timeout' must be above zero and at most 1h; it is 0ms")]
    [InlineData("files", """{"command":"x","tools":["*"],"max-tools":1000}""", "mcp.files: 'max-tools' must be from 1 to 256; it is 1000")]
    [InlineData("files", """{"command":"x","tools":["*"],"max-result":0}""", "mcp.files: 'max-result' must be from 1 to 4194304; it is 0")]
    public void What_is_wrong_is_named(string name, string json, string problem) => Assert.Equal(problem, Read(json).Validate(name, Environment));

    [Theory]
    [InlineData("""{"timeout":"soon"}""")]
    [InlineData("""{"timeout":"99999999999s"}""")]
    [InlineData("""{"timeout":5}""")]
    [InlineData("""{"approval":"sometimes"}""")]
    [InlineData("""{"approval":[1]}""")]
    [InlineData("""{"tool":["x"]}""")]
    public void What_cannot_be_read_is_no_entry(string json) => Assert.Throws<JsonException>(() => Read(json));
}
