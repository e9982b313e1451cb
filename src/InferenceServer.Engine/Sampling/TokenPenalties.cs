// What a sequence has said so far, counted for the penalties. Owned by its Sampler; touches only the logits of tokens that occurred.

using System.Runtime.InteropServices;

namespace InferenceServer.Engine.Sampling;

/// <summary>Presence and frequency penalties over the reply, repetition penalty over prompt and reply.</summary>
internal sealed class TokenPenalties
{
    private readonly float _presence;
    private readonly float _frequency;
    private readonly float _repetition;

    /// <summary>Token to occurrences in the reply; 0 for one that only the prompt holds.</summary>
    private readonly Dictionary<int, int> _counts = [];

    private TokenPenalties(SamplingOptions options, ReadOnlySpan<int> promptTokens)
    {
        _presence = options.PresencePenalty;
        _frequency = options.FrequencyPenalty;
        _repetition = options.RepetitionPenalty;
        if (_repetition == 1)
            return;
        foreach (int token in promptTokens)
            _counts.TryAdd(token, 0);
    }

    /// <summary>Null when the options ask for no penalty, so that a plain request counts nothing.</summary>
    public static TokenPenalties? Create(SamplingOptions options, ReadOnlySpan<int> promptTokens) =>
        options is { PresencePenalty: 0, FrequencyPenalty: 0, RepetitionPenalty: 1 } ? null : new TokenPenalties(options, promptTokens);

    public bool IsEmpty => _counts.Count == 0;

    public void Accept(int token) => CollectionsMarshal.GetValueRefOrAddDefault(_counts, token, out _)++;

    /// <summary>Repetition first (a factor), then frequency and presence (subtracted).</summary>
    public void Apply(Span<float> logits)
    {
        foreach ((int token, int count) in _counts)
        {
            float logit = logits[token];
            logit = logit > 0 ? logit / _repetition : logit * _repetition;
            logit -= count * _frequency;
            if (count > 0)
                logit -= _presence;
            logits[token] = logit;
        }
    }
}
