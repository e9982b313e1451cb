// Drafts from the text that the client expects (OpenAI's "prediction"): a file to be returned with small edits, a form to be filled in.
// Owned by one sequence, used by the decode thread. Always: a draft is only a guess that the next step verifies.

namespace InferenceServer.Engine.Decoding;

/// <summary>Follows a reply through its prediction; after they diverge it finds the place where they agree again.</summary>
public sealed class PredictionDraft
{
    private const int LongestMatch = 3;

    /// <summary>One token alone is everywhere; two agreeing in order are rarely chance, and cost two undrafted tokens after an edit.</summary>
    private const int ShortestMatch = 2;

    private readonly ReadOnlyMemory<int> _predicted;

    /// <summary>The predicted token that should come next; while lost, the one that did not come.</summary>
    private int _cursor;
    private int _followed;

    /// <summary>Tokens of the reply since it left the prediction; 0 while it follows.</summary>
    private int _astray;

    /// <param name="predictedTokens">The expected reply; may be empty.</param>
    public PredictionDraft(ReadOnlyMemory<int> predictedTokens)
    {
        _predicted = predictedTokens;
    }

    /// <summary>Tokens of the reply that came as predicted, or by which the place was found again.</summary>
    public int MatchedTokens { get; private set; }

    /// <summary>Follows the reply's new tokens and proposes what should come next.</summary>
    /// <param name="reply">The reply so far, without the prompt; it only grows from call to call.</param>
    /// <param name="draft">Its length is the most that is wanted.</param>
    /// <returns>How many tokens were written; 0 while reply and prediction disagree, and after the prediction's end.</returns>
    public int Draft(ReadOnlySpan<int> reply, Span<int> draft)
    {
        Follow(reply);
        if (_astray > 0)
            return 0;
        ReadOnlySpan<int> rest = _predicted.Span[_cursor..];
        rest = rest[..Math.Min(rest.Length, draft.Length)];
        rest.CopyTo(draft);
        return rest.Length;
    }

    /// <summary>Follows the reply's new tokens only: for the last ones of a reply, so that <see cref="MatchedTokens"/> counts them.</summary>
    public void Follow(ReadOnlySpan<int> reply)
    {
        if (reply.Length < _followed)
            throw new ArgumentException($"{_followed} tokens were followed, but now there are only {reply.Length}: a reply only grows.", nameof(reply));
        ReadOnlySpan<int> predicted = _predicted.Span;
        for (; _followed < reply.Length; _followed++)
        {
            if (_astray == 0 && _cursor < predicted.Length && predicted[_cursor] == reply[_followed])
            {
                _cursor++;
                MatchedTokens++;
            }
            else
            {
                Resynchronise(reply[..(_followed + 1)], predicted);
            }
        }
    }

    /// <summary>Looks for the reply's last tokens further on in the prediction, as edits keep its order; then, had that gone astray, from its start.</summary>
    private void Resynchronise(ReadOnlySpan<int> reply, ReadOnlySpan<int> predicted)
    {
        _astray++;
        for (int n = LongestMatch; n >= ShortestMatch; n--)
        {
            if (reply.Length < n)
                continue;
            ReadOnlySpan<int> last = reply[^n..];
            int from = Math.Min(_cursor, predicted.Length);
            int found = predicted[from..].IndexOf(last);
            int at = found >= 0 ? from + found : predicted.IndexOf(last);
            if (at < 0)
                continue;
            _cursor = at + n;
            MatchedTokens += Math.Min(n, _astray); // The tokens before it went astray are counted already.
            _astray = 0;
            return;
        }
    }
}
