using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Mcp;

namespace InferenceServer.Api;

/// <summary><c>tools</c>, <c>tool_choice</c> and <c>parallel_tool_calls</c>, as OpenAI writes them and others after it.</summary>
internal static class ToolReader
{
    public const int MaxTools = 1024;

    public static ChatRequest Read(JsonFields body, ChatRequest request, List<string> ignored) => Read(body, request, [], [], ignored);

    /// <param name="custom">Gets the names of the tools that are offered as custom.</param>
    /// <param name="others">What the names of tools begin with that are not known yet.</param>
    public static ChatRequest Read(JsonFields body, ChatRequest request, HashSet<string> custom, IReadOnlyList<string> others, List<string> ignored)
    {
        List<ChatTool> tools = [.. (body.Array("tools", 0, MaxTools) ?? []).Select(item => ReadTool(item.Value, item.Path, custom, ignored)).OfType<ChatTool>()];
        HashSet<string> names = NamesOf(tools, i => $"tools[{i}].function.name");
        return request with
        {
            Tools = tools,
            ToolChoice = body.Take("tool_choice") is { } given ? ReadChoice(given, names, others, isNested: true, ignored) : ToolChoice.Auto,
            AllowMultipleToolCalls = body.Boolean("parallel_tool_calls") ?? true,
        };
    }

    /// <summary>The names of functions, each of which may stand there once.</summary>
    /// <param name="pathOf">Where the name of a function by its index stands.</param>
    public static HashSet<string> NamesOf(IReadOnlyList<ChatTool> tools, Func<int, string> pathOf)
    {
        HashSet<string> names = [];
        for (int i = 0; i < tools.Count; i++)
            if (!names.Add(tools[i].Name))
                throw RequestProblem.Invalid($"{{where}} names '{tools[i].Name}' for the second time.", pathOf(i), "invalid_value");
        return names;
    }

    /// <summary>What a custom tool is here: a function with one text as its input.</summary>
    public static JsonElement CustomParameters { get; } =
        JsonDocument.Parse("""{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}""").RootElement;

    /// <summary>The arguments of a call of such a tool.</summary>
    public static string CustomArguments(string input) => $"{{\"input\":\"{JsonEncodedText.Encode(input)}\"}}";

    /// <summary>The input that a call of such a tool has; arguments that were cut off are given as they are.</summary>
    public static string CustomInput(string arguments)
    {
        try
        {
            using JsonDocument read = JsonDocument.Parse(arguments);
            return read.RootElement is { ValueKind: JsonValueKind.Object } call && call.TryGetProperty("input", out JsonElement input) && input.ValueKind == JsonValueKind.String ? input.GetString()! : arguments;
        }
        catch (JsonException)
        {
            return arguments;
        }
    }

    /// <summary>Null for a tool that nobody here can run, such as a search of the web: the others still can, and its path is among the ignored.</summary>
    private static ChatTool? ReadTool(JsonElement value, string path, HashSet<string> names, List<string> ignored)
    {
        JsonFields tool = new(value, path);
        string type = tool.RequireString("type");
        if (type == "custom")
        {
            JsonFields custom = new(tool.Require("custom"), tool.PathOf("custom"));
            ChatTool made = new(ReadName(custom), custom.String("description"), CustomParameters) { Path = tool.PathOf("custom") };
            _ = custom.Take("format");
            custom.Close(ignored);
            tool.Close(ignored);
            names.Add(made.Name);
            return made;
        }

        if (type != "function")
        {
            ignored.Add(path);
            return null;
        }

        JsonFields function = new(tool.Require("function"), tool.PathOf("function"));
        ChatTool read = ReadFunction(function, ignored);
        tool.Close(ignored);
        return read;
    }

    public static ChatTool ReadFunction(JsonFields function, List<string> ignored)
    {
        string name = ReadName(function);
        JsonElement? parameters = function.Take("parameters");
        if (parameters is { ValueKind: not JsonValueKind.Object } wrong)
            throw JsonValue.WrongType(wrong, function.PathOf("parameters"), "an object, a JSON Schema");
        ChatTool read = new(name, function.String("description"), parameters?.Clone(), function.Boolean("strict")) { Path = function.PathOf("parameters") };
        function.Close(ignored);
        return read;
    }

    /// <summary>What a tool may say besides that has no effect here: it is among the ignored.</summary>
    /// <param name="names">Members that no template has a place for.</param>
    /// <returns>False for a tool that only other tools may call, of which there are none.</returns>
    public static bool TakeExtras(JsonFields tool, IReadOnlyList<string> names, List<string> ignored)
    {
        ignored.AddRange(names.Where(name => tool.Take(name) is not null).Select(tool.PathOf));
        if (tool.Boolean("defer_loading") == true)
            ignored.Add(tool.PathOf("defer_loading")); // the model is shown every tool
        List<string> callers = (tool.Array("allowed_callers", 0, 8) ?? []).ConvertAll(caller => JsonValue.String(caller.Value, caller.Path));
        return callers.Count == 0 || callers.Contains("direct");
    }

