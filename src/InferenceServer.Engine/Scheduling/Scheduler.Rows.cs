// What a step computes: a row for every reply that goes on, and as much of the prompts as the policy allows.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Replies;
using InferenceServer.Engine.Scheduling.Policies;

namespace InferenceServer.Engine.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>A prompt's part of a step where several share it: less is hardly cheaper, and two tiles of ggml's attention on the CPU (GGML_FA_TILE_Q is 64).</summary>
    private const int WholeSlice = 128;

    /// <summary>A prompt passed over in so many steps with prefill goes before shorter ones.</summary>
    private const int MostStepsPassedOver = 16;

    /// <summary>Stands in a row until the step in flight has brought its token.</summary>
    private const int UnknownToken = -1;

    private readonly Comparison<Sequence> _prefillOrder;
    private readonly List<Sequence> _prefilling = [];
    private bool _prefillTurn;
    private bool _drafts;
    private int _heldRows;
    private long _prefillSteps;

    /// <summary>Rows of replies first, or of prompts where these have their turn.</summary>
    private void PlanRows(long now)
    {
        ChooseAdapters();
        if (_limits.ComputesAlone)
        {
            _admission.Admit(_prefillSteps, now);
            PlanAlone();
            return;
        }
        StepLoad load = Load();
        bool takesTurns = _policy.TakesTurns(load);
        _prefillTurn = takesTurns && !(_prefillTurn && load.HasSteady);
        (_draftRows, _heldRows, _awaitedRows, _catchUpSeconds, _isDrafted) = (0, 0, 0, 0, false);
        // With prompts to compute, or requests to admit, a step's spare room is theirs.
        _drafts = CanTakeBack && _waiting.Count == 0 && !ArePromptsLeft();
        if (!_prefillTurn)
            PlanDecodeRows();
        _admission.Admit(_prefillSteps, now);
        if (_plan.Rows.Count == 0)
            ChooseAdapters(); // Perhaps only who was just admitted has something to compute.
        // Who was just admitted may change whose turn it is.
        takesTurns = _policy.TakesTurns(Load());
        if (_prefillTurn || !takesTurns)
            PlanPrefill();
        if (_prefillTurn && _plan.Rows.Count == 0)
            PlanDecodeRows();
        if (_plan.Rows.Count == 0 && _running.Count > 0 && _awaitedRows == 0 && !_running.Exists(static s => s.RestoresOn || s.Awaits is not Awaited.Nothing))
            UnblockPrefill();
        if (_awaitedRows == 0)
            FillTile();
        _plan.HoldsReplies = _prefillTurn && _plan.Rows.Count == _plan.PrefillRows;
    }

    /// <summary>A step computes with one set of adapters: sequences of others wait for their turn.</summary>
    private void ChooseAdapters() => _plan.Adapters = _turns.Choose(_running);

    private bool HasTurn(Sequence sequence) => sequence.Adapters.Equals(_plan.Adapters);

    private bool ArePromptsLeft()
    {
        foreach (Sequence sequence in _running)
            if (sequence.Computed < sequence.PromptCount && HasTurn(sequence))
                return true;
        return false;
    }

    /// <summary>
    /// Rows of the one sequence that has waited for the most steps. A prompt comes in whole batches from its first token on, so that it is computed in the same
    /// shapes whenever it comes.
    /// </summary>
    private void PlanAlone()
    {
        (_drafts, _draftRows, _heldRows) = (false, 0, 0);
        ChooseAdapters();
        Sequence? next = null;
        foreach (Sequence sequence in _running)
            if (sequence is { PlannedRows: 0, RestoresOn: false, End: null } && HasTurn(sequence) && (sequence.Awaits is Awaited.Nothing || CanPlanAhead(sequence))
                && (next is null || sequence.LastPrefillStep < next.LastPrefillStep))
                next = sequence;
        if (next is null)
            return;
        int count = next.Awaits is Awaited.OneToken ? 1 : Math.Min(next.Count - next.Computed, _limits.BatchSize);
        if (next.PromptLogprobs is not null)
            count = Math.Min(count, _limits.MaxOutputs);
        while (!Cache.EnsureFree(count) && _running.Count > 1)
            Preempt(_running[^1] == next ? _running[^2] : _running[^1]);
        if (!Cache.EnsureFree(count))
            throw new InvalidOperationException("A single sequence does not fit the KV pool; its length was not checked against the context.");
        bool isPrompt = !IsDecoding(next);
        AddRows(next, count);
        next.LastPrefillStep = ++_prefillSteps;
        _plan.PrefillRows = isPrompt ? count : 0;
    }

    /// <summary>The step in flight has brought its tokens: they take their places, and rows that had to wait for them are planned.</summary>
    private void CompletePlan()
    {
        for (int i = _plan.Slices.Count - 1; i >= 0; i--)
        {
            PlanSlice slice = _plan.Slices[i];
            if (_plan.Rows[slice.LastRow] is not { Token: UnknownToken } row)
                continue;
            if (slice.Sequence.End is null)
                _plan.Rows[slice.LastRow] = row with { Token = slice.Sequence.Tokens[^1] };
            else
                RemoveRow(i);
        }
        if (_limits.ComputesAlone)
        {
            if (_plan.Rows.Count == 0)
                PlanAlone();
        }
        else if (!_prefillTurn)
        {
            if (_plan.Rows.Count == 0)
                ChooseAdapters();
            PlanDecodeRows();
        }
    }

    /// <summary>
    /// Sequences whose reply goes on and that have no rows yet: a row for the newest token and for those a grammar forced, or for the token that the step in flight
    /// brings. Most deserving first, so a victim never has a row yet.
    /// </summary>
    private void PlanDecodeRows()
    {
        bool isLate = _plan.Rows.Count > 0; // Rows were planned already, and their sequences must keep what they hold.
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (sequence.PlannedRows > 0 || sequence.RestoresOn || sequence.End is not null || !HasTurn(sequence) || !IsDecoding(sequence))
                continue;
            if (sequence.Awaits is not Awaited.Nothing && !CanPlanAhead(sequence))
                continue;
            if (_drafts && sequence.Awaits is Awaited.Nothing && WaitsForModel(sequence))
            {
                _heldRows++;
                continue;
            }
            int count = sequence.Awaits is Awaited.OneToken ? 1 : sequence.Count - sequence.Computed;
            if (_plan.Rows.Count + count > _limits.BatchSize)
                return;
            while (!Cache.EnsureFree(count) && _running.Count > i + 1 && !isLate)
                Preempt(_running[^1]);
            if (!Cache.EnsureFree(count))
            {
                if (!isLate)
                    Preempt(sequence);
                return;
            }
            AddRows(sequence, count);
            if (_drafts && sequence.Awaits is Awaited.Nothing)
                AddDrafts(sequence);
        }
    }

    /// <summary>Whether the row of the token that it awaits can be planned now; where it will be later, a row is left free for it.</summary>
    private bool CanPlanAhead(Sequence sequence)
    {
        if (sequence.Awaits is Awaited.OneToken && sequence.EndsWithNextToken(_limits.ContextLength))
            return false;
        if (sequence.Awaits is Awaited.OneToken && !(_drafts && (WaitsForModel(sequence) || WantsDrafts(sequence))))
            return true;
        _heldRows++;
        return false;
    }

    /// <summary>Of a slice of one row: its sequence has ended.</summary>
    private void RemoveRow(int sliceIndex)
    {
        PlanSlice slice = _plan.Slices[sliceIndex];
        _plan.Rows.RemoveAt(slice.FirstRow);
        _plan.Slices.RemoveAt(sliceIndex);
        for (int i = sliceIndex; i < _plan.Slices.Count; i++)
            _plan.Slices[i] = _plan.Slices[i] with { FirstRow = _plan.Slices[i].FirstRow - 1 };
        slice.Sequence.PlannedRows = 0;
        Cache.Ledger.FreePrivate(1);
    }

    private void AddRows(Sequence sequence, int count)
    {
        Cache.Ledger.TakePrivate(count);
        int first = _plan.Rows.Count, end = sequence.Computed + count, newest = sequence.Count - (sequence.Awaits is Awaited.OneToken ? 0 : 1);
        for (int position = sequence.Computed; position < end; position++)
        {
            bool isScored = sequence.PromptLogprobs is not null && position < sequence.PromptCount;
            _plan.Rows.Add(new PlanRow(position < sequence.Count ? sequence.Tokens[position] : UnknownToken, position, sequence.KvId, isScored || position == newest));
        }
        sequence.PlannedRows = count;
        _plan.Slices.Add(new PlanSlice(sequence, first, count, 0, 0));
    }

    /// <summary>Only its newest token, known or awaited, and those that a grammar forced are to be computed.</summary>
    private static bool IsDecoding(Sequence sequence) => sequence.Awaits is not Awaited.Nothing
        || (sequence.Count - sequence.Computed is var rest && (rest == 1 || (rest <= ReplyProgress.MaxForcedTokens + 1 && sequence.Computed >= sequence.PromptCount)));

    private StepLoad Load()
    {
        int decoding = 0;
        long rows = 0, cells = 0;
        bool hasSteady = false;
        foreach (Sequence sequence in _running)
        {
            if (!HasTurn(sequence))
                continue;
            hasSteady |= sequence.CompletionCount > 0 && _policy.IsSteady(sequence.CompletionCount, sequence.SecondsHeldBack);
            if (IsDecoding(sequence))
            {
                decoding++;
                continue;
            }
            int left = PrefillLeft(sequence);
            rows += left;
            cells += left * (sequence.Computed + (left / 2L));
        }
        return new StepLoad(decoding, hasSteady, rows, cells);
    }

    /// <summary>
    /// Shares the step's prefill budget: the shortest rests first, each a whole slice, since attention over a few rows of many sequences reads
    /// every sequence's cells for all of them. Who was passed over for long goes first, so that a long prompt moves beside short ones.
    /// </summary>
    private void PlanPrefill()
    {
        _prefilling.Clear();
        foreach (Sequence sequence in _running)
            if (sequence is { PlannedRows: 0, RestoresOn: false, Awaits: Awaited.Nothing, End: null } && HasTurn(sequence) && !(_prefillTurn && IsDecoding(sequence)) && sequence.Speculation is not { AwaitsModel: true })
                _prefilling.Add(sequence);
        if (_prefilling.Count == 0)
            return;
        _prefillSteps++;
        _prefilling.Sort(_prefillOrder);
        int budget = Math.Min(_policy.PrefillBudget(Load(), _plan.Rows.Count), _limits.BatchSize - _plan.Rows.Count - _heldRows);
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
            ChooseAdapters();
            PlanPrefill();
        }
        if (_plan.Rows.Count == 0)
            throw new InvalidOperationException("A single sequence does not fit the KV pool; its length was not checked against the context.");
    }
}
