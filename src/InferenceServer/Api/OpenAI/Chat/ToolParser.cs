using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary><c>tools</c>, <c>tool_choice</c> and <c>parallel_tool_calls</c> of a chat request.</summary>
internal static class ToolParser
{
    private const int MaxTools = 1024;
    private const int MaxNameLength = 128;

    public static ChatCompletionRequest Read(JsonFields body, ChatCompletionRequest request, List<string> ignored)
    {
        List<ChatTool> tools = (body.Array("tools", 0, MaxTools) ?? []).ConvertAll(item => ReadTool(item.Value, item.Path, ignored));
        HashSet<string> names = [];
        for (int i = 0; i < tools.Count; i++)
            if (!names.Add(tools[i].Function.Name))
                throw ApiException.InvalidValue($"'tools[{i}].function.name' names '{tools[i].Function.Name}' for the second time.", $"tools[{i}].function.name", "invalid_value");
        JsonElement? choice = body.Take("tool_choice");
        if (body.Array("functions", 0, MaxTools) is { Count: > 0 } functions)
            return ReadFormer(body, request, functions, tools.Count > 0 ? "tools" : choice is not null ? "tool_choice" : null, ignored);
        if (body.Take("function_call") is { } call && !(call.ValueKind == JsonValueKind.String && (call.ValueEquals("none") || call.ValueEquals("auto"))))
            throw ApiException.InvalidValue("'function_call' asks for a call, and 'functions' has none.", "function_call", "invalid_value");
        return request with
        {
            Tools = tools,
            ToolChoice = choice?.Clone(),
            ToolSelection = choice is { } given ? ReadChoice(given, names, isNested: true, ignored) : ToolSelection.Auto,
            ParallelToolCalls = body.Boolean("parallel_tool_calls") ?? true,
        };
    }

    private static ChatTool ReadTool(JsonElement value, string path, List<string> ignored)
    {
        JsonFields tool = new(value, path);
        string type = tool.RequireString("type");
        if (type == "custom")
            throw ApiException.Unsupported(tool.PathOf("type"), "only functions can be called.");
        if (type != "function")
            throw JsonValue.NotOneOf(tool.PathOf("type"), type, ["function"]);
        JsonFields function = new(tool.Require("function"), tool.PathOf("function"));
        ChatTool read = ReadFunction(function, ignored);
        tool.Close(ignored);
        return read;
    }

    private static ChatTool ReadFunction(JsonFields function, List<string> ignored)
    {
        string name = ReadName(function);
        JsonElement? parameters = function.Take("parameters");
        if (parameters is { ValueKind: not JsonValueKind.Object } wrong)
            throw JsonValue.WrongType(wrong, function.PathOf("parameters"), "an object, a JSON Schema");
        ChatFunction read = new(name, function.String("description"), parameters?.Clone(), function.Boolean("strict"));
        string parametersPath = function.PathOf("parameters");
        function.Close(ignored);
        return new ChatTool("function", read) { ParametersPath = parametersPath };
    }

    /// <summary><c>functions</c> and <c>function_call</c>, which came before tools: one call a reply, answered in the same terms.</summary>
    private static ChatCompletionRequest ReadFormer(JsonFields body, ChatCompletionRequest request, List<(JsonElement Value, string Path)> functions, string? beside, List<string> ignored)
    {
        if (beside is not null)
            throw ApiException.InvalidValue($"'functions' and '{beside}' cannot both be given: the former is the old name.", "functions", "invalid_value");
        List<ChatTool> tools = functions.ConvertAll(item => ReadFunction(new JsonFields(item.Value, item.Path), ignored));
        HashSet<string> names = [];
        for (int i = 0; i < tools.Count; i++)
            if (!names.Add(tools[i].Function.Name))
                throw ApiException.InvalidValue($"'functions[{i}].name' names '{tools[i].Function.Name}' for the second time.", $"functions[{i}].name", "invalid_value");
        ToolSelection selection = ToolSelection.Auto;
        if (body.Take("function_call") is { ValueKind: JsonValueKind.Object } named)
            selection = new(ToolMode.Named, [ReadReference(new JsonFields(named, "function_call"), names, ignored)]);
        else if (body.OneOf("function_call", "none", "auto") is "none")
            selection = ToolSelection.None;
        return request with { Tools = tools, ToolSelection = selection, ParallelToolCalls = false, AnswersFunctionCall = true };
    }