    /// <summary>A function's name, of what every call format can write and tell from its own signs.</summary>
    public static string ReadName(JsonFields function)
    {
        string name = function.RequireString("name");
        return ChatTool.IsName(name) ? name : throw RequestProblem.Invalid($"{{where}} must have {ChatTool.NameRule}", function.PathOf("name"), "invalid_value");
    }

    /// <summary><c>tool_choice</c>: a mode, a function, or the tools that may be called.</summary>
    /// <param name="others">What the names of tools begin with that are not known yet.</param>
    /// <param name="isNested">Chats put what is chosen into an object of its own, under the name of its type; responses do not.</param>
    public static ToolChoice ReadChoice(JsonElement choice, HashSet<string> names, IReadOnlyList<string> others, bool isNested, List<string> ignored)
    {
        const string Path = "tool_choice";
        ToolChoice selection;
        if (choice.ValueKind == JsonValueKind.String)
        {
            string mode = JsonValue.String(choice, Path);
            selection = new(ModeOf(mode) ?? throw JsonValue.NotOneOf(Path, mode, ["none", "auto", "required"]));
        }
        else if (choice.ValueKind == JsonValueKind.Object)
        {
            JsonFields fields = new(choice, Path);
            string type = fields.RequireString("type");
            if (type is not ("function" or "custom" or "allowed_tools") && !(type == "mcp" && !isNested))
                throw RequestProblem.Unsupported(fields.PathOf("type"), "only functions can be called: 'function', 'custom' or 'allowed_tools'.");
            JsonFields chosen = Chosen(fields, type, isNested);
            selection = type == "allowed_tools" ? ReadAllowed(chosen, names, others, isNested, ignored)
                : type != "mcp" ? new(ToolMode.Named, [ReadReference(chosen, names, others, ignored)])
                : ReadServerTool(chosen, others, ignored) is var tool && others.Contains(tool) ? new(ToolMode.Required, [tool]) : new(ToolMode.Named, [tool]);
            if (isNested)
                fields.Close(ignored);
        }
        else
            throw JsonValue.WrongType(choice, Path, "a string or an object");
        if (names.Count == 0 && others.Count == 0 && selection.Mode is ToolMode.Required or ToolMode.Named)
            throw RequestProblem.Invalid("'tool_choice' asks for a call, and 'tools' has none.", Path, "invalid_value");
        return selection;
    }

    private static JsonFields Chosen(JsonFields fields, string type, bool isNested) => isNested ? new(fields.Require(type), fields.PathOf(type)) : fields;

    private static ToolChoice ReadAllowed(JsonFields allowed, HashSet<string> names, IReadOnlyList<string> others, bool isNested, List<string> ignored)
    {
        _ = allowed.Require("mode");
        string mode = allowed.OneOf("mode", "auto", "required")!;
        List<string> chosen = JsonFields.Items(allowed.Require("tools"), allowed.PathOf("tools"), 1, MaxTools).ConvertAll(item =>
        {
            JsonFields tool = new(item.Value, item.Path);
            if (tool.RequireString("type") is var type && type is not ("function" or "custom") && !(type == "mcp" && !isNested))
                throw JsonValue.NotOneOf(tool.PathOf("type"), type, ["function", "custom"]);
            string name = type == "mcp" ? ReadServerTool(tool, others, ignored) : ReadReference(Chosen(tool, type, isNested), names, others, ignored);
            if (isNested)
                tool.Close(ignored);
            return name;
        });
        allowed.Close(ignored);
        return new(ModeOf(mode)!.Value, chosen);
    }

    /// <summary>A tool of an MCP server, or all of them: then what their names begin with.</summary>
    private static string ReadServerTool(JsonFields tool, IReadOnlyList<string> others, List<string> ignored)
    {
        string prefix = McpServers.OfferedName(tool.RequireString("server_label"), "");
        if (!others.Contains(prefix))
            throw RequestProblem.Invalid("{where} is none of the MCP servers in 'tools'.", tool.PathOf("server_label"), "invalid_value");
        string name = prefix + tool.String("name");
        tool.Close(ignored);
        return name;
    }

    public static string ReadReference(JsonFields function, HashSet<string> names, IReadOnlyList<string> others, List<string> ignored)
    {
        string name = function.RequireString("name");
        if (!names.Contains(name) && !others.Any(prefix => name.Length > prefix.Length && name.StartsWith(prefix, StringComparison.Ordinal)))
            throw RequestProblem.Invalid($"{{where}} is none of the functions given.", function.PathOf("name"), "invalid_value");
        function.Close(ignored);
        return name;
    }

    private static ToolMode? ModeOf(string mode) => mode switch
    {
        "none" => ToolMode.None,
        "auto" => ToolMode.Auto,
        "required" => ToolMode.Required,
        _ => null,
    };

    /// <summary>As this server, or another, gave them: none at all are an empty object, and what was cut off is said as text later.</summary>
    public static string ReadArguments(JsonFields function) => function.String("arguments") is { } arguments && !string.IsNullOrWhiteSpace(arguments) ? arguments : "{}";
}
