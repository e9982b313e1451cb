using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Mcp;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary><c>tools</c> and <c>tool_choice</c> of a response, which have no <c>function</c> around a function.</summary>
internal static class ResponseToolParser
{
    public static ResponseRequest Read(JsonFields body, ResponseRequest request, List<string> ignored)
    {
        List<ResponseTool> tools = [];
        List<ChatTool> functions = [];
        List<McpAsk> servers = [];
        foreach ((JsonElement value, string path) in body.Array("tools", 0, ToolReader.MaxTools) ?? [])
        {
            JsonFields fields = new(value, path);
            if (fields.RequireString("type") == "mcp")
            {
                McpAsk ask = ResponseMcpReader.Read(fields, ignored);
                if (servers.Exists(other => other.Server == ask.Server))
                    throw RequestProblem.Invalid($"{{where}} names '{ask.Server}' for the second time.", ask.Path, "invalid_value");
                servers.Add(ask);
                tools.Add(new ResponseTool("mcp", ask.Server) { Server = JsonValue.Keep(value, path) });
                continue;
            }

            if (ReadTool(fields, ignored) is not { } tool)
            {
                // Nobody here can run it; the others still can be called.
                ignored.Add(path);
                continue;
            }

            if (functions.Exists(other => other.Name == tool.Name))
                throw RequestProblem.Invalid($"{{where}} names '{tool.Name}' for the second time.", fields.PathOf("name"), "invalid_value");
            tools.Add(tool);
            functions.Add(new ChatTool(tool.Name, tool.Description, tool.Parameters, tool.Strict) { Path = fields.PathOf("parameters") });
        }

        JsonElement? choice = body.Take("tool_choice") is { } chosen ? JsonValue.Keep(chosen, "tool_choice") : null;
        bool parallel = body.Boolean("parallel_tool_calls") ?? true;
        ToolChoice selection = choice is { } given ? ToolReader.ReadChoice(given, [.. functions.Select(tool => tool.Name)], McpUse.Prefixes(servers), isNested: false, ignored) : ToolChoice.Auto;
        return request with
        {
            Tools = tools,
            Mcp = servers,
            ToolChoice = choice,
            ParallelToolCalls = parallel,
            Chat = request.Chat with { Tools = functions, ToolChoice = selection, AllowMultipleToolCalls = parallel },
        };
    }

    /// <summary>Null for a tool of OpenAI's own, such as web_search.</summary>
    private static ResponseTool? ReadTool(JsonFields fields, List<string> ignored)
    {
        string type = fields.RequireString("type");
        if (type == "custom")
        {
            _ = fields.Take("format");
            ResponseTool custom = new("function", ToolReader.ReadName(fields), fields.String("description"), ToolReader.CustomParameters, false);
            fields.Close(ignored);
            return custom;
        }

        if (type != "function")
            return null;
        string name = ToolReader.ReadName(fields);
        JsonElement? parameters = fields.Take("parameters");
        if (parameters is { ValueKind: not JsonValueKind.Object } wrong)
            throw JsonValue.WrongType(wrong, fields.PathOf("parameters"), "an object, a JSON Schema");
        if (!ToolReader.TakeExtras(fields, ["output_schema"], ignored))
            return null;
        ResponseTool tool = new(type, name, fields.String("description"), parameters is { } schema ? JsonValue.Keep(schema, fields.PathOf("parameters")) : null, fields.Boolean("strict") ?? false);
        fields.Close(ignored);
        return tool;
    }
}
