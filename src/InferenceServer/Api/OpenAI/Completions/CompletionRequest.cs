using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>The body of POST /v1/completions, for the OpenAPI document; <see cref="CompletionRequestParser"/> reads it.</summary>
public sealed record CompletionRequest : GenerationParameters
{
    [Description("A text, an array of texts, an array of tokens, or an array of token arrays.")]
    [JsonShape(JsonShapes.TextOrTokens)]
    public required IReadOnlyList<CompletionPrompt> Prompt { get; init; }

    [Description("Report the log probabilities of this many of the most likely tokens and of the one taken.")]
    [Range(0, 5)]
    public int? Logprobs { get; init; }

    [Description("Begin each choice with its prompt; with logprobs its tokens are reported, too.")]
    public bool Echo { get; init; }

    [Description("Generate this many choices for each prompt and answer with the n whose tokens are the likeliest on average.")]
    [Range(0, 20)]
    public int? BestOf { get; init; }

    [Description("Extra: take the names of control tokens in the prompt for the tokens themselves. Off, since who writes the text is not always who means the markup.")]
    public bool ParseSpecial { get; init; }

    [Description("A text to end up at: the model fills in what belongs between prompt and suffix, if it has the tokens for that.")]
    public string? Suffix { get; init; }
}

/// <summary>One prompt: text, or tokens when <see cref="Text"/> is null.</summary>
public sealed record CompletionPrompt(string? Text, IReadOnlyList<int>? Tokens);
