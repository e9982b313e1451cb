using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI;

[SchemaName("ChatToolCall")]
public sealed record ChatCompletionToolCall(string Id, [property: AllowedValues("function", "custom")] string Type)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of type function.")]
    public ChatFunctionCall? Function { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of type custom: a call of a tool that the request offered as custom.")]
    public ChatCustomCall? Custom { get; init; }

    internal static ChatCompletionToolCall Of(ChatToolCall call) => new(call.Id, "function") { Function = new ChatFunctionCall(call.Name, call.Arguments) };

    /// <param name="custom">The tools that were offered as custom.</param>
    internal static ChatCompletionToolCall Of(ChatToolCall call, IReadOnlySet<string> custom) => custom.Contains(call.Name)
        ? new(call.Id, "custom") { Custom = new ChatCustomCall(call.Name, ToolReader.CustomInput(call.Arguments)) }
        : Of(call);
}

public sealed record ChatCustomCall(string Name, string Input);

public sealed record ChatFunctionCall(
    string Name,
    [property: Description("A JSON object, as text.")] string Arguments);
