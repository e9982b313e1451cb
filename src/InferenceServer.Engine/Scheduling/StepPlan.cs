// What one step does, as data. Filled by the scheduler, read by the decoder; both reuse it, so a step allocates nothing.

using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

/// <summary>A token to compute.</summary>
internal readonly record struct PlanRow(int Token, int Position, int SequenceId, bool WantsLogits);

/// <summary>The rows of one sequence: <c>[FirstRow, FirstRow + RowCount)</c>. The last DraftCount of them are guesses to verify, the last FillCount of these blind ones.</summary>
internal readonly record struct PlanSlice(Sequence Sequence, int FirstRow, int RowCount, int DraftCount, int FillCount)
{
    public int LastRow => FirstRow + RowCount - 1;

    /// <summary>The row whose logits give the next token; rows after it verify drafts.</summary>
    public int FirstLogitsRow => LastRow - DraftCount;

    /// <summary>Whether the sequence's newest token is among the rows, so that the next one can be drawn; a prompt whose tokens are scored wants logits before that.</summary>
    public bool ReachesEnd(StepPlan plan) => plan.Rows[FirstLogitsRow].Position == Sequence.Count - 1;
}

internal sealed class StepPlan
{
    /// <summary>What all rows are computed with.</summary>
    public AdapterSet Adapters { get; set; } = AdapterSet.None;

    /// <summary>Applied first, in order.</summary>
    public List<KvOp> Ops { get; } = [];

    public List<PlanRow> Rows { get; } = [];

    public List<PlanSlice> Slices { get; } = [];

    /// <summary>Rows that belong to a prompt or to a resumed sequence catching up.</summary>
    public int PrefillRows { get; set; }

    /// <summary>Rows that are there only because the step is faster with them.</summary>
    public int FillRows { get; set; }

    /// <summary>Prompts are computed alone, and replies wait.</summary>
    public bool HoldsReplies { get; set; }

    public bool IsEmpty => Ops.Count == 0 && Rows.Count == 0;

    public void Clear()
    {
        Ops.Clear();
        Rows.Clear();
        Slices.Clear();
        (PrefillRows, FillRows, HoldsReplies, Adapters) = (0, 0, false, AdapterSet.None);
    }
}
