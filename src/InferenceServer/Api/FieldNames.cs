using InferenceServer.Chat;

namespace InferenceServer.Api;

/// <summary>What a dialect calls the fields of the conversation core, to say where a problem is.</summary>
/// <param name="own">Names that only this dialect has; the others are OpenAI's.</param>
internal sealed class FieldNames(params (string Field, string Name)[] own)
{
    private static readonly (string Field, string Name)[] Common =
    [
        (nameof(ChatRequest.Messages), "messages"),
        (nameof(ChatRequest.Prediction), "prediction.content"),
        (nameof(ChatRequest.ReasoningBudget), "reasoning_budget"),
        (nameof(ChatRequest.ReasoningEffort), "reasoning_effort"),
        (nameof(ChatRequest.TemplateArguments), "chat_template_kwargs"),
        (nameof(GenerationOptions.Adapters), "lora"),
        (nameof(GenerationOptions.Choices), "n"),
        (nameof(GenerationOptions.IgnoreEndOfGeneration), "ignore_eos"),
        (nameof(GenerationOptions.LogitBias), "logit_bias"),
        (nameof(TextRequest.Prompts), "prompt"),
        (nameof(TextRequest.Suffix), "suffix"),
    ];

    /// <summary>OpenAI's.</summary>
    public static FieldNames OpenAI { get; } = new();

    /// <summary>The path in this dialect; what is one already stays as it is.</summary>
    public string? Of(string? where)
    {
        if (where is null)
            return null;
        int end = where.AsSpan().IndexOfAny('.', '[');
        string field = end < 0 ? where : where[..end];
        foreach ((string known, string name) in own.Concat(Common))
            if (known == field)
                return name + where[field.Length..];
        return where;
    }
}
