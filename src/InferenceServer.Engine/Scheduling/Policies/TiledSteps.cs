namespace InferenceServer.Engine.Scheduling.Policies;

/// <summary>
/// In steps of at least so many rows attention reads, for all rows of a tile, what any of them reads; in smaller ones each row walks all cells alone. So rows
/// of replies and of prompts are computed in turn, a prompt's rows in whole tiles, and replies that have just begun wait for the prompts that came with them.
/// </summary>
/// <param name="tileRows">Rows from which on attention works in tiles.</param>
internal sealed class TiledSteps(StepTimeModel times, int tileRows, int batchSize) : IStepPolicy
{
    /// <summary>
    /// From so many reply tokens on a stream's pace is protected from others' prompts. Of requests that arrive together the first to decode
    /// must not slow the others' prompts down: a fuller batch is worth more to all (16 streams: 10.7 rows a step with 0, 14.6 with this).
    /// </summary>
    private const int SteadyTokens = 16;

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

    public bool TakesTurns(in StepLoad load)
    {
        if (load.Decoding == 0 || load.PrefillRows + load.Decoding < tileRows || Budget(load, inTiles: true) < tileRows)
            return false;
        return load.PrefillRows > MostMixedSteps * (tileRows - 1 - load.Decoding) || load.PrefillCells > MostMixedCells;
    }

    public int PrefillBudget(in StepLoad load, int rowsBeside)
    {
        int budget = Math.Min(Budget(load, inTiles: rowsBeside == 0), batchSize - rowsBeside);
        return rowsBeside > 0 ? Math.Min(budget, Math.Max(tileRows - 1 - rowsBeside, 1)) : budget;
    }

    public bool IsSteady(int completionTokens, double secondsHeldBack) => completionTokens >= SteadyTokens || secondsHeldBack >= MostSecondsHeldBack;

    private int Budget(in StepLoad load, bool inTiles) => times.PrefillRowsWithin(load.HasSteady ? load.Decoding : 0, inTiles);
}
