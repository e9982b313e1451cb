using InferenceServer.Chat;
using InferenceServer.Chat.Replies;

namespace InferenceServer.Moderation;

/// <summary>
/// The stage that moderates: it holds pieces back until they are judged, and puts a refusal in the place of what may not be shown. What the model is to judge
/// waits for its verdict, the end of its choice included.
/// </summary>
/// <param name="stop">Ends a choice early.</param>
/// <param name="whole">Nobody reads the reply before it is whole: the model judges once, at the end.</param>
internal sealed class ReplyModeration(IReplySource replies, TurnModeration moderation, int choices, Action<int> stop, bool whole) : IReplySource
{
    private readonly List<ReplyEvent> _read = [];
    private readonly List<ReplyEvent>[] _held = [.. Enumerable.Range(0, choices).Select(_ => new List<ReplyEvent>())];
    private readonly bool[] _refused = new bool[choices];

    // How many of those that are held back the model is judging; and the end of a choice, where it is judging the last of them.
    private readonly int[] _due = new int[choices];
    private readonly ReplyEnd?[] _ends = new ReplyEnd?[choices];
    private bool _judges;
    private bool _open = true;

    public async ValueTask<bool> ReadAsync(List<ReplyEvent> into)
    {
        if (!_judges)
            await TakeAsync(into);
        // What may be shown goes out before the model is waited for.
        if (_judges && into.Count > 0)
            return true;
        if (_judges)
        {
            _judges = false;
            await (moderation.JudgeAsync() ?? Task.CompletedTask);
            Open(into);
        }

        return _open;
    }

    private async ValueTask TakeAsync(List<ReplyEvent> into)
    {
        _read.Clear();
        try
        {
            _open = await replies.ReadAsync(_read);
        }
        finally
        {
            foreach (ReplyEvent read in _read)
                Take(read, into);
        }

        _judges = moderation.IsDue && (!whole || !_open);
    }

    private void Take(in ReplyEvent read, List<ReplyEvent> into)
    {
        if (read.Kind == ReplyEventKind.Begin)
            into.Add(read);
        else if (read.Kind == ReplyEventKind.Delta)
            Judge(read, into);
        else if (read.Hosted is not null)
            Pass(read, into);
        else if (moderation.Finish(read.Choice) == ReplyStep.Judge)
            (_due[read.Choice], _ends[read.Choice]) = (_held[read.Choice].Count, read.End);
        else
            Close(read.Choice, read.End!, into);
    }

    /// <summary>What is no text of the model's keeps its place among what is held back.</summary>
    private void Pass(in ReplyEvent read, List<ReplyEvent> into)
    {
        if (!_refused[read.Choice])
            (_held[read.Choice].Count > 0 ? _held[read.Choice] : into).Add(read);
    }

    private void Judge(in ReplyEvent read, List<ReplyEvent> into)
    {
        int choice = read.Choice;
        if (_refused[choice])
            return;
        ReplyStep step = moderation.Append(choice, read.Delta);
        if (moderation.IsRefused(choice))
        {
            Refuse(choice, into);
        }
        else if (step == ReplyStep.Show)
        {
            Release(choice, _held[choice].Count, into);
            into.Add(read);
        }
        else
        {
            _held[choice].Add(read);
            if (step == ReplyStep.Judge)
                _due[choice] = _held[choice].Count;
        }
    }

    /// <summary>The model has judged: gives what waited for it, or the refusal.</summary>
    private void Open(List<ReplyEvent> into)
    {
        for (int choice = 0; choice < _refused.Length; choice++)
        {
            if (moderation.IsRefused(choice) && !_refused[choice])
                Refuse(choice, into);
            Release(choice, _due[choice], into);
            if (_ends[choice] is not { } end)
                continue;
            _ends[choice] = null;
            Close(choice, end, into);
        }
    }

    private void Close(int choice, ReplyEnd end, List<ReplyEvent> into)
    {
        moderation.Close(choice);
        if (moderation.IsRefused(choice) && !_refused[choice])
            Refuse(choice, into);
        Release(choice, _held[choice].Count, into);
        into.Add(ReplyEvent.Ends(choice, moderation.EndOf(choice, end)));
    }

    private void Release(int choice, int count, List<ReplyEvent> into)
    {
        into.AddRange(_held[choice].Take(count));
        _held[choice].RemoveRange(0, count);
        _due[choice] = 0;
    }

    private void Refuse(int choice, List<ReplyEvent> into)
    {
        _refused[choice] = true;
        _held[choice].Clear();
        _due[choice] = 0;
        stop(choice);
        into.Add(ReplyEvent.Says(choice, new ReplyDelta(ReplyDeltaKind.Refusal, moderation.Refusal(choice)), null));
    }
}
