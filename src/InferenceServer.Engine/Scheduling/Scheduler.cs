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
    /// <summary>A request waits for another's prefill only where it saves at least this many tokens: a shorter wait is not worth a step.</summary>
    private const int MinFollowTokens = 32;

    /// <summary>Only so many waiting requests are looked at in a step: the rest are older than none of them by more than the queue is long.</summary>
    private const int MaxCandidates = 64;

    /// <summary>Cells left for each running sequence to grow before another is admitted; fewer would preempt it again at once.</summary>
    private const int GrowthCells = 32;

    /// <summary>
    /// From so many reply tokens on a stream's pace is protected from others' prompts. Of requests that arrive together the first to decode
    /// must not slow the others' prompts down: a fuller batch is worth more to all (16 streams: 10.7 rows a step with 0, 14.6 with this).
    /// </summary>
    private const int SteadyTokens = 16;

    /// <summary>Most tokens a grammar forces at a time; they are computed in one step with the next row.</summary>
    private const int MaxForcedTokens = 16;

    /// <summary>A sequence whose steps failed this often in a row is given up.</summary>
    private const int MaxFailedSteps = 3;

    /// <summary>Rows of a step that may verify drafts, over all sequences: each wants logits, and room for those is reserved at load.</summary>
    internal const int DraftRows = 32;

    /// <summary>A request waits at most this long for its prefix to be read from disk; then it computes what is missing.</summary>
    private static readonly TimeSpan DiskWaitLimit = TimeSpan.FromSeconds(10);

    /// <summary>A prompt's part of a step where several share it: two tiles of ggml's attention on the CPU (GGML_FA_TILE_Q is 64).</summary>
    private const int WholeSlice = 128;

    /// <summary>A prompt passed over in so many steps with prefill goes before shorter ones.</summary>
    private const int MostStepsPassedOver = 16;

    /// <summary>
    /// A stream that is not steady yet waits for others' prompts so long in all, then it is protected as if it were: replies that start apart
    /// end apart, and a decode step of 5 rows takes as long as one of 16.
    /// </summary>
    private const double MostSecondsHeldBack = 0.8;

    private readonly Comparison<Sequence> _prefillOrder;
    private bool _prefillTurn;
    private long _prefillSteps;
    private int _draftRows;
    private readonly int[] _draft = new int[Speculation.LongestDraft];
    private readonly EngineOptions _options;
    private readonly DecoderLimits _limits;
    private readonly EngineVocabulary _vocabulary;
    private readonly TimeProvider _time;
    private readonly AdmissionPolicy _admission;
    private readonly StepTimeModel _stepTime;
    private readonly StepPlan _plan = new();
    private readonly List<Sequence> _waiting = [];
    private readonly List<Sequence> _running = [];
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

    public IReadOnlyList<Sequence> Waiting => _waiting;

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
            Counters.DecodeRows += decodeRows;
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
                _waiting.Insert(0, sequence);
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
        for (int i = _waiting.Count - 1; i >= 0; i--)
            if (EndedBeforeItsTime(_waiting[i], now) is { } reason)
            {
                Sequence sequence = _waiting[i];
                _waiting.RemoveAt(i);
                Finish(sequence, reason, now);
            }
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
        // Where states cannot go back a draft that fails could not be taken back.
        bool drafts = _options.Speculation && !Cache.NeedsCheckpoints && _waiting.Count == 0 && _running.TrueForAll(static s => s.Computed >= s.PromptCount);
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

    /// <summary>Guesses that ride along with the last slice where they are likely to pay; room is never made for them.</summary>
    private void AddDrafts(Sequence sequence)
    {
        int most = Math.Min(_limits.MaxOutputs - _options.MaxSequences, DraftRows) - _draftRows;
        most = Math.Min(most, Cache.Ledger.Free - _running.Count - DraftRows);
        most = Math.Min(most, _limits.BatchSize - _plan.Rows.Count - _running.Count);
        // The reply's last token needs no guess after it.
        most = Math.Min(most, Math.Min(sequence.Request.MaxTokens - sequence.CompletionCount, _limits.ContextLength - sequence.Count) - 1);
        if (most <= 0)
            return;
        sequence.Speculation ??= new Speculation(sequence.Request.PredictedTokens, sequence.ExpectedCount);
        int drafted = sequence.Speculation.Draft(sequence, _draft.AsSpan(0, Math.Min(most, _draft.Length)), _plan.Rows.Count, _stepTime.DecodeTimes);
        if (drafted == 0)
            return;
        Cache.Ledger.TakePrivate(drafted);
        for (int i = 0; i < drafted; i++)
            _plan.Rows.Add(new PlanRow(_draft[i], sequence.Count + i, sequence.KvId, true));
        PlanSlice slice = _plan.Slices[^1];
        _plan.Slices[^1] = slice with { RowCount = slice.RowCount + drafted, DraftCount = drafted };
        _draftRows += drafted;
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
        _plan.Slices.Add(new PlanSlice(sequence, first, count, 0));
    }

    /// <summary>Moves waiting requests into the batch while there is room; who waits for another's prefix stays.</summary>
    private void Admit(long now)
    {
        if (_waiting.Count == 0 || _running.Count >= _options.MaxSequences)
            return;
        _candidates.Clear();
        foreach (Sequence sequence in _waiting)
        {
            if (_candidates.Count == MaxCandidates)
                break;
            PrefixMatch match = Cache.Match(sequence.NamespaceKey, sequence.ReusableTokens);
            _candidates.Add((_admission.RankOf(sequence, match.TotalTokens, now), sequence, match));
        }
        _candidates.Sort(static (a, b) => a.Rank.CompareTo(b.Rank));
        foreach ((_, Sequence sequence, PrefixMatch match) in _candidates)
        {
            if (_running.Count >= _options.MaxSequences)
                return;
            if (FollowsALeader(sequence, match) || WaitsForDisk(sequence, match, now))
                continue;
            if (!HasRoomFor(sequence, match) || !Cache.TryBegin(sequence))
                return;
            Start(sequence, match, now);
        }
    }

    /// <summary>A running request is computing a prefix that this one shares: wait for the shared part only.</summary>
    private bool FollowsALeader(Sequence sequence, PrefixMatch match)
    {
        if (!Cache.SharesPrefixes)
            return false;
        foreach (Sequence leader in _running)
        {
            if (leader.Computed >= leader.PromptCount || leader.Request.CacheNamespace != sequence.Request.CacheNamespace)
                continue;
            if (sequence.Leader.Leader != leader)
                sequence.Leader = (leader, leader.Tokens.CommonPrefixLength(sequence.ReusableTokens));
            int common = sequence.Leader.CommonTokens;
            if (common - match.TotalTokens < MinFollowTokens || leader.Computed >= common)
                continue;
            // The leader takes a checkpoint where the two part.
            if (leader.Stops is null || leader.Computed < leader.Stops.Add(common, leader.Computed))
                return true;
        }
        return false;
    }

    /// <summary>Part of its prefix is on disk only, and is being read.</summary>
    private bool WaitsForDisk(Sequence sequence, PrefixMatch match, long now)
    {
        if (sequence.DiskWaitOver || match.TotalTokens - match.ReadyTokens < PrefixCache.MinRestoreTokens)
            return false;
        sequence.DiskWaitStart ??= now;
        sequence.DiskWaitOver = _time.GetElapsedTime(sequence.DiskWaitStart.Value, now) >= DiskWaitLimit
            || !Cache.TryLoad(sequence.NamespaceKey, sequence.Tokens[..match.TotalTokens]);
        return !sequence.DiskWaitOver;
    }

    private bool HasRoomFor(Sequence sequence, PrefixMatch match)
    {
        if (_running.Count == 0)
            return true;
        CellLedger cells = Cache.Ledger;
        int growth = Math.Min(GrowthCells * (_running.Count + 1), cells.Total / 4);
        int wanted = sequence.Count - match.ResidentTokens + growth;
        int evictable = cells.Cached - (match.ResidentTokens - match.PinnedTokens);
        return wanted <= cells.Free + evictable;
    }

    private void Start(Sequence sequence, PrefixMatch match, long now)
    {
        _waiting.Remove(sequence);
        _admission.Served(sequence, _waiting);
        int place = _running.FindIndex(other => ComesBefore(sequence, other));
        _running.Insert(place < 0 ? _running.Count : place, sequence);
        sequence.LastPrefillStep = _prefillSteps;
        if (sequence.FirstScheduled is null)
        {
            sequence.FirstScheduled = now;
            sequence.CachedTokens = Math.Min(sequence.Computed, sequence.PromptCount);
            sequence.CacheReport = new CacheReport(sequence.HostTokens, sequence.DiskTokens, Cache.ExplainMiss(sequence, match), sequence.CachedTokens);
        }
        // Where this prompt leaves what is known others may leave it too.
        if (match.TreeTokens >= sequence.Computed + CheckpointStops.LeastDistance && match.TreeTokens < sequence.PromptCount)
            sequence.Stops?.Add(match.TreeTokens, sequence.Computed);
        int reached = Math.Min(sequence.Computed, sequence.PromptCount);
        if (reached > sequence.PromptReached)
        {
            Counters.PromptCached += reached - sequence.PromptReached;
            Counters.Prompt += reached - sequence.PromptReached;
            sequence.PromptReached = reached;
        }
        Counters.HostHits += sequence.HostTokens;
        Counters.DiskHits += sequence.DiskTokens;
    }

    /// <summary>Who is preempted last: the higher priority, then the earlier arrival.</summary>
    private static bool ComesBefore(Sequence a, Sequence b) =>
        a.Request.Priority != b.Request.Priority ? a.Request.Priority > b.Request.Priority : a.Ordinal < b.Ordinal;

    /// <summary>
    /// Shares the step's prefill budget: the shortest rests first, each a whole slice, since attention over a few rows of many sequences reads
    /// every sequence's cells for all of them. Who was passed over for long goes first, so that a long prompt moves beside short ones.
    /// </summary>
    private void PlanPrefill()
    {
        _prefilling.Clear();
        foreach (Sequence sequence in _running)
            if (PlannedRows(sequence) == 0 && !(_prefillTurn && IsDecoding(sequence)))
                _prefilling.Add(sequence);
        if (_prefilling.Count == 0)
            return;
        _prefillSteps++;
        _prefilling.Sort(_prefillOrder);
        int budget = Math.Min(PrefillBudget(), _limits.BatchSize - _plan.Rows.Count);
        if (_plan.Rows.Count > 0 && _limits.AttentionTileRows > 0)
            budget = Math.Min(budget, Math.Max(_limits.AttentionTileRows - 1 - _plan.Rows.Count, 1));
        int sharing = Math.Clamp(budget / WholeSlice, 1, _prefilling.Count);
        for (int i = 0; i < _prefilling.Count && budget > 0; i++)
        {
            Sequence sequence = _prefilling[i];
            int share = budget / Math.Max(sharing - i, 1);
            int count = Math.Min(share, PrefillLeft(sequence));
            if (sequence.PromptLogprobs is not null)
                count = Math.Min(count, OutputsLeft());
            if (!Cache.EnsureFree(count))
                count = Cache.Ledger.Free;
            if (count == 0)
                continue;
            AddRows(sequence, count);
            sequence.LastPrefillStep = _prefillSteps;
            _plan.PrefillRows += count;
            budget -= count;
        }
    }

    /// <summary>What is left to compute, up to where a checkpoint is taken.</summary>
    private static int PrefillLeft(Sequence sequence) =>
        Math.Min(sequence.Count, sequence.Stops?.NextAfter(sequence.Computed) ?? int.MaxValue) - sequence.Computed;

    /// <summary>Rows with logits that one more sequence may have in this step: never none, since one is left for each that has no rows yet.</summary>
    private int OutputsLeft()
    {
        int taken = 0;
        foreach (PlanRow row in _plan.Rows)
            taken += row.WantsLogits ? 1 : 0;
        return _limits.MaxOutputs - taken - (_running.Count - _plan.Slices.Count - 1);
    }

    private int PrefillBudget() =>
        _stepTime.PrefillBudget(AnySteady ? _running.Count(IsDecoding) : 0, _limits.BatchSize);

    private bool AnySteady => _running.Exists(static s => s.CompletionCount >= SteadyTokens || s.SecondsHeldBack >= MostSecondsHeldBack);

    /// <summary>
    /// Whether replies and prompts are computed in steps of their own, in turn, because mixed they would take longer than both: rows enough for
    /// attention in tiles, each of which reads the cells of every sequence in it.
    /// </summary>
    private bool TakesTurns()
    {
        if (_limits.AttentionTileRows == 0)
            return false;
        int decoding = 0, prefill = 0;
        foreach (Sequence sequence in _running)
            if (IsDecoding(sequence))
                decoding++;
            else
                prefill += PrefillLeft(sequence);
        return decoding > 0 && prefill + decoding >= _limits.AttentionTileRows && PrefillBudget() >= _limits.AttentionTileRows;
    }

    /// <summary>Only its newest token and those that a grammar forced are to be computed.</summary>
    private static bool IsDecoding(Sequence sequence) =>
        sequence.Count - sequence.Computed is var rest && (rest == 1 || (rest <= MaxForcedTokens + 1 && sequence.Computed >= sequence.PromptCount));

    private bool PassedOver(Sequence sequence) => _prefillSteps - sequence.LastPrefillStep > MostStepsPassedOver;

    /// <summary>Everything running needs cells and nobody gets any: the least deserving give theirs up until somebody moves.</summary>
    private void UnblockPrefill()
    {
        while (_plan.Rows.Count == 0 && _running.Count > 1)
        {
            Preempt(_running[^1]);
            PlanPrefill();
        }
        if (_plan.Rows.Count == 0)
            throw new InvalidOperationException("A single sequence does not fit the KV pool; its length was not checked against the context.");
    }

    /// <summary>Its KV stays in the tree as an entry like any other, to be evicted or saved as room is needed; it waits to be resumed.</summary>
    private void Preempt(Sequence sequence)
    {
        Counters.Preemptions++;
        _running.Remove(sequence);
        Cache.Release(sequence);
        (sequence.DiskWaitStart, sequence.DiskWaitOver) = (null, false);
        _waiting.Insert(0, sequence);
    }
}
