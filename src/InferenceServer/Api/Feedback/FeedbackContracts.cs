using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Responses;

namespace InferenceServer.Api.Feedback;

/// <summary>The body of POST /v1/feedback.</summary>
[JsonForm("kind", FeedbackRecord.RatingKind, "rating", "item_id"), JsonForm("kind", FeedbackRecord.RatingKind, "rating", "response_id"), JsonForm("kind", FeedbackRecord.ComparisonKind, "chosen", "rejected")]
[JsonForm("kind", FeedbackRecord.EditKind, "ideal", "item_id"), JsonForm("kind", FeedbackRecord.EditKind, "ideal", "response_id")]
public sealed record FeedbackRequest(
    [property: AllowedValues(FeedbackRecord.RatingKind, FeedbackRecord.ComparisonKind, FeedbackRecord.EditKind)] string Kind,
    [property: Description("Of a rating or an edit: an item that the reply consists of.")] string? ItemId = null,
    [property: Description("Of a rating or an edit, in place of item_id: the stored response.")] string? ResponseId = null,
    [property: AllowedValues(FeedbackRecord.Up, FeedbackRecord.Down), Description("Of a rating. A second one of the same reply takes the place of the first.")] string? Rating = null,
    [property: Description("Why; up to 10000 characters.")] string? Reason = null,
    [property: Description("Of a comparison: item or response id of the better reply.")] string? Chosen = null,
    [property: Description("Of a comparison: item or response id of the other reply to the same prompt.")] string? Rejected = null,
    [property: Description("Of an edit: what the reply should have been; up to 200000 characters.")] string? Ideal = null);

/// <summary>What somebody thought of a reply, with a copy of all that led to it: it outlives the conversation.</summary>
public sealed record FeedbackRecord
{
    public const string RatingKind = "rating";
    public const string ComparisonKind = "comparison";
    public const string EditKind = "edit";
    public const string Up = "up";
    public const string Down = "down";

    public string Object { get; init; } = "feedback";

    public required string Id { get; init; }

    public required long CreatedAt { get; init; }

    [AllowedValues(RatingKind, ComparisonKind, EditKind)]
    public required string Kind { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [AllowedValues(Up, Down)]
    public string? Rating { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Reason { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of an edit: what the reply should have been.")]
    public string? Ideal { get; init; }

    [Description("Of a rating and of an edit: the item that was named, as in reply; null where a response was, and of a comparison.")]
    public string? ItemId => Reply?.ItemId;

    [Description("What was answered: the messages that the chat template was given, instructions included.")]
    public required IReadOnlyList<PromptMessage> Prompt { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("The functions that the model was told of; absent where there were none.")]
    [JsonShape(ResponseShapes.AnsweredTools)]
    public IReadOnlyList<ResponseTool>? Tools { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a rating and of an edit.")]
    public FeedbackReply? Reply { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a comparison: the better one.")]
    public FeedbackReply? Chosen { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a comparison: the other one.")]
    public FeedbackReply? Rejected { get; init; }

    [Description("The reply's, or the chosen one's; so are fingerprint and sampling.")]
    public string Model => Subject.Model;

    public string Fingerprint => Subject.Fingerprint;

    public PromptSampling Sampling => Subject.Sampling;

    [JsonIgnore]
    internal FeedbackReply Subject => Reply ?? Chosen!;

    /// <summary>Whether all of it is text: nothing was called and nothing answered a call.</summary>
    [JsonIgnore]
    internal bool IsText => Prompt.All(message => message is { ToolCalls: null, ToolCallId: null }) && Subject.ToolCalls is null && Rejected?.ToolCalls is null;
}

/// <summary>A reply and what made it.</summary>
public sealed record FeedbackReply(
    string ResponseId,
    [property: Description("The item that was named; null where the response was.")] string? ItemId,
    string Model,
    [property: Description("The system_fingerprint: which file and settings answered.")] string Fingerprint,
    PromptSampling Sampling,
    [property: Description("How the response ended: completed, incomplete, failed or cancelled.")] string Status,
    string? Content)
{
    public string Role { get; init; } = "assistant";

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ReasoningContent { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ChatCompletionToolCall>? ToolCalls { get; init; }
}

/// <summary>The answer of GET /v1/feedback. Ids are empty where the list is.</summary>
public sealed record FeedbackList(string Object, IReadOnlyList<FeedbackRecord> Data, string FirstId, string LastId, bool HasMore);

/// <summary>The answer of DELETE /v1/feedback.</summary>
public sealed record FeedbackDeletion(string Object, bool Deleted, [property: Description("How many there were.")] int Count);

/// <summary>The answer of GET /v1/feedback/summary.</summary>
public sealed record FeedbackSummary(string Object, IReadOnlyList<ModelRatings> Models, IReadOnlyList<WinRate> Comparisons);

/// <summary>What was thought of a model's replies.</summary>
public sealed record ModelRatings(string Model, long Up, long Down, long Edits)
{
    [Description("Share of up among the ratings, and the interval that holds the true one with 95% (Wilson's); null without ratings.")]
    public required Share? Rate { get; init; }
}

/// <summary>How often a model's reply was chosen over another model's; each pair is there from both sides.</summary>
public sealed record WinRate(string Model, string Opponent, long Wins, long Losses, double Rate, double Low, double High);

public sealed record Share(double Rate, double Low, double High);

/// <summary>A line of the export for fine-tuning: a dialogue whose last message is to be learnt.</summary>
internal sealed record SftExample(IReadOnlyList<PromptMessage> Messages);

/// <summary>A line of the export for direct preference optimization.</summary>
internal sealed record DpoExample(IReadOnlyList<PromptMessage> Prompt, IReadOnlyList<PromptMessage> Chosen, IReadOnlyList<PromptMessage> Rejected);

/// <summary>A line of the export for a reward model, as the project's trainer keeps its own.</summary>
internal sealed record RewardExample(IReadOnlyList<RewardMessage> Prompt, string Chosen, string Rejected, string Kind);

internal sealed record RewardMessage(string Role, string Text);

/// <summary>What the endpoints of feedback send, and what the store holds of it.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(FeedbackRequest))]
[JsonSerializable(typeof(FeedbackRecord))]
[JsonSerializable(typeof(FeedbackList))]
[JsonSerializable(typeof(FeedbackDeletion))]
[JsonSerializable(typeof(FeedbackSummary))]
[JsonSerializable(typeof(SftExample))]
[JsonSerializable(typeof(DpoExample))]
[JsonSerializable(typeof(RewardExample))]
internal sealed partial class FeedbackJson : JsonSerializerContext
{
    public static FeedbackJson Wire { get; } = new(WireJson.Options());
}
