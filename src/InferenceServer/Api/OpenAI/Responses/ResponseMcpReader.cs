using System.Text.Json;
using InferenceServer.Mcp;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>A tool of type <c>mcp</c>: an MCP server of the configuration, which of its tools, and which of them need an approval.</summary>
internal static class ResponseMcpReader
{
    public static McpAsk Read(JsonFields tool, List<string> ignored)
    {
        string server = tool.RequireString("server_label");
        foreach (string name in (ReadOnlySpan<string>)["connector_id", "tunnel_id"])
            if (tool.Take(name) is not null)
                throw RequestProblem.Unsupported(tool.PathOf(name), "MCP servers are those of this server's configuration; name one in 'server_label'.");
        foreach (string name in (ReadOnlySpan<string>)["authorization", "headers"])
            if (tool.Take(name) is { } given && !(given.ValueKind == JsonValueKind.Object && !given.EnumerateObject().Any()))
                throw RequestProblem.Unsupported(tool.PathOf(name), "this server's configuration holds what its MCP servers are to be sent.");
        // The model is told what the tools say of themselves.
        _ = tool.String("server_description");
        string? url = tool.String("server_url");
        (IReadOnlyList<string>? tools, bool readOnly) = tool.Take("allowed_tools") is { } allowed ? ReadTools(allowed, tool.PathOf("allowed_tools"), ignored) : (null, false);
        McpAsk ask = new(server, tool.PathOf(url is null ? "server_label" : "server_url"))
        {
            Url = url,
            Tools = tools,
            ReadOnly = readOnly,
            NeedsApproval = tool.Take("require_approval") is { } approval ? ReadApproval(approval, tool.PathOf("require_approval"), ignored) : static _ => true,
        };
        _ = ToolReader.TakeExtras(tool, [], ignored);
        tool.Close(ignored);
        return ask;
    }

    /// <summary>Names, or a filter.</summary>
    private static (IReadOnlyList<string>? Tools, bool ReadOnly) ReadTools(JsonElement value, string path, List<string> ignored)
    {
        if (value.ValueKind == JsonValueKind.Array)
            return (ReadNames(value, path), false);
        JsonFields filter = new(value, path);
        IReadOnlyList<string>? names = filter.Take("tool_names") is { } given ? ReadNames(given, filter.PathOf("tool_names")) : null;
        bool readOnly = filter.Boolean("read_only") ?? false;
        filter.Close(ignored);
        return (names, readOnly);
    }

    private static List<string> ReadNames(JsonElement value, string path) => JsonFields.Items(value, path, 0, ToolReader.MaxTools).ConvertAll(name => JsonValue.String(name.Value, name.Path));

    /// <summary>A word, or filters. Where they say of some tools that they need none, all others need one.</summary>
    private static Func<McpTool, bool> ReadApproval(JsonElement value, string path, List<string> ignored)
    {
        if (value.ValueKind == JsonValueKind.String)
            return JsonValue.String(value, path) switch
            {
                "always" => static _ => true,
                "never" => static _ => false,
                string other => throw JsonValue.NotOneOf(path, other, ["always", "never"]),
            };
        JsonFields filters = new(value, path);
        Func<McpTool, bool>? always = Filter("always"), never = Filter("never");
        filters.Close(ignored);
        return tool => always?.Invoke(tool) == true || (never is not null ? !never(tool) : always is null);

        Func<McpTool, bool>? Filter(string name)
        {
            if (filters.Take(name) is not { } filter)
                return null;
            (IReadOnlyList<string>? tools, bool readOnly) = ReadTools(filter, filters.PathOf(name), ignored);
            return tool => tools?.Contains(tool.Name) != false && (!readOnly || tool.IsReadOnly);
        }
    }
}
