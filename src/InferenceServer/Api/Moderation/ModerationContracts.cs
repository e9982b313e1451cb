using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Moderation;

namespace InferenceServer.Api.Moderation;

/// <summary>The body of POST /v1/moderations.</summary>
public sealed record ModerationRequest
{
    [Description("A text, several, or one as an array of parts {\"type\": \"text\", \"text\": ...}. Texts are judged one by one, parts together.")]
    [JsonShape(JsonShapes.ModerationInput)]
    public required JsonElement Input { get; init; }

    [Description("The rules' name as answers report it, or one of OpenAI's moderation models, which mean the same here.")]
    public string? Model { get; init; }
}

/// <summary>The answer of POST /v1/moderations.</summary>
public sealed record ModerationAnswer(string Id, [property: Description("The rules' name; it changes with them.")] string Model, IReadOnlyList<ModerationResult> Results);

/// <summary>What the rules say of one text.</summary>
public sealed record ModerationResult(
    bool Flagged,
    [property: Description("OpenAI's categories, and those that the rules add.")] IReadOnlyDictionary<string, bool> Categories,
    [property: Description("The highest score of the rules that match, and of the model where there is one; 0 where there is none.")] IReadOnlyDictionary<string, double> CategoryScores,
    IReadOnlyDictionary<string, IReadOnlyList<string>> CategoryAppliedInputTypes)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Type { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Model { get; init; }

    private static readonly IReadOnlyList<string> Text = ["text"];

    internal static ModerationResult Of(ModerationRules rules, ModerationVerdict verdict)
    {
        Dictionary<string, bool> categories = [];
        Dictionary<string, double> scores = [];
        Dictionary<string, IReadOnlyList<string>> types = [];
        for (int i = 0; i < rules.Categories.Count; i++)
        {
            string name = rules.Categories[i];
            (categories[name], scores[name], types[name]) = (verdict.Flags(i), verdict.Scores[i], Text);
        }

        return new(verdict.IsFlagged, categories, scores, types);
    }
}

/// <param name="Model">As in POST /v1/moderations.</param>
public sealed record ChatModerationOptions(string Model, ChatModerationPolicy? Policy = null);

/// <summary>What is done besides what the server was started with, which is the least.</summary>
public sealed record ChatModerationPolicy(ChatModerationMode? Input = null, ChatModerationMode? Output = null);

public sealed record ChatModerationMode(
    [property: Description("score reports; block refuses what is flagged.")]
    [property: AllowedValues("score", "block")] string Mode);

/// <summary>The <c>moderation</c> of a chat completion: what the rules say of what went in and of what came out.</summary>
public sealed record ChatModeration(ChatModerationResults Input, ChatModerationResults Output)
{
    /// <summary>Null where nobody asked for moderation.</summary>
    internal static ChatModeration? Of(TurnModeration? moderation) => moderation?.Report() is not { } report
        ? null
        : new(ChatModerationResults.Of(report.Rules, report.Judge, report.Input is null ? [] : [report.Input]), ChatModerationResults.Of(report.Rules, report.Judge, report.Output));
}

/// <param name="Results">Of the input one, of the output one for each choice; none for what was not judged.</param>
public sealed record ChatModerationResults(string Type, string Model, IReadOnlyList<ModerationResult> Results)
{
    /// <param name="judge">What judged: the rules, or the rules and a model.</param>
    internal static ChatModerationResults Of(ModerationRules rules, string judge, IEnumerable<ModerationVerdict> verdicts) => new("moderation_results", judge,
        [.. verdicts.Select(verdict => ModerationResult.Of(rules, verdict) with { Type = "moderation_result", Model = judge })]);
}

/// <summary>The <c>moderation</c> of a response.</summary>
public sealed record ResponseModeration(ResponseModerationPart Input, ResponseModerationPart Output)
{
    /// <summary>Null where nobody asked for moderation.</summary>
    internal static ResponseModeration? Of(TurnModeration? moderation)
    {
        if (ChatModeration.Of(moderation) is not { } report)
            return null;
        return new(Part(report.Input), Part(report.Output));

        static ResponseModerationPart Part(ChatModerationResults results) => results.Results is [{ } result, ..]
            ? new("moderation_result")
            {
                Model = results.Model,
                Flagged = result.Flagged,
                Categories = result.Categories,
                CategoryScores = result.CategoryScores,
                CategoryAppliedInputTypes = result.CategoryAppliedInputTypes,
            }
            : new("error") { Code = "not_judged", Message = "It was not judged: the input was refused, or only the other part was asked about." };
    }
}

/// <summary>What the rules say of the input or the output of a response; of type error, with a code and a message, where they say nothing.</summary>
public sealed record ResponseModerationPart([property: AllowedValues("moderation_result", "error")] string Type)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Model { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Flagged { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, bool>? Categories { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, double>? CategoryScores { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, IReadOnlyList<string>>? CategoryAppliedInputTypes { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Code { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Message { get; init; }
}

/// <summary>What the moderation endpoint sends and receives.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ModerationRequest))]
[JsonSerializable(typeof(ModerationAnswer))]
internal sealed partial class ModerationJson : JsonSerializerContext
{
    public static ModerationJson Wire { get; } = new(WireJson.Options());
}
