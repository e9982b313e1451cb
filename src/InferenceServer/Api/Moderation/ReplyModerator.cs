using System.Text;
using InferenceServer.Chat.Replies;
using InferenceServer.Moderation;

namespace InferenceServer.Api.Moderation;

/// <summary>
/// Judges one choice's reply as it comes: content, reasoning and the arguments of calls. Where flagged text is to be refused, nothing may be shown before
/// its sentence is judged; else all of it is judged at the end. Belongs to the request's task.
/// </summary>
internal sealed class ReplyModerator(ModerationRules rules, ModerationMode mode)
{
    // A text without an end of a sentence (code, a list of numbers) is judged, and shown, at least this often.
    private const int MostHeldBack = 400;

    // What was shown before is judged along with what follows, so that an expression over two sentences is found, if late.
    private const int LookBack = 256;

    private readonly StringBuilder _text = new();
    private ReplyDeltaKind _kind;
    private int _shown;

    public ModerationVerdict Verdict { get; private set; } = rules.Clean();

    public bool IsRefused { get; private set; }

    /// <summary>True when all that came so far may be shown; false when it must wait, or is refused.</summary>
    public bool Append(in ReplyDelta delta)
    {
        if (mode == ModerationMode.Off)
            return true;
        if (delta.Kind != _kind && _text.Length > 0)
            _text.Append('\n');
        _kind = delta.Kind;
        if (delta.Kind != ReplyDeltaKind.CallEnd)
            _text.Append(delta.Text);
        if (mode == ModerationMode.Flag)
            return true;
        return !IsRefused && (_text.Length == _shown || ((IsSentenceEnd() || _text.Length - _shown >= MostHeldBack) && Judge()));
    }

    /// <summary>Nothing more will come. True when what was held back may be shown.</summary>
    public bool Finish() => mode == ModerationMode.Off || (!IsRefused && Judge());

    private bool Judge()
    {
        int start = mode == ModerationMode.Flag ? 0 : WordStart(_shown - LookBack);
        Verdict = Verdict.With(rules.Check(_text.ToString(start, _text.Length - start)));
        IsRefused = mode == ModerationMode.Refuse && Verdict.IsFlagged;
        _shown = _text.Length;
        return !IsRefused;
    }

    /// <summary>Half a word may look like another one.</summary>
    private int WordStart(int from)
    {
        if (from <= 0)
            return 0;
        for (int at = from; at < _shown; at++)
            if (char.IsWhiteSpace(_text[at]))
                return at;
        return from;
    }

    private bool IsSentenceEnd()
    {
        char last = _text[^1];
        if (last == '\n')
            return true;
        int at = _text.Length - 1;
        while (at > _shown && (_text[at] is ' ' or '"' or '\'' or ')' or '\u201D' or '\u2019' or '*'))
            at--;
        return _text[at] is '.' or '!' or '?' or '\u2026' or '\u3002' or '\uFF01' or '\uFF1F';
    }
}
