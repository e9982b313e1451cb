// How long a step takes, learnt from steps: what prefill may ride along without stalling the steady streams. Decode thread only.

namespace InferenceServer.Engine.Scheduling;

/// <summary>Step seconds = decode part + prefill rows x seconds a row. Both are running means; times in seconds.</summary>
internal sealed class StepTimeModel(double? targetInterTokenSeconds)
{
    /// <summary>The weight of the newest step: about the last 16 count.</summary>
    private const double Weight = 1.0 / 16;

    /// <summary>A step without decode rows stays this short, so that a cancellation inside a long prefill is seen within 100 ms.</summary>
    private const double MaxPrefillOnlySeconds = 0.08;

    /// <summary>Before anything was measured.</summary>
    private const int FirstChunk = 64;

    /// <summary>Prefill always moves, however slow the steps are.</summary>
    private const int MinChunk = 8;

    private double _decodeSeconds;
    private double _prefillSecondsPerRow;

    public double DecodeSeconds => _decodeSeconds;

    public double PrefillSecondsPerRow => _prefillSecondsPerRow;

    /// <summary>Most prefill rows of a step that also has this many decode rows.</summary>
    public int PrefillBudget(int decodeRows, int batchSize)
    {
        if (_prefillSecondsPerRow <= 0 || (decodeRows > 0 && _decodeSeconds <= 0))
            return Math.Min(FirstChunk, batchSize - decodeRows);
        double seconds = MaxPrefillOnlySeconds;
        if (decodeRows > 0)
        {
            // Twice the step without prefill, unless the user set a target.
            double target = targetInterTokenSeconds ?? 2 * _decodeSeconds;
            seconds = target - _decodeSeconds;
        }
        double rows = Math.Max(seconds / _prefillSecondsPerRow, MinChunk);
        return Math.Min((int)Math.Min(rows, batchSize), batchSize - decodeRows);
    }

    public void Observe(int decodeRows, int prefillRows, double seconds)
    {
        if (prefillRows == 0 && decodeRows > 0)
            _decodeSeconds = Mix(_decodeSeconds, seconds);
        else if (prefillRows > 0)
        {
            double decode = decodeRows > 0 ? _decodeSeconds : 0;
            // A chunk of a few rows is mostly the step's fixed cost and says little about a row's.
            if (prefillRows >= MinChunk && seconds > decode)
                _prefillSecondsPerRow = Mix(_prefillSecondsPerRow, (seconds - decode) / prefillRows);
        }
    }

    private static double Mix(double mean, double value) => mean <= 0 ? value : mean + (value - mean) * Weight;
}
