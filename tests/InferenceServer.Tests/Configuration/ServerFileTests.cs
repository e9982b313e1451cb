using System.Text;
using System.Text.Json.Nodes;
using InferenceServer.Configuration;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;
using InferenceServer.Tests.Engine.Constraints;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Configuration;

/// <summary>server.json: what is read of it, that every mistake is named with its place, that the schema for editors says the same, and that a change takes effect.</summary>
public sealed class ServerFileTests : IDisposable
{
    private const string Whole = """
        {
          // Comments and trailing commas are how people write.
          "$schema": "./server.schema.json",
          "options": { "port": 8081, "strict": true, "kv-unified": "on", "cors-origin": ["https://a.example", "https://b.example"], "cache-ram": "512MiB" },
          "models": {
            "writer": {
              "model": "hf:owner/repo:Q4_K_M", "aliases": ["gpt-4o", "default"], "options": { "ctx-size": 8192, "cache-type-k": "q8_0", "deterministic": true },
              "sampling": { "temperature": 0.7, "top_k": 40, "stop": "END", "max_tokens": 256, "seed": 7 }, "system": "Be brief.", "pinned": true, "preload": true, "keep-alive": -1,
            },
            "embedder": { "model": "embed" },
          },
          "mcp": { "files": { "command": "npx", "args": ["-y", "x"], "cwd": "..", "tools": ["read"], "approval": ["read"], "timeout": "90s" } },
        }
        """;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("server-file-");

    private string Path => System.IO.Path.Combine(_folder.FullName, "server.json");

    public void Dispose() => _folder.Delete(recursive: true);

    private static ServerConfiguration Read(string json) => ServerFileReader.Read(Encoding.UTF8.GetBytes(json), "server.json");

    [Fact]
    public void Every_member_is_read()
    {
        ServerConfiguration file = Read(Whole);
        Assert.Equal("--port=8081 --strict=true --kv-unified=on --cors-origin=https://a.example,https://b.example --cache-ram=512MiB", string.Join(' ', file.Options.Select(option => $"{option.Name}={string.Join(',', option.Values)}")));
        ConfiguredModel writer = file.Models[0];
        Assert.Equal(("writer", "hf:owner/repo:Q4_K_M", true, true, Timeout.InfiniteTimeSpan), (writer.Name, writer.Source, writer.IsPinned, writer.IsPreloaded, writer.KeepAlive));
        Assert.Equal(["--ctx-size=8192", "--cache-type-k=q8_0", "--deterministic=true"], writer.Arguments);
        ModelSettings settings = writer.Settings;
        Assert.Equal(("Be brief.", 256, 7L, "END"), (settings.System, settings.MaxOutputTokens, settings.Seed, Assert.Single(settings.StopSequences)));
        Assert.Equal([("temperature", 0.7), ("top_k", 40)], settings.Sampling.Select(field => (field.Field.Name, field.Value)));
        Assert.Same(writer, file.Find("GPT-4o:latest"));
        Assert.Equal(("writer", "other"), (file.NameOf("default"), file.NameOf("other")));
        Assert.Null(file.Models[1].KeepAlive);
        Assert.Equal(("npx", TimeSpan.FromSeconds(90), true, true), (file.Mcp["files"].Command, file.Mcp["files"].Timeout, file.Mcp["files"].Approval.Covers("read"), System.IO.Path.IsPathRooted(file.Mcp["files"].Cwd)));
    }

