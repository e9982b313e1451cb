// Guesses by a second, smaller model for all sequences that want some, a row each in every call. It keeps what the model has computed in step with the replies:
// what a reply did not become is removed before the next guess. Decode thread only.
// Always: of every slot the memory holds exactly the tokens listed; a guess can cost speed but never change a reply.

using System.Runtime.InteropServices;
using InferenceServer.Engine.Replies;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Decoding;

/// <param name="context">Owned from here on.</param>
/// <param name="longest">Most tokens guessed for one step.</param>
/// <param name="leastProbability">A guess that the model takes to be less likely ends the draft.</param>
internal sealed partial class Drafter(IDraftContext context, int longest, float leastProbability, TimeProvider time, ILogger log) : IDisposable
{
    /// <summary>A device that fails this often in a row is not asked again.</summary>
    private const int MostFailures = 3;

    /// <summary>The weight of the newest in the mean of what a row of a prompt takes.</summary>
    private const double Newest = 0.25;

    private readonly Dictionary<Sequence, Slot> _slots = [];
    private readonly Stack<Slot> _free = new(Enumerable.Range(0, context.Limits.Sequences).Reverse().Select(id => new Slot(id)));
    private readonly List<PlanRow> _rows = [];
    private readonly List<(Sequence Sequence, Slot Slot, int Wanted)> _drafting = [];
    private readonly DraftGuess[] _guesses = new DraftGuess[context.Limits.Sequences];
    private readonly StepTimes _times = new();
    private double _catchUpRowSeconds = context.Limits.Device.PrefillRowSeconds;
    private int _failures;

    public DraftLimits Limits => context.Limits;

    public int Longest => longest;

    /// <summary>How often its guesses came true of late, whatever the reply: what is believed of a new one.</summary>
    public DraftController Record { get; } = new(longest);

    /// <summary>It has failed, and guesses no more.</summary>
    public bool IsOff => _failures >= MostFailures;

    /// <summary>Time spent on guesses, and on what was computed for them.</summary>
    public double Seconds { get; private set; }

    /// <summary>What one guess takes for each of so many sequences.</summary>
    public double StepSeconds(int sequences) => _times.Seconds(sequences) ?? Limits.Device.SecondsOf(sequences);

    /// <summary>What computing so many tokens of a prompt takes.</summary>
    public double CatchUpSeconds(int tokens) => tokens * _catchUpRowSeconds;

    /// <summary>How many rows of prompts can be computed in this time; a few at least.</summary>
    public int CatchUpRows(double seconds) => (int)Math.Clamp(seconds / _catchUpRowSeconds, Math.Min(32, Limits.BatchSize), Limits.BatchSize);

    /// <summary>Cells that hold nothing, or only what has ended.</summary>
    public int Room
    {
        get
        {
            int room = Limits.Cells;
            foreach (Slot slot in _slots.Values)
                room -= slot.Held.Count;
            return room;
        }
    }

    /// <summary>Tokens of the sequence that the model has not computed, its newest included.</summary>
    public int Backlog(Sequence sequence) => sequence.Count - (_slots.TryGetValue(sequence, out Slot? slot) ? Math.Min(slot.Held.Count, sequence.Count - 1) : 0);

    /// <summary>The sequence runs no more, or will be computed anew.</summary>
    public void Release(Sequence sequence)
    {
        if (_slots.Remove(sequence, out Slot? slot))
            _free.Push(slot);
    }

    /// <summary>Does the jobs. Guesses are in each sequence's <see cref="Speculation"/> afterwards; none where there was no room.</summary>
    public void Run(List<DraftJob> jobs)
    {
        long start = time.GetTimestamp();
        // What those hold that have ended takes room.
        foreach (Slot slot in _free)
            Cut(slot, 0);
        Reconcile(jobs);
        string? error = CatchUp(jobs) ?? Draft(jobs);
        _failures = error is null ? 0 : _failures + 1;
        if (error is not null)
        {
            LogFailed(error, IsOff ? "it is not asked again" : "its memory is cleared");
            context.Clear();
            foreach (Slot slot in _slots.Values.Concat(_free))
                slot.Held.Clear();
        }
        Seconds += time.GetElapsedTime(start).TotalSeconds;
    }

