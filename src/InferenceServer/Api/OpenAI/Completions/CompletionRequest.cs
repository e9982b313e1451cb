using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>The body of POST /v1/completions, checked and with defaults filled in.</summary>
public sealed record CompletionRequest : GenerationParameters
{
    [Description("A text, an array of texts, an array of tokens, or an array of token arrays.")]
    [SingleOrArray]
    public required IReadOnlyList<CompletionPrompt> Prompt { get; init; }

    [Description("Report the log probabilities of this many of the most likely tokens and of the one taken.")]
    [Range(0, 5)]
    public int? Logprobs { get; init; }

    [Description("Begin each choice with its prompt; with logprobs its tokens are reported, too.")]
    public bool Echo { get; init; }

    [Description("Generate this many choices for each prompt and answer with the n whose tokens are the likeliest on average.")]
    [Range(0, 20)]
    public int? BestOf { get; init; }

    [Description("A text to end up at: the model fills in what belongs between prompt and suffix, if it has the tokens for that.")]
    public string? Suffix { get; init; }

    /// <summary>Choices generated for each prompt.</summary>
    [JsonIgnore]
    public int Generated => BestOf ?? N;
}

/// <summary>One prompt: text, or tokens when <see cref="Text"/> is null.</summary>
public sealed record CompletionPrompt(string? Text, IReadOnlyList<int>? Tokens);

internal static class CompletionRequestParser
{
    // OpenAI's default for this endpoint.
    private const int DefaultMaxTokens = 16;
    private const int MaxPrompts = 2048;
    private const int MaxPromptTokens = 16 << 20;

    public static CompletionRequest Parse(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        CompletionRequest request = ParameterReader.Read(body, new CompletionRequest
        {
            Model = body.RequireString("model"),
            Prompt = ReadPrompts(body.Require("prompt")),
            MaxTokens = body.Integer("max_tokens", 0, int.MaxValue) ?? DefaultMaxTokens,
            Logprobs = body.Integer("logprobs", 0, 5),
            Echo = body.Boolean("echo") ?? false,
            BestOf = body.Integer("best_of", 0, 20) is > 0 and var bestOf ? bestOf : null,
            Suffix = body.String("suffix") is { Length: > 0 } suffix ? suffix : null,
        }, ignored);
        request = request with { StreamOptions = ParameterReader.StreamOptions(body, request.Stream, ignored) };
        body.Close(ignored);
        CheckTogether(request);
        return request;
    }

    private static void CheckTogether(CompletionRequest request)
    {
        if (request.BestOf < request.N)
            throw ApiException.InvalidValue($"'best_of' must be at least 'n', which is {request.N}; it is {request.BestOf}.", "best_of", "out_of_range");
        if (request.BestOf > request.N && request.Stream)
            throw ApiException.InvalidValue("'best_of' above 'n' cannot be streamed: which choices are best is known at their end.", "best_of", "invalid_value");
        if (request is { Suffix: not null, Echo: true, Logprobs: not null })
            throw ApiException.InvalidValue("'echo' with 'logprobs' cannot be given beside 'suffix': the prompt that is computed is not the one that is echoed.", "echo", "invalid_value");
    }

    private static List<CompletionPrompt> ReadPrompts(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
            return [new CompletionPrompt(JsonValue.String(value, "prompt"), null)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(value, "prompt", "a string, an array of strings, an array of tokens or an array of token arrays");
        if (value.GetArrayLength() > 0 && value[0].ValueKind == JsonValueKind.Number)
            return [new CompletionPrompt(null, ReadTokens(value, "prompt"))];
        return JsonFields.Items(value, "prompt", 1, MaxPrompts).ConvertAll(item => item.Value.ValueKind == JsonValueKind.Array
            ? new CompletionPrompt(null, ReadTokens(item.Value, item.Path))
            : new CompletionPrompt(JsonValue.String(item.Value, item.Path), null));
    }

    private static List<int> ReadTokens(JsonElement value, string path) =>
        JsonFields.Items(value, path, 1, MaxPromptTokens).ConvertAll(token => (int)JsonValue.Integer(token.Value, token.Path, 0, int.MaxValue));
}
