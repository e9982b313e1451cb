using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;

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
        }, ignored);
        request = request with { StreamOptions = ParameterReader.StreamOptions(body, request.Stream, ignored) };
        if (body.Boolean("echo") == true)
            throw ApiException.Unsupported("echo", "prompts are not echoed yet.");
        if (body.String("suffix") is { Length: > 0 })
            throw ApiException.Unsupported("suffix", "filling in the middle is not available yet.");
        if (body.Integer("best_of", 0, 20) is { } bestOf && bestOf > request.N)
            throw ApiException.Unsupported("best_of", "a value above 'n' is not available yet.");
        body.Close(ignored);
        return request;
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
