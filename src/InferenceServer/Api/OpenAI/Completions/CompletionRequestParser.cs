using System.Text.Json;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>A request in this dialect, translated.</summary>
/// <param name="Model">As the client wrote it.</param>
/// <param name="Text">What runs.</param>
/// <param name="N">Choices of each prompt in the answer; as many or more are generated.</param>
internal sealed record CompletionCall(string Model, TextRequest Text, int N, CallOptions Options)
{
    /// <summary>How many of the most likely tokens to report; null reports no log probabilities.</summary>
    public int? Logprobs { get; init; }

    /// <summary>Each choice begins with its prompt.</summary>
    public bool Echo { get; init; }

    /// <summary>Choices generated for each prompt.</summary>
    public int Generated => Text.Options.Choices;
}

/// <summary>JSON body to a text request. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class CompletionRequestParser
{
    // OpenAI's default for this endpoint.
    private const int DefaultMaxTokens = 16;
    private const int MaxPrompts = 2048;
    private const int MaxPromptTokens = 16 << 20;

    public static CompletionCall Parse(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string model = body.RequireString("model");
        List<TextPrompt> prompts = ReadPrompts(body.Require("prompt"));
        int? logprobs = body.Integer("logprobs", 0, 5);
        bool echo = body.Boolean("echo") ?? false;
        int? bestOf = body.Integer("best_of", 0, 20) is > 0 and var best ? best : null;
        string? suffix = body.String("suffix") is { Length: > 0 } given ? given : null;
        (GenerationOptions options, CallOptions call) = ParameterReader.Read(body, new GenerationOptions { MaxOutputTokens = body.Has("max_tokens") ? ParameterReader.MaxTokens(body, "max_tokens") : DefaultMaxTokens }, ignored);
        call = call with { IncludesUsage = ParameterReader.IncludesUsage(body, call.Stream, ignored) };
        bool parsesSpecial = body.Boolean("parse_special") ?? false;
        body.Close(ignored);
        int n = options.Choices;
        if (bestOf < n)
            throw RequestProblem.Invalid($"{{where}} must be at least 'n', which is {n}; it is {bestOf}.", "best_of", "out_of_range");
        if (bestOf > n && call.Stream)
            throw RequestProblem.Invalid("{where} above 'n' cannot be streamed: which choices are best is known at their end.", "best_of", "invalid_value");
        if (suffix is not null && echo && logprobs is not null)
            throw RequestProblem.Invalid("{where} with 'logprobs' cannot be given beside 'suffix': the prompt that is computed is not the one that is echoed.", "echo", "invalid_value");
        TextRequest text = new()
        {
            Prompts = prompts,
            Suffix = suffix,
            ParsesSpecial = parsesSpecial,
            PromptLogprobs = echo ? logprobs : null,
            // Which choices are best is told by the log probabilities of their tokens.
            Options = options with { Choices = bestOf ?? n, TopLogprobs = logprobs ?? (bestOf > n ? 0 : null) },
        };
        return new CompletionCall(model, text, n, call) { Logprobs = logprobs, Echo = echo };
    }

    private static List<TextPrompt> ReadPrompts(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
            return [new TextPrompt(JsonValue.String(value, "prompt"), null)];
        if (value.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(value, "prompt", "a string, an array of strings, an array of tokens or an array of token arrays");
        if (value.GetArrayLength() > 0 && value[0].ValueKind == JsonValueKind.Number)
            return [new TextPrompt(null, ReadTokens(value, "prompt"))];
        return JsonFields.Items(value, "prompt", 1, MaxPrompts).ConvertAll(item => item.Value.ValueKind == JsonValueKind.Array
            ? new TextPrompt(null, ReadTokens(item.Value, item.Path))
            : new TextPrompt(JsonValue.String(item.Value, item.Path), null));
    }

    private static List<int> ReadTokens(JsonElement value, string path) =>
        JsonFields.Items(value, path, 1, MaxPromptTokens).ConvertAll(token => (int)JsonValue.Integer(token.Value, token.Path, 0, int.MaxValue));
}
