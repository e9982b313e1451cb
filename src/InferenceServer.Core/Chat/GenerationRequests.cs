using System.Text;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;

namespace InferenceServer.Chat;

/// <summary>Checked options and a prompt's tokens to what the engine takes: one request for each choice.</summary>
internal static class GenerationRequests
{
    /// <summary>Refuses a text that cannot fit before any time goes into tokenizing it.</summary>
    public static void CheckTextLength(ServedModel model, string text, string where)
    {
        long most = (long)model.ContextLength * model.Vocabulary.LongestTokenBytes;
        if (text.Length > most && Encoding.UTF8.GetByteCount(text) is int bytes)
            throw TooLong(model, where, bytes / model.Vocabulary.LongestTokenBytes, isAtLeast: true, $"its {bytes} bytes are at least {bytes / model.Vocabulary.LongestTokenBytes} tokens");
    }

    /// <summary>Adds the requests of one prompt, a choice each.</summary>
    /// <param name="where">The field that the prompt came from.</param>
    /// <param name="prompt">The prompt and what belongs to it; the rest is filled in from the options.</param>
    public static void Add(List<GenerationRequest> requests, ServedModel model, GenerationOptions options, string where, GenerationRequest prompt)
    {
        int room = model.ContextLength - prompt.PromptTokens.Length;
        if (room < 1)
            throw TooLong(model, where, prompt.PromptTokens.Length, isAtLeast: false, $"it has {prompt.PromptTokens.Length} tokens, and the reply needs one");
        if (prompt.PromptTokens.IsEmpty)
            throw RequestProblem.Invalid("{where} has no tokens.", where, "invalid_value");

        SamplingOptions sampling = Sampling(model, options);
        GenerationRequest first = prompt with
        {
            MaxTokens = Math.Min(options.MaxOutputTokens ?? room, room),
            Sampling = sampling,
            StopStrings = options.StopSequences,
            IgnoreEndOfGeneration = options.IgnoreEndOfGeneration,
            CacheNamespace = options.CacheNamespace,
            Adapters = options.Adapters is { } chosen ? model.Adapters.Of(chosen) : model.Applied,
            SessionId = options.Session,
            Priority = options.Priority,
            FairnessKey = options.FairnessKey,
            Timeout = options.Timeout,
        };
        requests.Add(first);
        for (int choice = 1; choice < options.Choices; choice++)
            requests.Add(sampling.Seed is { } seed ? first with { Sampling = sampling with { Seed = unchecked(seed + (ulong)choice) } } : first);
    }

    private static SamplingOptions Sampling(ServedModel model, GenerationOptions options) => options.Sampling with
    {
        Dry = options.Sampling.Dry is { Multiplier: > 0 } dry ? dry with { Breakers = model.Vocabulary.TokensWith(options.DryBreakers) } : DryOptions.Off,
        LogitBias = Biases(model, options.LogitBias),
        Seed = options.Seed is { } seed ? unchecked((ulong)seed) : null,
        TopLogprobs = options.TopLogprobs,
    };

    private static KeyValuePair<int, float>[] Biases(ServedModel model, IReadOnlyDictionary<int, float>? biases)
    {
        if (biases is null)
            return [];
        foreach (int token in biases.Keys)
            if (token >= model.Vocabulary.Count)
                throw RequestProblem.Invalid($"{{where}} names token {token}; the model has {model.Vocabulary.Count}.", nameof(GenerationOptions.LogitBias), "out_of_range");
        return [.. biases];
    }

    private static RequestProblem TooLong(ServedModel model, string where, int tokens, bool isAtLeast, string size) => new(ProblemKind.Invalid,
        $"The prompt does not fit the model's context of {model.ContextLength} tokens: {size}.", where, "context_length_exceeded")
    { Overflow = new ContextOverflow(tokens, model.ContextLength, isAtLeast) };
}
