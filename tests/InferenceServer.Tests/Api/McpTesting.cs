using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Tests.Mcp;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api;

/// <summary>The host as a client of the tests' MCP server, under the name <c>files</c>, with a model that says what the test wrote: one text a round.</summary>
internal sealed class McpHost : IAsyncDisposable
{
    private readonly TempStore _store = new();
    private TestHost? _host;

    private McpHost(TestMcpServer tools, ScriptedEngine engine) => (Tools, Engine) = (tools, engine);

    public TestMcpServer Tools { get; }

    public ScriptedEngine Engine { get; }

    public TestHost Host => _host!;

    /// <summary>The prompts of all rounds, as text.</summary>
    public string[] Prompts => [.. Engine.Submitted.Select(generation => string.Concat(generation.Request.PromptTokens.ToArray().Select(ScriptedVocabulary.Instance.Text)))];

    public static string Call(string tool, string arguments = "{}") => $"<tool_call>\n{{\"name\": \"{tool}\", \"arguments\": {arguments}}}\n</tool_call>";

    /// <param name="entry">The server's, changed as a test needs it.</param>
    /// <param name="rounds">What the model says, round by round; the last is said again.</param>
    public static async Task<McpHost> StartAsync(Action<McpServerEntry> entry, HostedLimits? limits, ModerationGate? moderation, TimeProvider? clock, params string[] rounds)
    {
        TestMcpServer tools = await TestMcpServer.StartAsync();
        McpServerEntry files = tools.Entry;
        entry(files);
        int round = -1;
        ScriptedEngine engine = new()
        {
            Script = reply => reply.SayAsync([.. rounds[Math.Min(Interlocked.Increment(ref round), rounds.Length - 1)].Chunk(9).Select(part => new string(part))]),
        };
        McpHost host = new(tools, engine);
        host._host = await TestHost.StartAsync(engine, clock, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens), store: host._store.Store, moderation: moderation,
            mcp: new Dictionary<string, McpServerEntry> { ["files"] = files, ["down"] = new() { Command = "no-such-program", Tools = ["*"] } }, mcpLimits: limits);
        return host;
    }

    public static Task<McpHost> StartAsync(params string[] rounds) => StartAsync(_ => { }, null, null, null, rounds);

    /// <summary>A call that fails: its status, param, code and message.</summary>
    public async Task<(int Status, string? Param, string? Code, string Message)> FailAsync(string path, string body)
    {
        using HttpResponseMessage answer = await Host.PostAsync(path, body);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.False(answer.IsSuccessStatusCode, text);
        JsonElement error = JsonDocument.Parse(text).RootElement.GetProperty("error");
        return ((int)answer.StatusCode, error.GetProperty("param").GetString(), error.GetProperty("code").GetString(), error.GetProperty("message").GetString()!);
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        await Tools.DisposeAsync();
        await _store.DisposeAsync();
    }
}
