using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary><c>functions</c> and <c>function_call</c>, which came before tools: one call a reply, answered in the same terms.</summary>
internal static class FunctionReader
{
    public static ChatRequest Read(JsonFields body, ChatRequest request, List<string> ignored)
    {
        foreach (string name in (ReadOnlySpan<string>)["tools", "tool_choice"])
            if (body.Take(name) is { } given && !(given.ValueKind == JsonValueKind.Array && given.GetArrayLength() == 0))
                throw RequestProblem.Invalid($"{{where}} and '{name}' cannot both be given: the former is the old name.", "functions", "invalid_value");
        List<ChatTool> tools = body.Array("functions", 0, ToolReader.MaxTools)!.ConvertAll(item => ToolReader.ReadFunction(new JsonFields(item.Value, item.Path), ignored));
        HashSet<string> names = ToolReader.NamesOf(tools, i => $"functions[{i}].name");
        ToolChoice choice = ToolChoice.Auto;
        if (body.Take("function_call") is { ValueKind: JsonValueKind.Object } named)
            choice = new(ToolMode.Named, [ToolReader.ReadReference(new JsonFields(named, "function_call"), names, [], ignored)]);
        else if (body.OneOf("function_call", "none", "auto") is "none")
            choice = ToolChoice.None;
        return request with { Tools = tools, ToolChoice = choice, AllowMultipleToolCalls = false };
    }

    /// <summary>Of a request that has none: a call of one cannot be asked for.</summary>
    public static ChatRequest WithoutFunctions(JsonFields body, ChatRequest request) =>
        body.Take("function_call") is { } call && !(call.ValueKind == JsonValueKind.String && (call.ValueEquals("none") || call.ValueEquals("auto")))
            ? throw RequestProblem.Invalid("{where} asks for a call, and 'functions' has none.", "function_call", "invalid_value")
            : request;
}
