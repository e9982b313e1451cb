// How much of which prompts a step computes, and whether replies share it.

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>
    /// From so many reply tokens on a stream's pace is protected from others' prompts. Of requests that arrive together the first to decode
    /// must not slow the others' prompts down: a fuller batch is worth more to all (16 streams: 10.7 rows a step with 0, 14.6 with this).
    /// </summary>
    private const int SteadyTokens = 16;

    /// <summary>A prompt's part of a step where several share it: two tiles of ggml's attention on the CPU (GGML_FA_TILE_Q is 64).</summary>
    private const int WholeSlice = 128;

    /// <summary>A prompt passed over in so many steps with prefill goes before shorter ones.</summary>
    private const int MostStepsPassedOver = 16;

    /// <summary>
    /// A stream that is not steady yet waits for others' prompts so long in all, then it is protected as if it were: replies that start apart
    /// end apart, and a decode step of 9 rows takes as long as one of 16.
    /// </summary>
    private const double MostSecondsHeldBack = 1;

    // Prompts that are done in a few steps beside the replies are computed there: a step's fixed cost, the weights read once, is paid once. Not so where
    // their rows read as many cells as cost more than that (16,000 took about 16 ms, the fixed cost is 19), or where they outnumber the replies: those
    // would go on in steps that are half empty. (256 clients, prompts of 16, replies of 1 to 8 tokens: 3.8 s with turns, 3.3 s with these.)
    private const int MostMixedSteps = 3;
    private const int MostMixedCells = 16_000;

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
        long cells = 0; // that the prompts' rows read, were they computed one by one
        foreach (Sequence sequence in _running)
        {
            int left = PrefillLeft(sequence);
            if (IsDecoding(sequence))
                decoding++;
            else
                (prefill, cells) = (prefill + left, cells + (left * (sequence.Computed + (left / 2L))));
        }
        if (decoding == 0 || prefill + decoding < _limits.AttentionTileRows || PrefillBudget() < _limits.AttentionTileRows)
            return false;
        return prefill > MostMixedSteps * (_limits.AttentionTileRows - 1 - decoding) || cells > MostMixedCells;
    }

    private bool PassedOver(Sequence sequence) => _prefillSteps - sequence.LastPrefillStep > MostStepsPassedOver;

    /// <summary>Everything running needs cells and nobody gets any: the least deserving give theirs up until somebody moves.</summary>
    private void UnblockPrefill()
    {
        // Nobody takes turns in need: whoever is left may be decoding. And those that gave up their cells for a row of a reply may have made room already.
        _prefillTurn = false;
        PlanPrefill();
        while (_plan.Rows.Count == 0 && _running.Count > 1)
        {
            Preempt(_running[^1]);
            PlanPrefill();
        }
        if (_plan.Rows.Count == 0)
            throw new InvalidOperationException("A single sequence does not fit the KV pool; its length was not checked against the context.");
    }
}
