// The pure heart of the engine: Plan() says what the next step does, Apply() takes in what it brought. Decode thread only; no native
// calls, no I/O, no clock of its own, so tests drive it step by step without a model. Always: every sequence is waiting or running and
// in one list only; rows of a plan <= the batch size; every sequence that leaves writes exactly one Finished event.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>Most tokens a grammar forces at a time; they are computed in one step with the next row.</summary>
    private const int MaxForcedTokens = 16;

    /// <summary>A sequence whose steps failed this often in a row is given up.</summary>
    private const int MaxFailedSteps = 3;

    private readonly Comparison<Sequence> _prefillOrder;
    private bool _prefillTurn;
    private long _prefillSteps;
    private readonly EngineOptions _options;
    private readonly DecoderLimits _limits;
    private readonly EngineVocabulary _vocabulary;
    private readonly TimeProvider _time;
    private readonly AdmissionPolicy _admission;
    private readonly StepTimeModel _stepTime;
    private readonly StepPlan _plan = new();
    private readonly WaitingQueue _waiting;
    private readonly List<Sequence> _ended = [];
    private readonly List<Sequence> _running = [];
    private readonly List<Sequence> _looked = [];
    private readonly List<(AdmissionPolicy.Rank Rank, Sequence Sequence, PrefixMatch Match)> _candidates = [];
    private readonly List<Sequence> _prefilling = [];
    private readonly TextPool _texts = new();
    private ulong _ordinal;

    /// <param name="disk">Null without a disk tier; only where cells are shared.</param>
    public Scheduler(EngineOptions options, DecoderLimits limits, EngineVocabulary vocabulary, TimeProvider time, DiskTier? disk = null)
    {
        _options = options;
        _limits = limits;
        _vocabulary = vocabulary;
        _time = time;
        _admission = new AdmissionPolicy(time);
        _waiting = new WaitingQueue(_admission);
        _prefillOrder = (a, b) =>
        {
            int byWait = PassedOver(b).CompareTo(PassedOver(a)); // true first
            return byWait != 0 ? byWait : (a.Count - a.Computed).CompareTo(b.Count - b.Computed);
        };
        _stepTime = new StepTimeModel(options.TargetInterTokenSeconds);
        // Parts of a sequence can be saved and restored only where cells are shared: elsewhere copies move whole sequences.
        HostTier host = new(limits.SharesCells ? options.HostCacheBytes : 0, limits.StateBytesPerToken);
        Cache = new PrefixCache(limits.Cells, limits.SequenceIds, limits.SharesCells, limits.CheckpointBytes, host, disk, time);
    }

    public PrefixCache Cache { get; }

    public SchedulerCounters Counters { get; } = new();

    public StepTimeModel StepTime => _stepTime;

    public IReadOnlyCollection<Sequence> Waiting => _waiting;

    public IReadOnlyList<Sequence> Running => _running;

    public bool HasWork => _running.Count > 0 || _waiting.Count > 0 || Cache.PendingOps.Count > 0 || Outbox.Count > 0;

    /// <summary>Events of the last Plan and Apply, for the loop to write; it clears the list.</summary>
    public List<(Generation Generation, GenerationEvent Event)> Outbox { get; } = [];

    public void Accept(Generation generation, long now)
    {
        Counters.Accepted++;
        try
        {
            _waiting.Add(new Sequence(generation, now, _ordinal++, _vocabulary.Count, _texts) { Stops = Cache.StopsFor(generation.Request) });
        }
        catch (Exception e) when (e is ArgumentException or ConstraintException)
        {
            // What the API should have refused must not end the decode thread, and with it everybody's request.
            Counters.CountEnd(FinishReason.Failed);
            Outbox.Add((generation, new GenerationEvent(GenerationEventKind.Finished, "", -1, null, new GenerationResult
            {
                FinishReason = FinishReason.Failed,
                Error = $"The request cannot be run: {e.Message}",
                PromptTokens = generation.Request.PromptTokens.Length,
                CachedTokens = 0,
                CompletionTokens = 0,
            })));
        }
    }

    /// <summary>With no requests: plans something useful for the next step, such as saving an entry. False when there is nothing.</summary>
    public bool PlanIdleWork() => !HasWork && Cache.SaveOneIdle();

    /// <summary>What the next step does. The plan is valid until the next call.</summary>
    public StepPlan Plan(long now)
    {
        _plan.Clear();
        Cache.SettleDiskTier();
        DropCancelledAndExpired(now);
        if (_running.Count > 0)
            Cache.TrimIdle();
        else if (_waiting.Count > 0)
            Cache.UnloadIdle(_waiting);
        _prefillTurn = TakesTurns() && !(_prefillTurn && AnySteady);
        if (!_prefillTurn)
            PlanDecodeRows();
        Admit(now);
        if (_prefillTurn || !TakesTurns())
            PlanPrefill();
        if (_prefillTurn && _plan.Rows.Count == 0)
            PlanDecodeRows();
        if (_plan.Rows.Count == 0 && _running.Count > 0)
            UnblockPrefill();
        FillTile();
        _plan.Ops.AddRange(Cache.PendingOps);
        Cache.PendingOps.Clear();
        return _plan;
    }

    /// <summary>Takes in a step that succeeded.</summary>
    public void Apply(StepResult result, long now, double stepSeconds)
    {
        Cache.SettleHostTier();
        int decodeRows = _plan.Rows.Count - _plan.PrefillRows;
        if (_plan.Rows.Count > 0)
        {
            _stepTime.Observe(decodeRows, _plan.PrefillRows, stepSeconds);
            Counters.Steps++;
            Counters.StepSeconds += stepSeconds;
            Counters.DecodeSteps += decodeRows > 0 ? 1 : 0;
            Counters.DecodeRows += decodeRows - _plan.FillRows;
            Cache.CountRows(_plan.Rows.Count);
            if (_prefillTurn && decodeRows == 0)
                foreach (Sequence sequence in _running)
                    sequence.SecondsHeldBack += IsDecoding(sequence) ? stepSeconds : 0;
        }
        for (int i = 0; i < _plan.Slices.Count; i++)
            Apply(_plan.Slices[i], i, result, now);
    }

    /// <summary>Takes in a step that failed: the KV memory was cleared, so everything running is computed again, or given up after repeated failures.</summary>
    public void Recover(string error, long now)
    {
        Counters.FailedSteps++;
        foreach (PlanSlice slice in _plan.Slices)
            slice.Sequence.FailedSteps++;
        foreach (Sequence sequence in _running)
            Cache.Abandon(sequence, sequence.PrivateCells + PlannedRows(sequence));
        Cache.ForgetResident();
        Cache.ForgetFailedRestores(_plan.Ops);
        for (int i = _running.Count - 1; i >= 0; i--)
        {
            Sequence sequence = _running[i];
            _running.RemoveAt(i);
            if (sequence.FailedSteps >= MaxFailedSteps)
                Finish(sequence, FinishReason.Failed, now, $"The model could not compute this request: {error}.");
            else
                _waiting.Add(sequence);
        }
    }

    /// <summary>Ends every request: the decode thread cannot go on, or time to drain is over.</summary>
    public void FinishAll(FinishReason reason, long now, string? error)
    {
        foreach (Sequence sequence in _running.Concat(_waiting).ToArray())
        {
            _running.Remove(sequence);
            _waiting.Remove(sequence);
            Finish(sequence, reason, now, error);
        }
    }

    private int PlannedRows(Sequence sequence)
    {
        foreach (PlanSlice slice in _plan.Slices)
            if (slice.Sequence == sequence)
                return slice.RowCount;
        return 0;
    }

    private void DropCancelledAndExpired(long now)
    {
        for (int i = _running.Count - 1; i >= 0; i--)
            if (EndedBeforeItsTime(_running[i], now) is { } reason)
            {
                Sequence sequence = _running[i];
                _running.RemoveAt(i);
                Finish(sequence, reason, now);
            }
        _ended.Clear();
        _waiting.Take(sequence => EndedBeforeItsTime(sequence, now) is not null, _ended);
        foreach (Sequence sequence in _ended)
            Finish(sequence, EndedBeforeItsTime(sequence, now)!.Value, now);
    }

    private FinishReason? EndedBeforeItsTime(Sequence sequence, long now)
    {
        if (sequence.Generation.CancelRequested)
            return FinishReason.Cancelled;
        return sequence.Request.Timeout is { } timeout && _time.GetElapsedTime(sequence.Arrival, now) >= timeout
            ? FinishReason.DeadlineExceeded
            : null;
    }

    /// <summary>Sequences whose reply goes on: a row for the newest token and for those a grammar forced. Most deserving first, so a victim never has a row yet.</summary>
    private void PlanDecodeRows()
    {
        _draftRows = 0;
        // With prompts to compute, or requests to admit, a step's spare room is theirs.
        bool drafts = CanTakeBack && _waiting.Count == 0 && _running.TrueForAll(static s => s.Computed >= s.PromptCount);
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (!IsDecoding(sequence))
                continue;
            int count = sequence.Count - sequence.Computed;
            if (_plan.Rows.Count + count > _limits.BatchSize)
                return;
            while (!Cache.EnsureFree(count) && _running.Count > i + 1)
                Preempt(_running[^1]);
            if (!Cache.EnsureFree(count))
            {
                Preempt(sequence);
                return;
            }
            AddRows(sequence, count);
            if (drafts)
                AddDrafts(sequence);
        }
    }

    private void AddRows(Sequence sequence, int count)
    {
        Cache.Ledger.TakePrivate(count);
        int first = _plan.Rows.Count;
        for (int i = 0; i < count; i++)
        {
            int position = sequence.Computed + i;
            bool isScored = sequence.PromptLogprobs is not null && position < sequence.PromptCount;
            _plan.Rows.Add(new PlanRow(sequence.Tokens[position], position, sequence.KvId, isScored || position == sequence.Count - 1));
        }
        _plan.Slices.Add(new PlanSlice(sequence, first, count, 0, 0));
    }

    /// <summary>Only its newest token and those that a grammar forced are to be computed.</summary>
    private static bool IsDecoding(Sequence sequence) =>
        sequence.Count - sequence.Computed is var rest && (rest == 1 || (rest <= MaxForcedTokens + 1 && sequence.Computed >= sequence.PromptCount));

    /// <summary>Its KV stays in the tree as an entry like any other, to be evicted or saved as room is needed; it waits to be resumed.</summary>
    private void Preempt(Sequence sequence)
    {
        Counters.Preemptions++;
        _running.Remove(sequence);
        Cache.Release(sequence);
        (sequence.DiskWaitStart, sequence.DiskWaitOver) = (null, false);
        _waiting.Add(sequence);
    }
}
