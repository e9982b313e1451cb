using System.Text.Json;

namespace InferenceServer.Api;

/// <summary>What a dialect calls the fields of the conversation core, to say where a problem is.</summary>
/// <param name="own">Names that only this dialect has; the others are OpenAI's.</param>
internal sealed class FieldNames(params (string Field, string Name)[] own)
{
    private static readonly (string Field, string Name)[] Common =
    [
        ("Choices", "n"),
        ("IgnoreEndOfGeneration", "ignore_eos"),
        ("MaxOutputTokens", "max_tokens"),
        ("Prediction", "prediction.content"),
        ("Prompts", "prompt"),
        ("StopSequences", "stop"),
        ("TemplateArguments", "chat_template_kwargs"),
    ];

    /// <summary>OpenAI's.</summary>
    public static FieldNames OpenAI { get; } = new();

    /// <summary>The path in this dialect; what is one already stays as it is.</summary>
    public string? Of(string? where)
    {
        if (where is not [>= 'A' and <= 'Z', ..])
            return where;
        int end = where.AsSpan().IndexOfAny('.', '[');
        string field = end < 0 ? where : where[..end];
        foreach ((string known, string name) in own.Concat(Common))
            if (known == field)
                return name + where[field.Length..];
        return JsonNamingPolicy.SnakeCaseLower.ConvertName(field) + where[field.Length..];
    }

    /// <summary>The problem's message, with the place under its name here.</summary>
    public string MessageOf(RequestProblem problem) => problem.MessageAt(Of(problem.Where));
}
