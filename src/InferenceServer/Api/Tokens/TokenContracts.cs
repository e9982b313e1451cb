using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.Tokens;

/// <summary>The body of POST /tokenize; the field names are llama-server's.</summary>
public sealed record TokenizeRequest
{
    [Description("The text to take apart.")]
    public required string Content { get; init; }

    [Description("Add what the model wants around every text, such as a beginning-of-sequence token.")]
    public bool AddSpecial { get; init; }

    [Description("Take the names of control tokens in the text for the tokens themselves.")]
    public bool ParseSpecial { get; init; } = true;

    [Description("Answer with an object of id and piece for each token.")]
    public bool WithPieces { get; init; }

    [Description("Id of the loaded model; may be left out where only one is loaded.")]
    public string? Model { get; init; }
}

/// <summary>The answer of POST /tokenize.</summary>
public sealed record TokenizedText(
    [property: Description("Token ids; with with_pieces objects of id and piece, where the piece is a text, or an array of bytes if it is no whole characters.")]
    IReadOnlyList<JsonElement> Tokens);

/// <summary>The body of POST /detokenize.</summary>
public sealed record DetokenizeRequest
{
    [Description("Token ids of the model's vocabulary.")]
    public required IReadOnlyList<int> Tokens { get; init; }

    [Description("Id of the loaded model; may be left out where only one is loaded.")]
    public string? Model { get; init; }
}

/// <summary>The answer of POST /detokenize.</summary>
public sealed record DetokenizedText(
    [property: Description("The tokens as text, control tokens by their names; bytes that are no character become U+FFFD.")] string Content);

/// <summary>The answer of POST /apply-template.</summary>
public sealed record RenderedPrompt(
    [property: Description("What the model would be given for this chat, before it is taken apart into tokens.")] string Prompt);

/// <summary>How many tokens a prompt has.</summary>
public sealed record InputTokenCount(
    [property: Description("Tokens of the whole prompt, the template's included.")] int InputTokens);

/// <summary>What the token endpoints send and receive.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(TokenizeRequest))]
[JsonSerializable(typeof(TokenizedText))]
[JsonSerializable(typeof(DetokenizeRequest))]
[JsonSerializable(typeof(DetokenizedText))]
[JsonSerializable(typeof(RenderedPrompt))]
[JsonSerializable(typeof(InputTokenCount))]
internal sealed partial class TokenJson : JsonSerializerContext
{
    public static TokenJson Wire { get; } = new(WireJson.Options());
}
