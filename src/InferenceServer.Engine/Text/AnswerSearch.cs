// Finds where the answer of a reply begins, past what the model thinks in the open: stop strings act from there on. Decode thread only; one a sequence.

namespace InferenceServer.Engine.Text;

/// <summary>What may come before the answer.</summary>
/// <param name="Open">The text that begins the thinking; empty where only the prompt does.</param>
/// <param name="Close">The text that ends it.</param>
/// <param name="IsOpen">Whether the prompt's end has begun it.</param>
/// <param name="Headers">Texts that may stand around it and before the answer, such as a channel's header; none is empty.</param>
public sealed record AnswerFrame(string Open, string Close, bool IsOpen, IReadOnlyList<string> Headers);

internal sealed class AnswerSearch(AnswerFrame frame)
{
    private bool _within = frame.IsOpen;
    private bool _passedMarker = frame.IsOpen;

    /// <summary>Whether the answer has begun.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Goes on with the text from where the last call left off.</summary>
    /// <param name="text">What that call did not take, and all that came since.</param>
    /// <param name="last">Whether nothing can follow.</param>
    /// <returns>How much of it comes before the answer for certain. The rest is the answer's once the search is over, else undecided.</returns>
    public int Take(ReadOnlySpan<char> text, bool last)
    {
        int at = 0;
        while (true)
        {
            if (_within)
            {
                int close = text[at..].IndexOf(frame.Close, StringComparison.Ordinal);
                if (close < 0)
                    return last ? text.Length : text.Length - BegunAtEnd(text[at..]);
                at += close + frame.Close.Length;
                _within = false;
            }

            ReadOnlySpan<char> rest = text[at..].TrimStart();
            int space = text.Length - at - rest.Length;
            if (rest.Length == 0 && !last)
                return at;
            if (frame.Open.Length > 0 && rest.StartsWith(frame.Open, StringComparison.Ordinal))
            {
                (_within, _passedMarker) = (true, true);
                at += space + frame.Open.Length;
                continue;
            }
            int header = 0;
            bool mayBecomeOne = frame.Open.AsSpan().StartsWith(rest, StringComparison.Ordinal);
            foreach (string known in frame.Headers)
            {
                if (rest.StartsWith(known, StringComparison.Ordinal))
                    header = Math.Max(header, known.Length);
                mayBecomeOne |= known.AsSpan().StartsWith(rest, StringComparison.Ordinal);
            }
            if (header > 0)
            {
                _passedMarker = true;
                at += space + header;
                continue;
            }
            if (mayBecomeOne && !last)
                return at;
            IsOver = true;
            // White space after a marker belongs to that, at the reply's start to the answer.
            return _passedMarker ? at + space : at;
        }
    }

    /// <summary>How much of the closing text the thinking ends in.</summary>
    private int BegunAtEnd(ReadOnlySpan<char> text)
    {
        int length = Math.Min(text.Length, frame.Close.Length - 1);
        while (!text.EndsWith(frame.Close.AsSpan(0, length), StringComparison.Ordinal))
            length--;
        return length;
    }
}
