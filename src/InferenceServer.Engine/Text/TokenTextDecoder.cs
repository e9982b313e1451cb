// Turns a sequence's tokens into text that may be sent: whole characters only, and nothing that could still become a stop string.
// Owned by one sequence, used by the decode thread for each token. Always: what Append and Finish returned, joined, is the reply decoded as a whole,
// up to the stop string if there was one; and it does not depend on how the bytes were split into tokens.

using System.Buffers;
using System.Text;

namespace InferenceServer.Engine.Text;

/// <summary>Token bytes to UTF-8 text to stop-string hold-back, for one sequence.</summary>
/// <remarks>
/// Bytes that are no UTF-8 become U+FFFD, one for each maximal part of an ill-formed sequence, as Unicode and WHATWG recommend.
/// Of several stop strings the one that is complete first ends the text; of those complete at the same character, the longest.
/// </remarks>
public sealed class TokenTextDecoder
{
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private readonly TextPool? _pool;
    private readonly StopMatcher[] _stops;
    private readonly SearchValues<char>? _firstCharacters;
    private readonly AnswerSearch? _answer;

    /// <summary>Decoded and not yet released characters: the longest beginning of a stop string, or of what comes before an answer, that the text ends in.</summary>
    private char[] _held = new char[64];
    private int _heldLength;
    private bool _finished;

    /// <param name="stopStrings">None may be empty or hold half a surrogate pair.</param>
    /// <param name="pool">Where texts that were released before are found; of the thread that calls.</param>
    /// <param name="beforeAnswer">Where stop strings do not act; null for nowhere.</param>
    public TokenTextDecoder(IReadOnlyList<string> stopStrings, TextPool? pool = null, AnswerFrame? beforeAnswer = null)
    {
        ArgumentNullException.ThrowIfNull(stopStrings);
        _pool = pool;
        _stops = new StopMatcher[stopStrings.Count];
        char[] first = new char[stopStrings.Count];
        for (int i = 0; i < _stops.Length; i++)
        {
            CheckStop(stopStrings[i], i);
            _stops[i] = new StopMatcher(stopStrings[i]);
            first[i] = stopStrings[i][0];
        }
        if (_stops.Length == 0)
            return;
        _firstCharacters = SearchValues.Create(first);
        _answer = beforeAnswer is null ? null : new AnswerSearch(beforeAnswer);
    }

    /// <summary>The stop string that ended the text; null while none has. Text before it was released, all else is dropped.</summary>
    public string? MatchedStop { get; private set; }

    /// <summary>Takes a token's bytes and returns the text that is now safe to send, empty when there is none.</summary>
    public string Append(ReadOnlySpan<byte> tokenBytes)
    {
        if (_finished)
            throw new InvalidOperationException("The text is finished; no token can follow.");
        return MatchedStop is null ? Release(tokenBytes, last: false) : "";
    }

    /// <summary>Returns what was held back, an incomplete character as U+FFFD; empty after a stop string. Nothing can follow.</summary>
    public string Finish()
    {
        if (_finished || MatchedStop is not null)
        {
            _finished = true;
            return "";
        }
        _finished = true;
        return Release([], last: true);
    }

    private string Release(ReadOnlySpan<byte> bytes, bool last)
    {
        int room = Encoding.UTF8.GetMaxCharCount(bytes.Length) + 1;
        if (_held.Length - _heldLength < room)
            Array.Resize(ref _held, Math.Max(_heldLength + room, _held.Length * 2));
        int length = _heldLength + _utf8.GetChars(bytes, _held.AsSpan(_heldLength), flush: last);

        int from = _heldLength;
        if (_answer is { IsOver: false })
        {
            from = _answer.Take(_held.AsSpan(0, length), last);
            if (!_answer.IsOver)
                return Release(length, keep: length - from);
        }
        if (_stops.Length > 0 && FindStop(from, length) is (StopMatcher stop, int end))
        {
            MatchedStop = stop.Text;
            return new string(_held, 0, end - stop.Text.Length);
        }

        int keep = 0;
        if (!last)
        {
            foreach (StopMatcher matcher in _stops)
                keep = Math.Max(keep, matcher.Matched);
        }
        return Release(length, keep);
    }

    /// <summary>Releases all but the last characters.</summary>
    private string Release(int length, int keep)
    {
        int released = length - keep;
        if (released == 0)
        {
            _heldLength = length;
            return "";
        }
        string text = _pool is null ? new string(_held, 0, released) : _pool.Get(_held.AsSpan(0, released));
        Array.Copy(_held, released, _held, 0, keep);
        _heldLength = keep;
        return text;
    }

    /// <summary>Feeds the new characters to every stop string; returns the first to be complete and where it ends.</summary>
    private (StopMatcher Stop, int End)? FindStop(int start, int length)
    {
        for (int i = start; i < length; i++)
        {
            if (!AnyBegun())
            {
                int skip = _held.AsSpan(i, length - i).IndexOfAny(_firstCharacters!);
                if (skip < 0)
                    return null;
                i += skip;
            }
            StopMatcher? complete = null;
            foreach (StopMatcher stop in _stops)
            {
                if (stop.Advance(_held[i]) && (complete is null || stop.Text.Length > complete.Text.Length))
                    complete = stop;
            }
            if (complete is not null)
                return (complete, i + 1);
        }
        return null;
    }

    private bool AnyBegun()
    {
        foreach (StopMatcher stop in _stops)
        {
            if (stop.Matched > 0)
                return true;
        }
        return false;
    }

    private static void CheckStop(string? stop, int index)
    {
        if (string.IsNullOrEmpty(stop))
            throw new ArgumentException($"Stop string {index} is empty.", nameof(stop));
        for (ReadOnlySpan<char> rest = stop; rest.Length > 0;)
        {
            if (Rune.DecodeFromUtf16(rest, out _, out int consumed) != OperationStatus.Done)
                throw new ArgumentException($"Stop string {index} holds half a surrogate pair at character {stop.Length - rest.Length}.", nameof(stop));
            rest = rest[consumed..];
        }
    }

    /// <summary>Knuth-Morris-Pratt over one stop string: each character of the reply costs a step or two, however it repeats.</summary>
    private sealed class StopMatcher
    {
        /// <summary>For each length, the longest proper prefix that is also a suffix of the prefix of that length.</summary>
        private readonly int[] _fallback;

        public StopMatcher(string text)
        {
            Text = text;
            _fallback = new int[text.Length];
            for (int length = 2; length <= text.Length - 1; length++)
            {
                int border = _fallback[length - 1];
                while (border > 0 && text[border] != text[length - 1])
                    border = _fallback[border];
                _fallback[length] = text[border] == text[length - 1] ? border + 1 : 0;
            }
        }

        public string Text { get; }

        /// <summary>How much of the stop string the text ends in.</summary>
        public int Matched { get; private set; }

        /// <summary>Returns whether the stop string is now complete.</summary>
        public bool Advance(char next)
        {
            int matched = Matched;
            while (matched > 0 && Text[matched] != next)
                matched = _fallback[matched];
            Matched = Text[matched] == next ? matched + 1 : 0;
            return Matched == Text.Length;
        }
    }
}
