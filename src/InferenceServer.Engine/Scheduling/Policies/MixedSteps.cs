namespace InferenceServer.Engine.Scheduling.Policies;

/// <summary>Replies have a row in every step, and prompts get what the target leaves: rows cost the same whatever stands beside them.</summary>
internal sealed class MixedSteps(StepTimeModel times, int batchSize) : IStepPolicy
{
    public bool TakesTurns(in StepLoad load) => false;

    public int PrefillBudget(in StepLoad load, int rowsBeside) => Math.Min(times.PrefillRowsWithin(load.Decoding), batchSize - rowsBeside);

    public bool IsSteady(int completionTokens, double secondsHeldBack) => true;
}
