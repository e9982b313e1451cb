// The pure heart of the engine: Plan() says what the next step does, Launched() that it runs, Take() takes in the tokens it brought, Deliver() makes text
// of them. Decode thread only; no native calls, no I/O, no clock of its own, so tests drive it step by step without a model. One step may be in flight while
// the next is planned: rows whose token it will bring are planned with a placeholder, and filled when it has.
// Always: every sequence is waiting or running and in one list only; rows of a plan <= the batch size; every sequence that leaves writes exactly one Finished event.
// Where a draft model guesses, some rows wait for it: whoever drives this has the DraftJobs done, and calls PlanDrafted, before the plan is launched.
// Here: the order of things. Scheduler.Rows.cs: what a step computes. .Drafts.cs: rows beyond that. Admission says who begins, ReplyProgress what becomes of tokens.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Replies;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling.Policies;
using InferenceServer.Engine.Text;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>A sequence whose steps failed this often in a row is given up.</summary>
    private const int MaxFailedSteps = 3;

    private readonly EngineOptions _options;
    private readonly DecoderLimits _limits;
    private readonly EngineVocabulary _vocabulary;
    private readonly TimeProvider _time;
    private readonly Admission _admission;
    private readonly IStepPolicy _policy;
    private readonly ReplyProgress _replies;
    private readonly WaitingQueue _waiting;
    private readonly List<Sequence> _ended = [];
    private readonly List<Sequence> _running = [];
    private readonly TextPool _texts = new();
    private readonly AdapterTurns _turns = new();
    private AdapterSet _lastLaunched = AdapterSet.None;
    private StepPlan _plan = new();
    private StepPlan _inFlight = new();
    private bool _isPlanned, _isInFlight, _changesAdapters;
    private ulong _ordinal;

    /// <param name="disk">Null without a disk tier; only where cells are shared.</param>
    /// <param name="drafter">Asked what guesses cost, and told who runs no more; whoever drives the scheduler has it do the <see cref="DraftJobs"/>. Null without a draft model.</param>
    public Scheduler(EngineOptions options, DecoderLimits limits, EngineVocabulary vocabulary, TimeProvider time, DiskTier? disk = null, Drafter? drafter = null)
    {
        _drafter = drafter;
        _draft = new int[Math.Max(Speculation.LongestDraft, drafter?.Longest ?? 0)];
        _options = options;
        _limits = limits;
        _vocabulary = vocabulary;
        _time = time;
        AdmissionPolicy admissionPolicy = new(time);
        _waiting = new WaitingQueue(admissionPolicy);
        _replies = new ReplyProgress(vocabulary, limits.ContextLength, Counters, time);
        _prefillOrder = (a, b) =>
        {
            int byWait = PassedOver(b).CompareTo(PassedOver(a)); // true first
            return byWait != 0 ? byWait : (a.Count - a.Computed).CompareTo(b.Count - b.Computed);
        };
        StepTime = new StepTimeModel(options.TargetInterTokenSeconds, limits.Device, limits.AttentionTileRows);
        _policy = limits.AttentionTileRows > 0
            ? new TiledSteps(StepTime, limits.AttentionTileRows, limits.BatchSize)
            : new MixedSteps(StepTime, limits.BatchSize);
        // Parts of a sequence can be saved and restored only where cells are shared: elsewhere copies move whole sequences.
        HostTier host = new(limits.SharesCells ? options.HostCacheBytes : 0, limits.StateBytesPerToken);
        Cache = new PrefixCache(limits, host, disk, time);
        _admission = new Admission(options, Cache, _waiting, admissionPolicy, _running, Counters, time);
    }

    public PrefixCache Cache { get; }

    public SchedulerCounters Counters { get; } = new();

    public StepTimeModel StepTime { get; }

    public IReadOnlyCollection<Sequence> Waiting => _waiting;

    public IReadOnlyList<Sequence> Running => _running;

    public bool HasWork => _isInFlight || _running.Count > 0 || _waiting.Count > 0 || Cache.PendingOps.Count > 0 || Outbox.Count > 0;

    /// <summary>Events for the loop to write; it clears the list.</summary>
    public List<(Generation Generation, GenerationEvent Event)> Outbox => _replies.Outbox;

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
            _replies.Refuse(generation, $"The request cannot be run: {e.Message}");
        }
    }

    /// <summary>Tells those that wait for their first step which place they have.</summary>
    public void TellPositions(long now) => _waiting.TellPositions(now);

    /// <summary>With no requests: plans something useful for the next step, such as saving an entry. False when there is nothing.</summary>
    public bool PlanIdleWork() => !HasWork && Cache.SaveOneIdle();

    /// <summary>What the next step does. With a step in flight the plan is whole only when that has been taken in; it is valid until it is launched and the next is made.</summary>
    public StepPlan Plan(long now)
    {
        _plan.Clear();
        DraftJobs.Clear();
        _planNumber++;
        _isPlanned = true;
        DropCancelledAndExpired(now);
        if (_running.Count > 0)
            Cache.TrimIdle();
        else if (_waiting.Count > 0)
            Cache.UnloadIdle(_waiting);
        _admission.ContinueRestores();
        ChooseDraws();
        PlanRows(now);
        TakeOps();
        return _plan;
    }

    /// <summary>The plan runs: what it computes counts as computed from here on, and its prompts are in the tree for others.</summary>
    public void Launched()
    {
        (_plan, _inFlight) = (_inFlight, _plan);
        (_isPlanned, _isInFlight) = (false, true);
        CountAdapters();
        foreach (PlanSlice slice in _inFlight.Slices)
        {
            Sequence sequence = slice.Sequence;
            int before = sequence.Computed;
            sequence.Computed += slice.RowCount;
            sequence.PlannedRows = 0;
            sequence.DraftsInFlight = slice.DraftCount;
            CountPromptRows(sequence, before);
            if (before < sequence.PromptCount)
                Cache.PublishPrompt(sequence);
            if (slice.ReachesEnd(_inFlight))
                sequence.Awaits = slice.DraftCount > 0 || sequence.IsSteered ? Awaited.Several : Awaited.OneToken;
        }
    }

    /// <summary>Takes in the tokens of the step in flight, which succeeded, and completes the plan that waits for them.</summary>
    /// <param name="stepSeconds">What its rows took, without operations on the memory and without sampling.</param>
    public void Take(StepResult result, long now, double stepSeconds)
    {
        _isInFlight = false;
        Cache.SettleHostTier();
        CountStep(result, stepSeconds);
        for (int i = 0; i < _inFlight.Slices.Count; i++)
            Take(_inFlight.Slices[i], i, result, now);
        if (!_isPlanned)
            return;
        CompletePlan();
        TakeOps();
    }

    /// <summary>Makes text and events of the tokens taken, and ends the replies that have ended.</summary>
    public void Deliver(long now)
    {
        IReadOnlyList<Sequence> ended = _replies.Deliver();
        while (ended.Count > 0)
            Finish(ended[0], ended[0].End!.Value, now, ended[0].EndError);
    }

    /// <summary>A step failed, and the KV memory was cleared: everything running is computed again, or given up after repeated failures.</summary>
    /// <param name="failed">The plan that could not be launched, or whose results could not be had; what was planned beside it is void.</param>
    public void Recover(StepPlan failed, string error, long now)
    {
        Counters.FailedSteps++;
        foreach (PlanSlice slice in failed.Slices)
            slice.Sequence.FailedSteps++;
        foreach (PlanSlice slice in _inFlight.Slices)
            slice.Sequence.Awaits = Awaited.Nothing;
        (_isPlanned, _isInFlight) = (false, false);
        foreach (Sequence sequence in _running)
        {
            ReleaseDraft(sequence);
            Cache.Abandon(sequence, sequence.PrivateCells + sequence.PlannedRows);
            (sequence.PlannedRows, sequence.DraftsInFlight) = (0, 0);
        }
        Cache.ForgetResident();
        Cache.ForgetFailedRestores(failed.Ops);
        for (int i = _running.Count - 1; i >= 0; i--)
        {
            Sequence sequence = _running[i];
            _running.RemoveAt(i);
            _waiting.Add(sequence);
            if (sequence.FailedSteps >= MaxFailedSteps)
                Finish(sequence, FinishReason.Failed, now, $"The model could not compute this request: {error}.");
        }
        _plan.Clear();
        DraftJobs.Clear();
    }

    /// <summary>Ends every request: the decode thread cannot go on, or time to drain is over.</summary>
    public void FinishAll(FinishReason reason, long now, string? error)
    {
        Deliver(now);
        foreach (Sequence sequence in _running.Concat(_waiting).ToArray())
            Finish(sequence, reason, now, error);
    }

    private void DropCancelledAndExpired(long now)
    {
        for (int i = _running.Count - 1; i >= 0; i--)
            if (EndedBeforeItsTime(_running[i], now) is { } reason)
                Finish(_running[i], reason, now);
        _ended.Clear();
        _waiting.Find(sequence => EndedBeforeItsTime(sequence, now) is not null, _ended);
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

    /// <summary>
    /// The tokens of many streams are drawn where their logits are: copying and reading those would hold the device up. For few that is little, and guesses, which only the host
    /// can verify, are worth more. Half as many streams end it, so that it does not come and go.
    /// </summary>
    private void ChooseDraws()
    {
        if (_limits.DrawnIds == 0)
            return;
        int streams = Math.Min(_running.Count + _waiting.Count, _options.MaxSequences);
        int from = _limits.Device.DrawnFrom;
        Cache.ChooseDraws(streams >= (Cache.DrawsOnDevice ? (from + 1) / 2 : from), _running);
    }

    private void TakeOps()
    {
        _plan.Ops.AddRange(Cache.PendingOps);
        Cache.PendingOps.Clear();
    }

    private void CountAdapters()
    {
        if (_inFlight.Rows.Count == 0)
            return;
        _turns.Launched();
        _changesAdapters = !_inFlight.Adapters.Equals(_lastLaunched);
        _lastLaunched = _inFlight.Adapters;
        Counters.AdapterChanges += _changesAdapters ? 1 : 0;
    }

    private void CountStep(StepResult result, double stepSeconds)
    {
        Counters.OperationSeconds += result.OperationSeconds;
        if (_inFlight.Rows.Count == 0)
            return;
        int decodeRows = _inFlight.Rows.Count - _inFlight.PrefillRows;
        _turns.Took(stepSeconds);
        // What the change took is no cost of rows.
        if (!_changesAdapters)
            StepTime.Observe(decodeRows, _inFlight.PrefillRows, stepSeconds);
        Counters.Steps++;
        Counters.StepSeconds += stepSeconds;
        Counters.SamplingSeconds += result.SamplingSeconds;
        Counters.DeviceDraws += result.DeviceDraws;
        Counters.GraphReuses = result.GraphReuses;
        Counters.DecodeSteps += decodeRows > 0 ? 1 : 0;
        Counters.DecodeRows += decodeRows - _inFlight.FillRows;
        Cache.CountRows(_inFlight.Rows.Count);
        if (_inFlight.HoldsReplies)
            foreach (Sequence sequence in _running)
                sequence.SecondsHeldBack += IsDecoding(sequence) ? stepSeconds : 0;
    }

    private void Take(PlanSlice slice, int sliceIndex, StepResult result, long now)
    {
        Sequence sequence = slice.Sequence;
        bool readsNow = sequence.Awaits == Awaited.Several;
        sequence.Awaits = Awaited.Nothing;
        if (sequence.IsFinished)
            return; // It was cancelled meanwhile, or a stop string ended it: the row was computed in vain.
        if (result.FailureOf(sliceIndex) is { } failure)
        {
            DropDrafts(sequence);
            _replies.Fail(sequence, failure);
            return;
        }
        int sampled = result.CountOf(sliceIndex);
        if (sampled == 0)
            return;
        sequence.Generation.PromptLogprobs ??= sequence.PromptLogprobs;
        sequence.FailedSteps = 0;
        sequence.BatchSequences += _inFlight.Slices.Count;
        sequence.BatchSteps++;
        sequence.FirstToken ??= now;
        for (int i = 0; i < sampled && sequence.End is null; i++)
            _replies.Take(sequence, result.TokenOf(sliceIndex, i), readsNow);
        TakeBackDrafts(sequence, slice, sampled);
        if (sequence.IsSteered)
            _replies.Steer(sequence);
    }

    private void CountPromptRows(Sequence sequence, int before)
    {
        int promptRows = Math.Min(sequence.Computed, sequence.PromptCount) - Math.Min(before, sequence.PromptCount);
        int fresh = Math.Max(0, Math.Min(sequence.Computed, sequence.PromptCount) - sequence.PromptReached);
        Counters.Prompt += fresh;
        Counters.PromptComputed += fresh;
        Counters.Recomputed += promptRows - fresh;
        sequence.PromptReached += fresh;
        // Tokens of the reply computed in bulk were computed before a preemption.
        int replyRows = sequence.Computed - Math.Max(before, sequence.PromptCount);
        if (replyRows > ReplyProgress.MaxForcedTokens + ThinkingLimit.MaxCloseTokens + 1 + _draft.Length)
            Counters.Recomputed += replyRows - 1;
    }

    /// <summary>It leaves the list that it is in, what it holds is freed, and its last event written.</summary>
    private void Finish(Sequence sequence, FinishReason reason, long now, string? error = null)
    {
        if (!_running.Remove(sequence))
            _waiting.Remove(sequence);
        DropDrafts(sequence);
        ReleaseDraft(sequence);
        // Its rows may have been planned for a step that could not be launched.
        Cache.Ledger.FreePrivate(sequence.PlannedRows);
        sequence.PlannedRows = 0;
        Cache.Release(sequence);
        _replies.Finish(sequence, reason, now, error);
    }

    /// <summary>Its KV stays in the tree as an entry like any other, to be evicted or saved as room is needed; it waits to be resumed.</summary>
    private void Preempt(Sequence sequence)
    {
        Counters.Preemptions++;
        sequence.Preemptions++;
        _running.Remove(sequence);
        DropDrafts(sequence);
        ReleaseDraft(sequence);
        Cache.Release(sequence);
        (sequence.DiskWaitStart, sequence.DiskWaitOver) = (null, false);
        _waiting.Add(sequence);
    }
}
