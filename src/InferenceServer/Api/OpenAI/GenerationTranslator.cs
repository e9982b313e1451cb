using System.Globalization;
using System.Text;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>A prompt as it enters the engine.</summary>
/// <param name="Tokens">All of it, the template's included.</param>
/// <param name="Param">The field that it came from.</param>
internal sealed record PromptTokens(ReadOnlyMemory<int> Tokens, string Param)
{
    /// <summary>What the client expects as reply.</summary>
    public ReadOnlyMemory<int> Predicted { get; init; }

    /// <summary>What the reply must obey; null for anything.</summary>
    public TokenConstraint? Constraint { get; init; }

    /// <summary>As <see cref="GenerationRequest.Thinking"/>.</summary>
    public ThinkingLimit? Thinking { get; init; }

    /// <summary>As <see cref="GenerationRequest.PromptLogprobs"/>.</summary>
    public int? PromptLogprobs { get; init; }

    /// <summary>As <see cref="GenerationRequest.ControlTokensInText"/>.</summary>
    public IReadOnlySet<int>? ControlTokensInText { get; init; }

    /// <summary>As <see cref="GenerationRequest.MessageBoundaries"/>.</summary>
    public IReadOnlyList<int> Boundaries { get; init; } = [];
}

/// <summary>Checked parameters and a prompt's tokens to what the engine takes: one request for each choice.</summary>
internal static class GenerationTranslator
{
    /// <summary>Refuses a text that cannot fit before any time goes into tokenizing it.</summary>
    public static void CheckTextLength(ServedModel model, string text, string param)
    {
        long most = (long)model.Engine.ContextLength * model.Vocabulary.LongestTokenBytes;
        if (text.Length > most && Encoding.UTF8.GetByteCount(text) is int bytes)
            throw TooLong(model, param, $"its {bytes} bytes are at least {bytes / model.Vocabulary.LongestTokenBytes} tokens");
    }

    /// <summary>Adds the requests of one prompt, a choice each.</summary>
    /// <param name="maxTokens">Null generates until the context is full.</param>
    /// <param name="topLogprobs">As <see cref="SamplingOptions.TopLogprobs"/>.</param>
    public static void AddRequests(
        List<GenerationRequest> requests, ServedModel model, GenerationParameters parameters, RequestHints hints, PromptTokens prompt, int? maxTokens, int? topLogprobs)
    {
        int context = model.Engine.ContextLength;
        int room = context - prompt.Tokens.Length;
        if (room < 1)
            throw TooLong(model, prompt.Param, $"it has {prompt.Tokens.Length} tokens, and the reply needs one");
        if (prompt.Tokens.IsEmpty)
            throw ApiException.InvalidValue($"'{prompt.Param}' has no tokens.", prompt.Param, "invalid_value");

        SamplingOptions sampling = Sampling(model, parameters, topLogprobs);
        GenerationRequest first = new()
        {
            PromptTokens = prompt.Tokens,
            MaxTokens = Math.Min(maxTokens ?? room, room),
            Sampling = sampling,
            StopStrings = parameters.Stop,
            IgnoreEndOfGeneration = parameters.IgnoreEos,
            CacheNamespace = hints.Key.CacheNamespace(parameters.CacheSalt),
            SessionId = hints.SessionId ?? (parameters.PromptCacheKey is "" ? null : parameters.PromptCacheKey),
            Priority = Priority(parameters.ServiceTier),
            FairnessKey = hints.Key.FairnessKey(parameters.User),
            Timeout = Shorter(hints.Timeout, parameters.TimeoutMs),
            PredictedTokens = prompt.Predicted,
            Constraint = prompt.Constraint,
            Thinking = prompt.Thinking,
            ControlTokensInText = prompt.ControlTokensInText,
            MessageBoundaries = prompt.Boundaries,
            PromptLogprobs = prompt.PromptLogprobs,
        };
        requests.Add(first);
        for (int choice = 1; choice < parameters.N; choice++)
            requests.Add(sampling.Seed is { } seed ? first with { Sampling = sampling with { Seed = unchecked(seed + (ulong)choice) } } : first);
    }

    /// <summary>The tier that is answered for, in OpenAI's words.</summary>
    public static string TierName(RequestPriority priority) => priority switch
    {
        RequestPriority.Flex => "flex",
        RequestPriority.Priority => "priority",
        _ => "default",
    };

    private static RequestPriority Priority(string? tier) => tier switch
    {
        "flex" => RequestPriority.Flex,
        "priority" or "fast" => RequestPriority.Priority,
        _ => RequestPriority.Default,
    };

    private static TimeSpan? Shorter(TimeSpan? header, int? milliseconds)
    {
        TimeSpan? body = milliseconds is { } given ? TimeSpan.FromMilliseconds(given) : null;
        return header < body || body is null ? header : body;
    }

    private static SamplingOptions Sampling(ServedModel model, GenerationParameters parameters, int? topLogprobs) => new()
    {
        Temperature = parameters.Temperature,
        TopK = parameters.TopK,
        TopP = parameters.TopP,
        MinP = parameters.MinP,
        TypicalP = parameters.TypicalP,
        PresencePenalty = parameters.PresencePenalty,
        FrequencyPenalty = parameters.FrequencyPenalty,
        RepetitionPenalty = parameters.RepetitionPenalty,
        LogitBias = Biases(model, parameters.LogitBias),
        Seed = parameters.Seed is { } seed ? unchecked((ulong)seed) : null,
        TopLogprobs = topLogprobs,
    };

    private static KeyValuePair<int, float>[] Biases(ServedModel model, IReadOnlyDictionary<string, float>? biases)
    {
        if (biases is null)
            return [];
        KeyValuePair<int, float>[] result = new KeyValuePair<int, float>[biases.Count];
        int count = 0;
        foreach ((string key, float bias) in biases)
        {
            int token = int.Parse(key, CultureInfo.InvariantCulture);
            if (token >= model.Vocabulary.Count)
                throw ApiException.InvalidValue($"'logit_bias' names token {token}; the model has {model.Vocabulary.Count}.", "logit_bias", "out_of_range");
            result[count++] = new(token, bias);
        }

        return result;
    }

    private static ApiException TooLong(ServedModel model, string param, string size) => ApiException.InvalidValue(
        $"The prompt does not fit the model's context of {model.Engine.ContextLength} tokens: {size}.", param, "context_length_exceeded");
}