    /// <summary>Each is a mistake, and what must be said of it.</summary>
    public static TheoryData<string, string> Mistakes => new()
    {
        { "{", "line 1" },
        { "{\"mcp\":{\"files\":null}}", "mcp.files must be an object" },
        { "{\"mcp\":{\"files\":{\"tools\":[\"*\"]}}}", "server.json: mcp.files: it needs either 'command' or 'url'" },
        { "{\"mcp\":{\"files\":{\"command\":\"x\",\"tools\":[\"*\"],\"timeout\":\"soon\"}}}", "mcp.files.timeout must be a time such as \"500ms\", \"30s\" or \"5m\"" },
        { "{\"mcp\":{\"files\":{\"command\":\"x\",\"tools\":[\"*\"],\"approval\":\"often\"}}}", "mcp.files.approval must be \"never\", \"always\" or an array of tools' names" },
        { "{\"mcp\":{\"files\":{\"comand\":\"x\"}}}", "mcp.files.comand: there is no member 'comand'" },
        { "[]", "an object" },
        { "{\"model\":{}}", "no member 'model'" },
        { "{\n\"models\":{\"a\":{\"model\":\"m\",\"pined\":true}}}", "line 2: models.a.pined: there is no member 'pined'" },
        { "{\"models\":{\"a\":{}}}", "'model' is required" },
        { "{\"models\":{\"a\":{\"model\":7}}}", "models.a.model must be a text" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"pinned\":\"yes\"}}}", "models.a.pinned must be true or false" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"aliases\":\"b\"}}}", "models.a.aliases must be an array of texts" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"keep-alive\":\"5m\"}}}", "models.a.keep-alive must be an integer" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"keep-alive\":-2}}}", "models.a.keep-alive must be an integer from -1" },
        { "{\"models\":{\"a\":{\"model\":\"m\"},\"a\":{\"model\":\"n\"}}}", "twice" },
        { "{\"models\":{\"a\":{\"model\":\"m\"},\"b\":{\"model\":\"m\",\"aliases\":[\"A\"]}}}", "models.b is called 'A', and so is 'a'" },
        { "{\"models\":{\"a b\":{\"model\":\"m\"}}}", "models.a b is no name for a model" },
        { "{\"models\":{\"a\":{\"model\":\"hf:only\"}}}", "models.a.model: 'hf:only' is no model of Hugging Face" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"options\":{\"ctx-size\":1}}}}", "models.a.options.ctx-size: --ctx-size must be an integer from 256" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"options\":{\"port\":1}}}}", "models.a.options.port is an option of the whole server" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"options\":{\"ctx\":1}}}}", "models.a.options.ctx is no option" },
        { "{\"options\":{\"config\":\"x\"}}", "options.config is no option" },
        { "{\"options\":{\"port\":{}}}", "options.port must be a text, a number, true or false" },
        { "{\"options\":{\"strict\":\"on\"}}", "options.strict must be true or false" },
        { "{\"options\":{\"backend\":\"abacus\"}}", "options.backend: --backend must be one of" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"sampling\":{\"temperature\":-1}}}}", "models.a.sampling.temperature must be a number from 0" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"sampling\":{\"top_k\":1.5}}}}", "models.a.sampling.top_k must be an integer" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"sampling\":{\"heat\":1}}}}", "models.a.sampling.heat is no field of sampling; there are temperature" },
        { "{\"models\":{\"a\":{\"model\":\"m\",\"sampling\":{\"stop\":[\"\"]}}}}", "models.a.sampling.stop must be a text" },
    };

