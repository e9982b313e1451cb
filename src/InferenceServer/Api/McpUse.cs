using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Mcp;

namespace InferenceServer.Api;

/// <summary>A request's use of MCP servers' tools.</summary>
internal static class McpUse
{
    private const int MaxServers = 16;

    /// <summary><c>mcp</c>: the names of servers whose tools the model may call, run by this server.</summary>
    public static IReadOnlyList<McpAsk> Read(JsonFields body)
    {
        List<McpAsk> asks = [];
        foreach ((JsonElement value, string path) in body.Array("mcp", 0, MaxServers) ?? [])
        {
            string server = JsonValue.String(value, path);
            if (asks.Exists(ask => ask.Server == server))
                throw RequestProblem.Invalid($"{{where}} names '{server}' for the second time.", path, "invalid_value");
            asks.Add(new McpAsk(server, path));
        }

        return asks;
    }

    /// <summary>What the names of tools begin with that these will offer.</summary>
    public static IReadOnlyList<string> Prefixes(IEnumerable<McpAsk> asks) => [.. asks.Select(ask => McpServers.OfferedName(ask.Server, ""))];

    /// <summary>The request with the tools of the servers that it asks for.</summary>
    /// <exception cref="RequestProblem">They cannot be had, or not in such a request.</exception>
    public static async Task<ChatRequest> OfferAsync(this McpServers servers, ChatRequest chat, IReadOnlyList<McpAsk> asks, CancellationToken aborted) =>
        asks.Count == 0 ? chat : With(chat, (await servers.OfferAsync(asks, aborted)).Tools, asks[0].Path);

    /// <param name="path">Where the request asks for them.</param>
    public static ChatRequest With(ChatRequest chat, HostedTools tools, string path)
    {
        if (chat.Options.Choices > 1)
            throw RequestProblem.Invalid("{where} and 'n' above 1 cannot both be given: each reply would run tools of its own.", path, "invalid_value");
        if (chat.ContinuesFinalMessage || !chat.AddGenerationPrompt)
            throw RequestProblem.Invalid(
                "{where} needs a reply that begins a message: neither 'continue_final_message' nor 'add_generation_prompt' false can be given with it.", path, "invalid_value");
        ChatRequest offered = tools.OfferIn(chat);
        if (chat.ToolChoice.Names is not { } names)
            return offered;
        string[] chosen = [.. offered.Tools.Select(tool => tool.Name).Where(name => names.Any(wanted => Means(wanted, name)))];
        return names.FirstOrDefault(wanted => !chosen.Any(name => Means(wanted, name))) is { } missing
            ? throw RequestProblem.Invalid($"{{where}} names '{missing}', which is no tool of this request.", "tool_choice", "invalid_value")
            : offered with { ToolChoice = chat.ToolChoice with { Names = chosen } };
    }

    /// <summary>A whole server is chosen by what its tools' names begin with.</summary>
    private static bool Means(string wanted, string name) =>
        name == wanted || (wanted.EndsWith(McpServers.OfferedName("", ""), StringComparison.Ordinal) && name.StartsWith(wanted, StringComparison.Ordinal));
}
