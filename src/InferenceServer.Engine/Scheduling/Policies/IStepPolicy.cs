// How prompts and replies share steps. Two kinds: kernels that compute in tiles and mix badly (ggml on the CPU), and devices where any rows mix. Pure.

namespace InferenceServer.Engine.Scheduling.Policies;

/// <summary>What is to be computed.</summary>
/// <param name="Decoding">Replies that go on, each with a row or a few.</param>
/// <param name="HasSteady">One of them has gone on for long enough that its pace is to be kept.</param>
/// <param name="PrefillRows">What is left of the prompts.</param>
/// <param name="PrefillCells">Cells that their rows read, were they computed one by one.</param>
internal readonly record struct StepLoad(int Decoding, bool HasSteady, long PrefillRows, long PrefillCells);

internal interface IStepPolicy
{
    /// <summary>Whether replies and prompts are computed in steps of their own, in turn.</summary>
    bool TakesTurns(in StepLoad load);

    /// <summary>Most rows of prompts in the next step.</summary>
    /// <param name="rowsBeside">Rows that the step holds already; none in a turn of the prompts.</param>
    int PrefillBudget(in StepLoad load, int rowsBeside);

    /// <summary>Whether a reply's pace is to be kept, by its tokens so far and how long it has waited for others' prompts.</summary>
    bool IsSteady(int completionTokens, double secondsHeldBack);
}
