// Rows beyond what a step must compute: guesses that are likely to pay, and what fills a step up to where its kernels are fastest.

using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>Rows of a step that may verify drafts, over all sequences: each wants logits, and room for those is reserved at load.</summary>
    internal const int DraftRows = 32;

    /// <summary>Rows that a draft model lacks at most where it follows a reply step by step; with more it has to catch up.</summary>
    private const int FollowedRows = DraftRows + ReplyProgress.MaxForcedTokens + 2;

    /// <summary>Of the time of all steps, what may go into guesses of which nothing is expected: where drafting does not pay, that is what finding out costs.</summary>
    private const double TrialShare = 0.01;

    /// <summary>At the start, as if so much time had gone into steps: a first trial need not wait long.</summary>
    private const double TrialHeadStartSeconds = 5;

    private readonly Drafter? _drafter;
    private readonly int[] _draft;
    private int _draftRows;
    private int _awaitedRows;
    private bool _isDrafted;
    private double _catchUpSeconds;
    private double _trialSeconds;
    private long _planNumber;

    /// <summary>Null without a draft model.</summary>
    public Drafter? Drafter => _drafter;

    /// <summary>What the draft model is to do before the plan is whole; <see cref="PlanDrafted"/> follows.</summary>
    public List<DraftJob> DraftJobs { get; } = [];

    /// <summary>The draft model has guessed: rows that waited for it are planned.</summary>
    public void PlanDrafted()
    {
        foreach (DraftJob job in DraftJobs)
            job.Sequence.Speculation!.AwaitsModel = false;
        (_awaitedRows, _isDrafted) = (0, true);
        PlanDecodeRows();
        FillTile();
        TakeOps();
        DraftJobs.Clear();
    }

    /// <summary>Whether the sequence's row waits for the draft model, which is asked once a plan.</summary>
    private bool WaitsForModel(Sequence sequence)
    {
        if (_drafter is null || _drafter.IsOff)
            return false;
        Speculation speculation = SpeculationOf(sequence);
        if (speculation.AskedInPlan != _planNumber)
        {
            if (_isDrafted)
                return false;
            speculation.AskedInPlan = _planNumber;
            speculation.ModelDraft.Clear();
            speculation.AwaitsModel = AskModel(sequence, speculation, _drafter);
        }
        return speculation.AwaitsModel;
    }

    /// <summary>Adds a job where it is likely to pay, or is worth a trial; false where the sequence's row need not wait for it.</summary>
    private bool AskModel(Sequence sequence, Speculation speculation, Drafter drafter)
    {
        int streams = _running.Count, room = RoomForGuesses(sequence) - (sequence.Awaits is Awaited.Nothing ? 0 : 1);
        // Room is shared: all streams may want as much.
        int most = Math.Min(Math.Min(room, DraftRows / streams), drafter.Limits.ContextLength - sequence.Count);
        if (most <= 0 || drafter.Room < (drafter.Backlog(sequence) + most) * streams || speculation.PrefersText(sequence))
            return false;
        (int length, double gain) = speculation.WantedOnceCaughtUp > 0
            ? (Math.Min(speculation.WantedOnceCaughtUp, most), 1)
            : speculation.Model!.NextLength(streams, most, StepTime.DecodeTimes, _limits.Device, streams, drafter.StepSeconds(streams));
        if (length == 0)
            return false;
        if (drafter.Backlog(sequence) is > FollowedRows and var backlog)
        {
            CatchUp(sequence, speculation, drafter, backlog, length, gain);
            return false;
        }
        speculation.WantedOnceCaughtUp = 0;
        if (gain == 0 && !MayTry(length * drafter.StepSeconds(streams)))
            return false;
        DraftJobs.Add(new DraftJob(sequence, length, CatchUp: 0));
        _awaitedRows += length;
        return true;
    }

    /// <summary>Has the draft model compute a part of the prompt, if that is likely to pay; the sequence's row does not wait for it.</summary>
    private void CatchUp(Sequence sequence, Speculation speculation, Drafter drafter, int backlog, int length, double gain)
    {
        double step = StepTime.DecodeTimes.Seconds(_running.Count) ?? _limits.Device.SecondsOf(_running.Count);
        if (speculation.WantedOnceCaughtUp == 0)
        {
            // A reply is taken to go on for as long as it has gone on: then the time that guesses save has to pay for the prompt.
            double cost = drafter.CatchUpSeconds(backlog);
            if (gain > 0 ? sequence.CompletionCount * (step / _running.Count) * (1 - (1 / gain)) < cost : !MayTry(cost))
                return;
            speculation.WantedOnceCaughtUp = length;
        }
        // All of them together double a step at most, so that streams go on meanwhile.
        if (_catchUpSeconds >= step)
            return;
        int rows = Math.Min(backlog - 1, drafter.CatchUpRows(step - _catchUpSeconds));
        _catchUpSeconds += drafter.CatchUpSeconds(rows);
        DraftJobs.Add(new DraftJob(sequence, Wanted: 0, rows));
    }

    /// <summary>Whether a guess of which nothing is expected may cost so much, and counts it.</summary>
    private bool MayTry(double seconds)
    {
        if (_trialSeconds + seconds > TrialShare * (Counters.StepSeconds + TrialHeadStartSeconds))
            return false;
        _trialSeconds += seconds;
        return true;
    }

    /// <summary>Guesses that ride along with the last slice where they are likely to pay; room is never made for them.</summary>
    private void AddDrafts(Sequence sequence)
    {
        int most = Math.Min(RoomForGuesses(sequence), _draft.Length);
        if (most <= 0)
            return;
        Speculation speculation = SpeculationOf(sequence);
        int wanted = WantedOfModel(sequence), drafted = wanted > 0 ? speculation.TakeModelDraft(_draft.AsSpan(0, most), wanted) : 0;
        if (wanted > 0 && drafted == 0)
            Report(sequence, 0, 0);
        if (drafted == 0)
            drafted = speculation.Draft(sequence, _draft.AsSpan(0, most), _plan.Rows.Count, StepTime.DecodeTimes);
        if (drafted > 0)
            AddGuesses(drafted, fill: 0);
    }

    private int WantedOfModel(Sequence sequence)
    {
        foreach (DraftJob job in DraftJobs)
            if (job.Sequence == sequence)
                return job.Wanted;
        return 0;
    }

    /// <summary>Whether guesses are likely to pay for a sequence whose next token is not known yet: then its row waits for that.</summary>
    private bool WantsDrafts(Sequence sequence) =>
        RoomForGuesses(sequence) > 1 && SpeculationOf(sequence).Want(_plan.Rows.Count + 1, StepTime.DecodeTimes) > 0;

    private Speculation SpeculationOf(Sequence sequence) =>
        sequence.Speculation ??= new Speculation(sequence.Request.PredictedTokens, sequence.ExpectedCount, _drafter?.Record);

    private void Report(Sequence sequence, int drafted, int accepted)
    {
        Speculation speculation = sequence.Speculation!;
        bool isFromModel = speculation.IsFromModel;
        int wanted = speculation.Report(drafted, accepted);
        Counters.Drafted += drafted;
        Counters.DraftsAccepted += accepted;
        if (!isFromModel)
            return;
        _drafter!.Record.Report(wanted, accepted);
        Counters.ModelDrafted += drafted;
        Counters.ModelDraftsAccepted += accepted;
    }

    /// <summary>The draft model forgets a sequence that does not run.</summary>
    private void ReleaseDraft(Sequence sequence)
    {
        _drafter?.Release(sequence);
        if (sequence.Speculation is { } speculation)
            (speculation.WantedOnceCaughtUp, speculation.AwaitsModel) = (0, false);
    }

    /// <summary>
    /// Where kernels compute rows in tiles, rows up to the next tile cost less than none: a remainder is computed by another kernel, which reads all weights
    /// again. So a prompt's rows get logits that nobody reads, or the last sequence guesses, likely or not.
    /// </summary>
    private void FillTile()
    {
        int outputs = 0;
        foreach (PlanRow row in _plan.Rows)
            outputs += row.WantsLogits ? 1 : 0;
        // In a first tile few rows are cheaper than the tile.
        if (_limits.RowTile <= 1 || outputs <= _limits.RowTile || outputs % _limits.RowTile == 0)
            return;
        int missing = Math.Min(_limits.RowTile - (outputs % _limits.RowTile), _limits.MaxOutputs - outputs);
        for (int i = _plan.Rows.Count - 1; i >= 0 && missing > 0; i--)
            if (!_plan.Rows[i].WantsLogits)
            {
                _plan.Rows[i] = _plan.Rows[i] with { WantsLogits = true };
                missing--;
            }
        // Beside prompts every row that could be had was theirs.
        PlanSlice last = _plan.Slices[^1];
        if (missing == 0 || _plan.PrefillRows > 0 || last.DraftCount > 0 || !CanTakeBack || missing > RoomForGuesses(last.Sequence))
            return;
        // A guess follows a known token.
        if (last.Sequence.Awaits is not Awaited.Nothing)
            return;
        Span<int> guesses = _draft.AsSpan(0, missing);
        int likely = SpeculationOf(last.Sequence).Guess(last.Sequence, guesses);
        guesses[likely..].Fill(last.Sequence.Tokens[^1]);
        AddGuesses(missing, fill: missing - likely);
    }

    /// <summary>Whether a guess that fails can be taken back, and guessing is wanted.</summary>
    private bool CanTakeBack => _options.Speculation && !Cache.NeedsCheckpoints;

    /// <summary>How many guesses may follow the sequence's newest token in this step: none is worth an eviction, or more than the reply may hold.</summary>
    private int RoomForGuesses(Sequence sequence)
    {
        if (Cache.Ids.IsDrawn(sequence.KvId))
            return 0; // The device draws for one row a step.
        int most = Math.Min(_limits.MaxOutputs - _options.MaxSequences, DraftRows) - _draftRows - _awaitedRows;
        most = Math.Min(most, Cache.Ledger.Free - _running.Count - DraftRows);
        most = Math.Min(most, _limits.BatchSize - _plan.Rows.Count - _running.Count);
        most = Math.Min(most, sequence.Thinking?.MostDrafted ?? most);
        // The reply's last token needs no guess after it.
        return Math.Min(most, Math.Min(sequence.Request.MaxTokens - sequence.CompletionCount, _limits.ContextLength - sequence.Count) - 1);
    }

    /// <summary>Adds the first guesses of the buffer to the plan's last slice.</summary>
    private void AddGuesses(int count, int fill)
    {
        PlanSlice slice = _plan.Slices[^1];
        Cache.Ledger.TakePrivate(count);
        for (int i = 0; i < count; i++)
            _plan.Rows.Add(new PlanRow(_draft[i], slice.Sequence.Count + i, slice.Sequence.KvId, true));
        slice.Sequence.PlannedRows += count;
        _plan.Slices[^1] = slice with { RowCount = slice.RowCount + count, DraftCount = count, FillCount = fill };
        _plan.FillRows += fill;
        _draftRows += count;
    }

    /// <summary>Rows of drafts that did not come true, or that lie behind the reply's end, are not part of the sequence.</summary>
    private void TakeBackDrafts(Sequence sequence, PlanSlice slice, int sampled)
    {
        if (slice.DraftCount == 0)
            return;
        int accepted = sampled - 1, drafted = slice.DraftCount - slice.FillCount;
        Report(sequence, drafted, Math.Min(accepted, drafted));
        if (sequence.DraftsInFlight == 0)
            return; // It was preempted meanwhile, and has given back all that it held.
        sequence.DraftsInFlight = 0;
        int end = sequence.Computed;
        int kept = Math.Min(end - (slice.DraftCount - accepted), sequence.Count);
        if (kept == end)
            return;
        Cache.Discard(sequence, kept, end);
        sequence.Computed = kept;
    }

    /// <summary>Nobody waits for its drafts to be verified any more.</summary>
    private void DropDrafts(Sequence sequence)
    {
        if (sequence.DraftsInFlight == 0)
            return;
        Cache.Discard(sequence, sequence.Computed - sequence.DraftsInFlight, sequence.Computed);
        sequence.Computed -= sequence.DraftsInFlight;
        sequence.DraftsInFlight = 0;
    }
}
