using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;


namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// One item of a response's input or output, or of a conversation. Which fields it has depends on its type; the others are absent. This is how items are sent
/// and how they are stored.
/// </summary>
public record ResponseItem
{
    public required string Id { get; init; }

    [AllowedValues(Message, FunctionCall, FunctionCallOutput, Reasoning, Compaction)]
    public required string Type { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [AllowedValues(InProgress, Completed, Incomplete)]
    public string? Status { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a message: user, assistant, system or developer.")]
    public string? Role { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a message or of reasoning.")]
    public IReadOnlyList<ResponseContent>? Content { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of reasoning: itself, where reasoning.summary was given; else empty, and it is in content.")]
    public IReadOnlyList<ResponseContent>? Summary { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call and its output: what joins the two.")]
    public string? CallId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call: the function.")]
    public string? Name { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call: a JSON object, as text.")]
    public string? Arguments { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call's output: a text, or an array of parts of type input_text.")]
    public JsonElement? Output { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a compaction, and of reasoning where include asks for it: opaque, to be sent back as it is.")]
    public string? EncryptedContent { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of an assistant's message, as the client gave it.")]
    public string? Phase { get; init; }

    public const string Message = "message";
    public const string FunctionCall = "function_call";
    public const string FunctionCallOutput = "function_call_output";
    public const string Reasoning = "reasoning";
    public const string Compaction = "compaction";

    public const string InProgress = "in_progress";
    public const string Completed = "completed";
    public const string Incomplete = "incomplete";

    public static string NewId(string type) => Prefix(type) + Guid.NewGuid().ToString("N");

    /// <summary>Whether it has the form of an id that we give to items of this type.</summary>
    public static bool IsId(string type, string id) => id.StartsWith(Prefix(type), StringComparison.Ordinal) && Guid.TryParseExact(id.AsSpan(Prefix(type).Length), "N", out _)
        && !id.Any(char.IsAsciiLetterUpper);

    /// <summary>What was said in a message, or thought in reasoning.</summary>
    public string Text() => string.Join('\n', (Content ?? []).Select(part => part.Text ?? part.Refusal));

    private static string Prefix(string type) => type switch
    {
        FunctionCall => "fc_",
        FunctionCallOutput => "fco_",
        Reasoning => "rs_",
        Compaction => "cmp_",
        _ => "msg_",
    };

    /// <summary>What a function gave back.</summary>
    public string OutputText() => Output is not { } output ? ""
        : output.ValueKind == JsonValueKind.String ? output.GetString()!
        : string.Join('\n', output.EnumerateArray().Select(part => part.GetProperty("text").GetString()));
}

/// <summary>A part of a message, or of reasoning.</summary>
public sealed record ResponseContent([property: AllowedValues("input_text", "output_text", "refusal", "reasoning_text", "summary_text")] string Type)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Text { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Refusal { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of output_text; those that a client sent, as the model makes none.")]
    public IReadOnlyList<JsonElement>? Annotations { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of output_text; empty unless include asks for message.output_text.logprobs.")]
    public IReadOnlyList<ReportedLogprob>? Logprobs { get; init; }

    public static ResponseContent Input(string text) => new("input_text") { Text = text };

    public static ResponseContent Output(string text, IReadOnlyList<ReportedLogprob>? logprobs = null) =>
        new("output_text") { Text = text, Annotations = [], Logprobs = logprobs ?? [] };

    public static ResponseContent SummaryOf(string text) => new("summary_text") { Text = text };

    public static ResponseContent Thought(string text) => new("reasoning_text") { Text = text };
}
