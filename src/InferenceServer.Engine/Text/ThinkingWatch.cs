// Counts the tokens that a reply thinks in the open, and says when they are spent. Decode thread only; one a sequence.
// Always holds: once the thinking is over it stays over, so a budget closes it at most once.

namespace InferenceServer.Engine.Text;

/// <summary>A limit on what a reply thinks in the open.</summary>
/// <param name="Tokens">Most tokens between the markers; 0 closes at once.</param>
/// <param name="Open">The text that begins the thinking where the prompt has not; counts at the reply's start only.</param>
/// <param name="Close">The text that ends it.</param>
/// <param name="IsOpen">Whether the prompt's end has begun it.</param>
/// <param name="CloseTokens">What is written to end it, <paramref name="Close"/> included; at most <see cref="MaxCloseTokens"/>.</param>
public sealed record ThinkingLimit(int Tokens, string Open, string Close, bool IsOpen, ReadOnlyMemory<int> CloseTokens)
{
    public const int MaxCloseTokens = 32;
}

internal sealed class ThinkingWatch(ThinkingLimit limit)
{
    private enum Phase
    {
        BeforeIt,
        Within,
        Over,
    }

    private Phase _phase = limit.IsOpen ? Phase.Within : limit.Open.Length == 0 ? Phase.Over : Phase.BeforeIt;
    private string _tail = "";
    private int _tokens;

    /// <summary>Whether the thinking must end now.</summary>
    public bool IsSpent => _phase == Phase.Within && _tokens >= limit.Tokens;

    /// <summary>Most tokens that may be drafted: were all of them to come true, and one more with them, the limit would be reached and not passed.</summary>
    public int MostDrafted => _phase switch
    {
        Phase.Over => int.MaxValue,
        Phase.Within => limit.Tokens - _tokens - 1,
        _ => limit.Tokens, // one of them at least is the marker that begins it
    };

    /// <summary>Takes in the text that came with a token; it may be empty, or that of several where some was held back.</summary>
    public void Take(string text)
    {
        if (_phase == Phase.Over)
            return;
        _tail += text;
        if (_phase == Phase.BeforeIt)
        {
            string start = _tail.TrimStart();
            if (start.StartsWith(limit.Open, StringComparison.Ordinal))
                (_phase, _tail) = (Phase.Within, start[limit.Open.Length..]);
            else if (!limit.Open.StartsWith(start, StringComparison.Ordinal))
                (_phase, _tail) = (Phase.Over, "");
            return;
        }

        _tokens++;
        if (_tail.Contains(limit.Close, StringComparison.Ordinal))
            (_phase, _tail) = (Phase.Over, "");
        else if (_tail.Length > limit.Close.Length)
            _tail = _tail[^limit.Close.Length..];
    }
}
