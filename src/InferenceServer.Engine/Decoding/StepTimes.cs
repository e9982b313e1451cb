// What a decode step costs, by its number of rows, learnt from the steps that ran. Owned by the decode thread; knows no clock: it is told the times.

namespace InferenceServer.Engine.Decoding;

/// <summary>Smoothed seconds of a step by rows, interpolated between the row counts that occurred.</summary>
/// <remarks>
/// A table and no straight line, because the true curve has steps: where a backend changes its matrix kernel, one row more can cost as much as eight before.
/// </remarks>
public sealed class StepTimes
{
    /// <summary>A new step counts an eighth: one slow step in a noisy machine must not decide, a longer context must show within some ten steps.</summary>
    private const double Newest = 1.0 / 8;

    /// <summary>
    /// Slower than this many times the mean counts as this: a page fault or another process, not the cost of rows. With 2 the mean of steps whose median
    /// was 13.7 ms was 17: every hundredth took 29 here.
    /// </summary>
    private const double OutlierFactor = 1.25;

    private readonly double[] _seconds;

    /// <param name="mostRows">Larger steps are not recorded: they are prefill, and nobody drafts there.</param>
    public StepTimes(int mostRows = 256)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(mostRows, 2);
        _seconds = new double[mostRows + 1];
    }

    public int MostRows => _seconds.Length - 1;

    public void Observe(int rows, double seconds)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        if (!(seconds > 0 && double.IsFinite(seconds)))
            throw new ArgumentOutOfRangeException(nameof(seconds), seconds, "A step takes a positive time.");
        if (rows > MostRows)
            return;
        ref double mean = ref _seconds[rows];
        mean = mean == 0 ? seconds : mean + Newest * (Math.Min(seconds, OutlierFactor * mean) - mean);
    }

    /// <summary>The expected seconds of a step; null until two row counts have occurred, for one tells nothing of another row's cost.</summary>
    public double? Seconds(int rows)
    {
        if (rows < 1 || rows > MostRows)
            return null;
        if (_seconds[rows] > 0)
            return _seconds[rows];
        int below = Measured(rows, -1), above = Measured(rows, 1);
        if (below == 0)
            (below, above) = (above, Measured(above, 1));
        else if (above == 0)
            (below, above) = (Measured(below, -1), below);
        if (below == 0 || above == 0)
            return null;
        double perRow = (_seconds[above] - _seconds[below]) / (above - below);
        double seconds = _seconds[below] + perRow * (rows - below);
        return Math.Max(seconds, Math.Min(_seconds[below], _seconds[above]) / 2); // Extrapolating noise must not promise free steps.
    }

    /// <summary>The nearest row count beyond <paramref name="rows"/> that occurred; 0 for none.</summary>
    private int Measured(int rows, int direction)
    {
        if (rows == 0)
            return 0;
        for (int i = rows + direction; i >= 1 && i < _seconds.Length; i += direction)
        {
            if (_seconds[i] > 0)
                return i;
        }
        return 0;
    }
}
