// How long a step takes, learnt from steps: what prefill may ride along without stalling the steady streams. Decode thread only.

using InferenceServer.Engine.Decoding;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Step seconds = what its decode rows take alone + prefill rows x seconds a row. Both are running means; times in seconds.</summary>
internal sealed class StepTimeModel(double? targetInterTokenSeconds)
{
    /// <summary>The weight of the newest step. Of a chunk too small the fixed cost is taken for the rows': the next ones must correct that soon.</summary>
    private const double Weight = 1.0 / 4;

    /// <summary>Slower than this many times the mean counts as this: a page fault or another process, not the cost of rows.</summary>
    private const double OutlierFactor = 2;

    /// <summary>Prefill takes no longer in a step, so that a cancellation inside a long prefill is seen within 100 ms.</summary>
    private const double MaxPrefillSeconds = 0.09;

    /// <summary>Steps vary: the 90th percentile of mixed ones was 1.17 times their median. The target holds for nine of ten, so the plan stays below it.</summary>
    private const double StepMargin = 1.2;

    /// <summary>Before anything was measured.</summary>
    private const int FirstChunk = 64;

    /// <summary>Prefill always moves, however slow the steps are. Beside 4 streams of 14 ms a step and 5,000 cells 4 rows made it 35 ms: more than twice their pace.</summary>
    private const int MinChunk = 2;

    private double _decodeSeconds;
    private double _prefillSecondsPerRow;

    /// <summary>What steps without prefill take, by their rows.</summary>
    public StepTimes DecodeTimes { get; } = new();

    /// <summary>A step without prefill, whatever its rows, of late; 0 before the first.</summary>
    public double DecodeSeconds => _decodeSeconds;

    public double PrefillSecondsPerRow => _prefillSecondsPerRow;

    /// <summary>Most prefill rows of a step, the decode rows beside them not counted.</summary>
    /// <param name="steadyRows">Decode rows of streams whose pace is to be kept; 0 when there are none.</param>
    public int PrefillBudget(int steadyRows, int batchSize)
    {
        if (_prefillSecondsPerRow <= 0 || (steadyRows > 0 && _decodeSeconds <= 0))
            return Math.Min(FirstChunk, batchSize);
        double seconds = MaxPrefillSeconds;
        if (steadyRows > 0)
        {
            // Twice the step without prefill, unless the user set a target.
            double decode = DecodeSecondsOf(steadyRows);
            seconds = Math.Min(((targetInterTokenSeconds ?? 2 * decode) / StepMargin) - decode, MaxPrefillSeconds);
        }
        return (int)Math.Min(Math.Max(seconds / _prefillSecondsPerRow, MinChunk), batchSize);
    }

    public void Observe(int decodeRows, int prefillRows, double seconds)
    {
        if (seconds <= 0)
            return; // Shorter than the clock can tell.
        if (prefillRows == 0 && decodeRows > 0)
        {
            _decodeSeconds = Mix(_decodeSeconds, seconds);
            if (decodeRows <= DecodeTimes.MostRows)
                DecodeTimes.Observe(decodeRows, seconds);
        }
        else if (prefillRows > 0)
        {
            double decode = decodeRows > 0 ? DecodeSecondsOf(decodeRows) : 0;
            // A chunk of a few rows is mostly the step's fixed cost and says little about a row's.
            if (prefillRows >= MinChunk && seconds > decode)
                _prefillSecondsPerRow = Mix(_prefillSecondsPerRow, (seconds - decode) / prefillRows);
        }
    }

    private double DecodeSecondsOf(int rows) => DecodeTimes.Seconds(rows) ?? _decodeSeconds;

    private static double Mix(double mean, double value) => mean <= 0 ? value : mean + (Math.Min(value, OutlierFactor * mean) - mean) * Weight;
}
