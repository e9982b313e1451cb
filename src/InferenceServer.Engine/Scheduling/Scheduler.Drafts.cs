// Rows beyond what a step must compute: guesses that are likely to pay, and what fills a step up to where its kernels are fastest.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>Rows of a step that may verify drafts, over all sequences: each wants logits, and room for those is reserved at load.</summary>
    internal const int DraftRows = 32;

    private readonly int[] _draft = new int[Speculation.LongestDraft];
    private int _draftRows;

    /// <summary>Guesses that ride along with the last slice where they are likely to pay; room is never made for them.</summary>
    private void AddDrafts(Sequence sequence)
    {
        int most = Math.Min(RoomForGuesses(sequence), _draft.Length);
        if (most <= 0)
            return;
        int drafted = SpeculationOf(sequence).Draft(sequence, _draft.AsSpan(0, most), _plan.Rows.Count, StepTime.DecodeTimes);
        if (drafted > 0)
            AddGuesses(drafted, fill: 0);
    }

    /// <summary>Whether guesses are likely to pay for a sequence whose next token is not known yet: then its row waits for that.</summary>
    private bool WantsDrafts(Sequence sequence) =>
        RoomForGuesses(sequence) > 1 && SpeculationOf(sequence).Want(_plan.Rows.Count + 1, StepTime.DecodeTimes) > 0;

    private static Speculation SpeculationOf(Sequence sequence) =>
        sequence.Speculation ??= new Speculation(sequence.Request.PredictedTokens, sequence.ExpectedCount);

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
        int most = Math.Min(_limits.MaxOutputs - _options.MaxSequences, DraftRows) - _draftRows;
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
        sequence.Speculation!.Report(drafted, Math.Min(accepted, drafted));
        Counters.Drafted += drafted;
        Counters.DraftsAccepted += Math.Min(accepted, drafted);
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
