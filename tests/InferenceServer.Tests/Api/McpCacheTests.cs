using System.Text.Json;
using InferenceServer.Mcp;
using InferenceServer.Tests.Mcp;

namespace InferenceServer.Tests.Api;

/// <summary>A tiny model that is held to call a tool of an MCP server.</summary>
public sealed class ToolUsingServer : TinyServer
{
    private TestMcpServer? _tools;

    internal override async Task<IReadOnlyDictionary<string, McpServerEntry>> McpAsync()
    {
        _tools = await TestMcpServer.StartAsync();
        return new Dictionary<string, McpServerEntry> { ["files"] = _tools.Entry };
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        if (_tools is not null)
            await _tools.DisposeAsync();
    }
}

/// <summary>Rounds on a real engine: the prompt of each holds that of the one before, and is computed once.</summary>
public sealed class McpCacheTests(ToolUsingServer server) : IClassFixture<ToolUsingServer>
{
    [Fact]
    public async Task A_second_round_computes_little_more_than_the_call_and_its_result()
    {
        const string Body = "\"messages\":[{\"role\":\"user\",\"content\":\"Tell me what fails.\"}],\"mcp\":[\"files\"],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"files__fail\"}}";
        JsonElement counted = await server.Host.PostJsonAsync("/v1/chat/completions/input_tokens", $"{{{Body}}}");
        JsonElement whole = await server.Host.PostJsonAsync("/v1/chat/completions", $"{{\"model\":\"{server.Model.Id}\",\"max_tokens\":300,\"seed\":1,{Body}}}");
        Assert.True(whole.GetProperty("choices")[0].GetProperty("message").TryGetProperty("mcp_calls", out JsonElement calls), whole.GetRawText());
        Assert.Equal("No such file.", calls[0].GetProperty("error").GetString());
        JsonElement usage = whole.GetProperty("usage");
        int first = counted.GetProperty("input_tokens").GetInt32(), second = usage.GetProperty("prompt_tokens").GetInt32() - first;
        Assert.True(second > first, "there was no second round");
        Assert.InRange(usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32(), first * 9 / 10, int.MaxValue);
    }
}
