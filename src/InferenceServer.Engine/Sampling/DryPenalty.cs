// DRY ("don't repeat yourself"): makes a token less likely the longer a sequence is that it would repeat. One sequence's; owned by its Sampler.

using System.Collections.Frozen;

namespace InferenceServer.Engine.Sampling;

/// <summary>How sequences that were said before are held back.</summary>
/// <param name="Multiplier">Subtracted from the logit of a token that would make a repetition one longer than allowed.</param>
/// <param name="Base">By how much that grows with each token more. At least 1.</param>
/// <param name="AllowedLength">Tokens that may be repeated freely. Not negative.</param>
/// <param name="LastTokens">How far back to look, in prompt and reply; -1 for all.</param>
public sealed record DryOptions(float Multiplier, float Base, int AllowedLength, int LastTokens)
{
    /// <summary>Tokens across which nothing counts as a repetition, such as line breaks.</summary>
    public IReadOnlySet<int> Breakers { get; init; } = FrozenSet<int>.Empty;

    /// <summary>Nothing is held back; the other numbers are llama.cpp's.</summary>
    public static DryOptions Off { get; } = new(0, 1.75f, 2, -1);
}

internal sealed class DryPenalty
{
    private readonly DryOptions _options;
    private readonly float _mostTokens;
    private readonly List<int> _history;
    private readonly Dictionary<int, int> _repeats = [];
    private int[] _common = [];

    public DryPenalty(DryOptions options, ReadOnlySpan<int> promptTokens)
    {
        _options = options;
        _history = [.. promptTokens];
        // A longer repetition would not be a number any more.
        _mostTokens = options.Base > 1 ? MathF.Log(float.MaxValue / MathF.Max(options.Multiplier, 1)) / MathF.Log(options.Base) - 1 : float.PositiveInfinity;
    }

    public void Accept(int token) => _history.Add(token);

    public void Apply(Span<float> logits)
    {
        Find();
        foreach ((int token, int length) in _repeats)
            logits[token] -= _options.Multiplier * MathF.Pow(_options.Base, MathF.Min(length - _options.AllowedLength, _mostTokens));
    }

    /// <summary>For each token that would repeat a sequence: how much of it was said already, where that is as long as is allowed or longer.</summary>
    private void Find()
    {
        _repeats.Clear();
        int window = _options.LastTokens < 0 ? _history.Count : Math.Min(_options.LastTokens, _history.Count);
        int start = _history.Count - window;
        int most = 0;
        while (most < window && !_options.Breakers.Contains(_history[^(most + 1)]))
            most++;
        if (most == 0)
            return;
        // The Z function of the window read backwards: how much of its end each place before ends in.
        if (_common.Length < window)
            _common = new int[Math.Max(window, 2 * _common.Length)];
        int left = 0, right = 0;
        int At(int back) => _history[^(back + 1)];
        for (int back = 1; back < window; back++)
        {
            int length = back < right ? Math.Min(right - back, _common[back - left]) : 0;
            while (back + length < window && At(length) == At(back + length))
                length++;
            if (back + length > right)
                (left, right) = (back, back + length);
            _common[back] = length;
            length = Math.Min(length, most);
            int next = _history[start + window - back];
            if (length >= Math.Max(_options.AllowedLength, 1) && !_options.Breakers.Contains(next) && length > _repeats.GetValueOrDefault(next))
                _repeats[next] = length;
        }
    }
}