    /// <summary>A function's name, of what every call format can write.</summary>
    public static string ReadName(JsonFields function)
    {
        string name = function.RequireString("name");
        return name.Length is > 0 and <= MaxNameLength && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.')
            ? name
            : throw ApiException.InvalidValue($"'{function.PathOf("name")}' must have 1 to {MaxNameLength} letters, digits, '_', '-' or '.'.", function.PathOf("name"), "invalid_value");
    }

    /// <summary><c>tool_choice</c>: a mode, a function, or the tools that may be called.</summary>
    /// <param name="isNested">Chats put what is chosen into an object of its own, under the name of its type; responses do not.</param>
    public static ToolSelection ReadChoice(JsonElement choice, HashSet<string> names, bool isNested, List<string> ignored)
    {
        const string Path = "tool_choice";
        ToolSelection selection;
        if (choice.ValueKind == JsonValueKind.String)
        {
            string mode = JsonValue.String(choice, Path);
            selection = new(ModeOf(mode) ?? throw JsonValue.NotOneOf(Path, mode, ["none", "auto", "required"]));
        }
        else if (choice.ValueKind == JsonValueKind.Object)
        {
            JsonFields fields = new(choice, Path);
            string type = fields.RequireString("type");
            if (type is not ("function" or "allowed_tools"))
                throw ApiException.Unsupported(fields.PathOf("type"), "only functions can be called: 'function' or 'allowed_tools'.");
            JsonFields chosen = Chosen(fields, type, isNested);
            selection = type == "function" ? new(ToolMode.Named, [ReadReference(chosen, names, ignored)]) : ReadAllowed(chosen, names, isNested, ignored);
            if (isNested)
                fields.Close(ignored);
        }
        else
            throw JsonValue.WrongType(choice, Path, "a string or an object");
        if (names.Count == 0 && selection.Mode is ToolMode.Required or ToolMode.Named)
            throw ApiException.InvalidValue("'tool_choice' asks for a call, and 'tools' has none.", Path, "invalid_value");
        return selection;
    }

    private static JsonFields Chosen(JsonFields fields, string type, bool isNested) => isNested ? new(fields.Require(type), fields.PathOf(type)) : fields;

    private static ToolSelection ReadAllowed(JsonFields allowed, HashSet<string> names, bool isNested, List<string> ignored)
    {
        _ = allowed.Require("mode");
        string mode = allowed.OneOf("mode", "auto", "required")!;
        List<string> chosen = JsonFields.Items(allowed.Require("tools"), allowed.PathOf("tools"), 1, MaxTools).ConvertAll(item =>
        {
            JsonFields tool = new(item.Value, item.Path);
            if (tool.RequireString("type") is not "function" and var type)
                throw JsonValue.NotOneOf(tool.PathOf("type"), type, ["function"]);
            string name = ReadReference(Chosen(tool, "function", isNested), names, ignored);
            if (isNested)
                tool.Close(ignored);
            return name;
        });
        allowed.Close(ignored);
        return new(ModeOf(mode)!.Value, chosen);
    }

    private static string ReadReference(JsonFields function, HashSet<string> names, List<string> ignored)
    {
        string name = function.RequireString("name");
        if (!names.Contains(name))
            throw ApiException.InvalidValue($"'{function.PathOf("name")}' is none of the functions given.", function.PathOf("name"), "invalid_value");
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
}
