using System.Globalization;
using System.Text;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

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
    /// <param name="param">The field that the prompt came from.</param>
    public static void AddRequests(
        List<GenerationRequest> requests, ServedModel model, GenerationParameters parameters, RequestHints hints,
        ReadOnlyMemory<int> prompt, int? maxTokens, int? topLogprobs, string param, ReadOnlyMemory<int> predicted = default)
    {
        int context = model.Engine.ContextLength;
        int room = context - prompt.Length;
        if (room < 1)
            throw TooLong(model, param, $"it has {prompt.Length} tokens, and the reply needs one");
        if (prompt.IsEmpty)
            throw ApiException.InvalidValue($"'{param}' has no tokens.", param, "invalid_value");

        SamplingOptions sampling = Sampling(model, parameters, topLogprobs);
        GenerationRequest first = new()
        {
            PromptTokens = prompt,
            MaxTokens = Math.Min(maxTokens ?? room, room),
            Sampling = sampling,
            StopStrings = parameters.Stop,
            IgnoreEndOfGeneration = parameters.IgnoreEos,
            CacheNamespace = parameters.CacheSalt ?? "",
            SessionId = hints.SessionId ?? parameters.PromptCacheKey,
            Priority = Priority(parameters.ServiceTier),
            FairnessKey = parameters.User ?? "",
            Timeout = Shorter(hints.Timeout, parameters.TimeoutMs),
            PredictedTokens = predicted,
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
