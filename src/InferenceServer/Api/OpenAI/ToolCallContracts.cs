using System.ComponentModel;
using System.Text;
using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI;

[SchemaName("ChatToolCall")]
public sealed record ChatCompletionToolCall(string Id, string Type, ChatFunctionCall Function)
{
    internal static ChatCompletionToolCall Of(ChatToolCall call) => new(call.Id, "function", new ChatFunctionCall(call.Name, call.Arguments));
}

public sealed record ChatFunctionCall(
    string Name,
    [property: Description("A JSON object, as text.")] string Arguments);
