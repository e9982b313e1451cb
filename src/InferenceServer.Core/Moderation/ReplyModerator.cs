using System.Text;
using InferenceServer.Chat.Replies;

namespace InferenceServer.Moderation;

/// <summary>What is to be done with a piece of a reply.</summary>
internal enum ReplyStep
{
    /// <summary>All that came so far passes.</summary>
    Show,

    /// <summary>It must wait for the end of its sentence, or is refused.</summary>
    Hold,

    /// <summary>The rules pass all that came so far; the model has still to judge it.</summary>
    Judge,
}

/// <summary>
/// Judges one choice's reply as it comes: content, reasoning and the arguments of calls. Where flagged text is to be refused, nothing may be shown before
/// its sentence is judged, by the rules at once and then by the model, if there is one; else all of it is judged at the end. Belongs to the request's task.
/// </summary>
internal sealed class ReplyModerator(ModerationGate gate, ModerationMode mode)
{
    // A text without an end of a sentence (code, a list of numbers) is judged, and shown, at least this often.
    private const int MostHeldBack = 400;

    // What was shown before is judged along with what follows, so that an expression over two sentences is found, if late.
    private const int LookBack = 256;

    private readonly StringBuilder _text = new();
    private ReplyDeltaKind _kind;

    // Up to where it passed; up to where it passed the rules.
    private int _shown;
    private int _ruled;

    public ModerationVerdict Verdict { get; private set; } = gate.Rules.Clean();

    public bool IsRefused { get; private set; }

    /// <summary>The model has something to judge.</summary>
    public bool IsDue { get; private set; }

    public ReplyStep Append(in ReplyDelta delta)
    {
        if (mode == ModerationMode.Off)
            return ReplyStep.Show;
        if (delta.Kind != _kind && _text.Length > 0)
            _text.Append('\n');
        _kind = delta.Kind;
        if (delta.Kind != ReplyDeltaKind.CallEnd)
            _text.Append(delta.Text);
        if (mode == ModerationMode.Flag)
            return ReplyStep.Show;
        if (IsRefused)
            return ReplyStep.Hold;
        if (_text.Length == _shown)
            return ReplyStep.Show;
        return IsSentenceEnd() || _text.Length - _ruled >= MostHeldBack ? ApplyRules() : ReplyStep.Hold;
    }

    /// <summary>Nothing more will come.</summary>
    public ReplyStep Finish()
    {
        if (IsRefused)
            return ReplyStep.Hold;
        return mode == ModerationMode.Off || _text.Length == _shown ? ReplyStep.Show : ApplyRules();
    }

    /// <summary>Lets the model judge what passed the rules. Nothing is to be appended meanwhile.</summary>
    /// <exception cref="RequestProblem">It failed to.</exception>
    public async Task JudgeAsync(CancellationToken cancellation)
    {
        IsDue = false;
        int start = WindowStart(_shown);
        Judged(await gate.Classifier!.CheckAsync(_text.ToString(start, _ruled - start), cancellation));
        if (!IsRefused)
            _shown = _ruled;
    }

    private ReplyStep ApplyRules()
    {
        int start = WindowStart(_ruled);
        Judged(gate.Rules.Check(_text.ToString(start, _text.Length - start)));
        _ruled = _text.Length;
        IsDue = !IsRefused && gate.Classifier is not null;
        if (IsRefused)
            return ReplyStep.Hold;
        if (IsDue)
            return ReplyStep.Judge;
        _shown = _ruled;
        return ReplyStep.Show;
    }

    private void Judged(ModerationVerdict verdict)
    {
        Verdict = Verdict.With(verdict);
        IsRefused = mode == ModerationMode.Refuse && Verdict.IsFlagged;
    }

    /// <summary>Where what is judged along with the text from <paramref name="at"/> on begins. Half a word may look like another one.</summary>
    private int WindowStart(int at)
    {
        int from = at - LookBack;
        if (from <= 0)
            return 0;
        for (int i = from; i < at; i++)
            if (char.IsWhiteSpace(_text[i]))
                return i;
        return from;
    }

    private bool IsSentenceEnd()
    {
        char last = _text[^1];
        if (last == '\n')
            return true;
        int at = _text.Length - 1;
        while (at > _ruled && (_text[at] is ' ' or '"' or '\'' or ')' or '\u201D' or '\u2019' or '*'))
            at--;
        return _text[at] is '.' or '!' or '?' or '\u2026' or '\u3002' or '\uFF01' or '\uFF1F';
    }
}