    [Theory]
    [MemberData(nameof(Mistakes))]
    public void A_mistake_is_named_with_its_place(string json, string said)
    {
        ServerFileException error = Assert.Throws<ServerFileException>(() => Read(json));
        Assert.StartsWith("server.json", error.Message, StringComparison.Ordinal);
        Assert.Contains(said, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("System.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_schema_for_editors_accepts_what_the_server_does_and_finds_what_it_can_of_the_mistakes()
    {
        JsonObject schema = JsonNode.Parse(ServerFileSchema.Write())!.AsObject();
        schema.Remove("$schema");
        string text = schema.ToJsonString(), plain = JsonNode.Parse(Whole, documentOptions: new() { CommentHandling = System.Text.Json.JsonCommentHandling.Skip, AllowTrailingCommas = true })!.ToJsonString();
        Assert.True(SchemaValidator.IsValid(text, plain));
        // Names that are taken twice, what hangs on other fields, and the hubs' spelling are the server's alone to say.
        string[] unseen = ["twice", "is called", "no name for a model", "is no model of", "--ctx-size", "keep-alive must be an integer from", "either 'command' or 'url'"];
        foreach (object[] mistake in Mistakes)
            if (mistake[0] is string json && json != "{" && !Array.Exists(unseen, said => ((string)mistake[1]).Contains(said, StringComparison.Ordinal)))
                Assert.False(SchemaValidator.IsValid(text, json), json);
    }

    [Fact]
    public void Paths_count_from_the_folder_of_the_file()
    {
        File.WriteAllText(Path, """{"models":{"a":{"model":"./m.gguf","options":{"chat-template":"t.jinja"}},"b":{"model":"chat"},"c":{"model":"hf:o/r:x.gguf"}}}""");
        ServerConfiguration file = ServerFileReader.Load(Path);
        Assert.Equal([System.IO.Path.Combine(_folder.FullName, "./m.gguf"), "chat", "hf:o/r:x.gguf"], file.Models.Select(model => model.Source));
        Assert.Equal($"--chat-template={System.IO.Path.Combine(_folder.FullName, "t.jinja")}", Assert.Single(file.Models[0].Arguments));
        Assert.Contains("cannot be read", Assert.Throws<ServerFileException>(() => ServerFileReader.Load(Path + "x")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_change_takes_effect_and_one_that_is_wrong_changes_nothing()
    {
        FakeTimeProvider clock = new();
        File.WriteAllText(Path, """{"models":{"a":{"model":"m","system":"One."}}}""");
        using LiveConfiguration live = new(ServerFileReader.Load(Path), clock, NullLogger.Instance);
        int told = 0;
        live.Changed = () => told++;
        Write("""{"models":{"a":{"model":"m","system":"Two."},"b":{"model":"n"}}}""");
        Assert.Equal(("Two.", 2, 1, 1L), (live.SettingsOf("a", ModelSettings.None).System, live.Current.Models.Count, told, live.Reloads));
        Write("""{"models":{"a":{"model":"m","system":3}}}""");
        Assert.Equal(("Two.", 1, 1L), (live.SettingsOf("a", ModelSettings.None).System, told, live.FailedReloads));
        // What is gone for a moment, as editors do it, is no change.
        File.Delete(Path);
        clock.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal((2, 1L), (live.Current.Models.Count, live.FailedReloads));
        Write("""{"models":{}}""");
        Assert.Equal((0, 2), (live.Current.Models.Count, told));
        Assert.Equal("As it was.", live.SettingsOf("a", new ModelSettings { System = "As it was." }).System);

        void Write(string json)
        {
            File.WriteAllText(Path, json);
            clock.Advance(TimeSpan.FromSeconds(3));
        }
    }

    [Fact]
    public void What_a_model_file_says_holds_where_server_json_says_nothing()
    {
        ModelSettings own = Read("""{"models":{"a":{"model":"m","sampling":{"temperature":0.1}}}}""").Models[0].Settings;
        ModelSettings others = Read("""{"models":{"a":{"model":"m","system":"S","sampling":{"temperature":0.9,"top_k":5,"stop":["x"]}}}}""").Models[0].Settings;
        InferenceServer.Chat.GenerationOptions options = new InferenceServer.Chat.GenerationOptions { Sampling = SamplingOptions.Default with { TopP = 0.3f }, Given = new HashSet<string> { "top_p" } }.Over(own.Over(others));
        Assert.Equal((0.1f, 5, 0.3f, "x"), (options.Sampling.Temperature, options.Sampling.TopK, options.Sampling.TopP, Assert.Single(options.StopSequences)));
        Assert.Equal("S", own.Over(others).System);
    }
}