    public void Dispose() => context.Dispose();

    /// <summary>Removes what the replies did not become.</summary>
    private void Reconcile(List<DraftJob> jobs)
    {
        foreach (DraftJob job in jobs)
        {
            if (!_slots.TryGetValue(job.Sequence, out Slot? slot))
            {
                if (job.Sequence.IsFinished || !_free.TryPop(out slot))
                    continue;
                _slots.Add(job.Sequence, slot);
            }
            // The newest token is computed for what follows it.
            ReadOnlySpan<int> tokens = job.Sequence.Tokens[..^1];
            Cut(slot, CollectionsMarshal.AsSpan(slot.Held).CommonPrefixLength(tokens));
        }
    }

    private void Cut(Slot slot, int start)
    {
        if (start == slot.Held.Count)
            return;
        context.Remove(slot.Id, start);
        slot.Held.RemoveRange(start, slot.Held.Count - start);
    }

    private string? CatchUp(List<DraftJob> jobs)
    {
        _rows.Clear();
        foreach (DraftJob job in jobs)
            if (job.CatchUp > 0 && _slots.TryGetValue(job.Sequence, out Slot? slot))
                Add(slot, job.Sequence.Tokens[slot.Held.Count..Math.Min(slot.Held.Count + job.CatchUp, job.Sequence.Count - 1)], wantsGuess: false);
        if (_rows.Count == 0)
            return null;
        long start = time.GetTimestamp();
        if (context.Compute(_rows, []) is { } error)
            return error;
        _catchUpRowSeconds += Newest * ((time.GetElapsedTime(start).TotalSeconds / _rows.Count) - _catchUpRowSeconds);
        return null;
    }

    private string? Draft(List<DraftJob> jobs)
    {
        _drafting.Clear();
        _rows.Clear();
        foreach (DraftJob job in jobs)
            if (job.Wanted > 0 && job.Sequence is { End: null, IsFinished: false } && _slots.TryGetValue(job.Sequence, out Slot? slot) && Add(slot, job.Sequence.Tokens[slot.Held.Count..], wantsGuess: true))
                _drafting.Add((job.Sequence, slot, job.Wanted));
        while (_rows.Count > 0)
        {
            long start = time.GetTimestamp();
            if (context.Compute(_rows, _guesses) is { } error)
                return error;
            if (time.GetElapsedTime(start).TotalSeconds is > 0 and var seconds && _rows.Count <= _times.MostRows)
                _times.Observe(_rows.Count, seconds);
            _rows.Clear();
            int left = 0;
            for (int i = 0; i < _drafting.Count; i++)
            {
                (Sequence sequence, Slot slot, int wanted) = _drafting[i];
                DraftGuess guess = _guesses[i];
                if (guess.Token < 0 || guess.Probability < leastProbability)
                    continue;
                List<int> draft = sequence.Speculation!.ModelDraft;
                draft.Add(guess.Token);
                if (draft.Count < wanted && Add(slot, [guess.Token], wantsGuess: true))
                    _drafting[left++] = _drafting[i];
            }
            _drafting.RemoveRange(left, _drafting.Count - left);
        }
        return null;
    }

    /// <summary>Adds rows for the slot's next tokens; false, and none, where there is no room or the model does not know one of them.</summary>
    private bool Add(Slot slot, ReadOnlySpan<int> next, bool wantsGuess)
    {
        if (_rows.Count + next.Length > Limits.BatchSize || next.Length > Room || slot.Held.Count + next.Length > Limits.ContextLength || next.ContainsAnyExceptInRange(0, Limits.Tokens - 1))
            return false;
        for (int i = 0; i < next.Length; i++)
            _rows.Add(new PlanRow(next[i], slot.Held.Count + i, slot.Id, wantsGuess && i == next.Length - 1));
        slot.Held.AddRange(next);
        return true;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The draft model failed, and {Consequence}: {Error}")]
    private partial void LogFailed(string error, string consequence);

    /// <summary>A sequence of the draft model's memory, and the tokens that it holds.</summary>
    private sealed class Slot(int id)
    {
        public int Id => id;

        public List<int> Held { get; } = [];
    }
}
