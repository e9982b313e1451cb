// How long a step takes, learnt from steps: what prefill may ride along without stalling the steady streams. Decode thread only.

using InferenceServer.Engine.Decoding;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Step seconds = what its decode rows take alone, or else the step's fixed cost, + prefill rows x seconds a row. Running means; times in seconds.</summary>
/// <param name="targetInterTokenSeconds">Null for the larger of twice a step and <see cref="LeastTarget"/>; 0 for none: throughput is all.</param>
/// <param name="device">Holds until steps have shown more.</param>
/// <param name="tileRows">From so many rows on attention works in tiles, where a row costs another price; 0 where there is one price.</param>
internal sealed class StepTimeModel(double? targetInterTokenSeconds, DeviceProfile device, int tileRows = 0)
{
    /// <summary>The weight of the newest step. Of a chunk too small the fixed cost is taken for the rows': the next ones must correct that soon.</summary>
    private const double Weight = 1.0 / 4;

    /// <summary>Slower than this many times the mean counts as this: a page fault or another process, not the cost of rows.</summary>
    private const double OutlierFactor = 2;

    /// <summary>Prefill takes no longer in a step, so that a cancellation inside a long prefill is seen within 100 ms.</summary>
    private const double MaxPrefillSeconds = 0.09;

    /// <summary>Twenty tokens a second are faster than anyone reads; a stricter target makes prompts slow for nobody's good.</summary>
    private const double LeastTarget = 0.05;

    /// <summary>
    /// A whole tile may overrun the default target so far: below a tile a row costs several times as much. (4 streams of 14 ms, a prompt of 3,000 tokens: a row
    /// took 3.7 ms below a tile, 0.6 in one, so the prompt took 14 s where alone it took 2.)
    /// </summary>
    private const double TileGrace = 3;

    /// <summary>Steps vary: the 90th percentile of mixed ones was 1.17 times their median. The target holds for nine of ten, so the plan stays below it.</summary>
    private const double StepMargin = 1.2;

    /// <summary>Prefill always moves, however slow the steps are. Beside 4 streams of 14 ms a step and 5,000 cells 4 rows made it 35 ms: more than twice their pace.</summary>
    private const int MinChunk = 2;

    private double _decodeSeconds;
    private double _rowSeconds;
    private double _untiledRowSeconds;

    /// <summary>What steps without prefill take, by their rows.</summary>
    public StepTimes DecodeTimes { get; } = new();

    /// <summary>A step without prefill, whatever its rows, of late; 0 before the first.</summary>
    public double DecodeSeconds => _decodeSeconds;

    /// <summary>A prompt's row, in a tile where there are tiles.</summary>
    public double PrefillSecondsPerRow => _rowSeconds > 0 ? _rowSeconds : device.PrefillRowSeconds;

    /// <summary>The longest that a steady stream may wait for its next token.</summary>
    public double TargetSeconds(int steadyRows) => targetInterTokenSeconds switch
    {
        null => Math.Max(2 * DecodeSecondsOf(steadyRows), LeastTarget),
        0 => double.PositiveInfinity,
        { } seconds => seconds,
    };

    /// <summary>Most prefill rows of a step, the decode rows beside them not counted.</summary>
    /// <param name="steadyRows">Decode rows of streams whose pace is to be kept; 0 when there are none.</param>
    /// <param name="inTiles">False for a step that stays below a tile.</param>
    public int PrefillRowsWithin(int steadyRows, bool inTiles = true)
    {
        double rowSeconds = inTiles ? PrefillSecondsPerRow : UntiledRowSeconds;
        if (steadyRows == 0)
            return Math.Max(Rows((MaxPrefillSeconds - FixedSeconds) / rowSeconds), inTiles ? tileRows : MinChunk);
        double decode = DecodeSecondsOf(steadyRows), target = TargetSeconds(steadyRows);
        if (double.IsInfinity(target))
            return int.MaxValue;
        double seconds = Math.Min((target / StepMargin) - decode, MaxPrefillSeconds);
        int rows = Rows(seconds / rowSeconds);
        if (rows >= tileRows || !inTiles)
            return rows;
        return targetInterTokenSeconds is null && decode + (tileRows * rowSeconds) <= TileGrace * target ? tileRows : Rows(seconds / UntiledRowSeconds);
    }

    /// <param name="seconds">What the rows took, without operations on the memory and without sampling.</param>
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
        else if (prefillRows >= MinChunk) // Less is mostly the step's fixed cost and says little about a row's.
        {
            double beside = decodeRows > 0 ? DecodeSecondsOf(decodeRows) : Math.Min(FixedSeconds, seconds / 2);
            ref double mean = ref decodeRows + prefillRows >= tileRows ? ref _rowSeconds : ref _untiledRowSeconds;
            if (seconds > beside)
                mean = Mix(mean, (seconds - beside) / prefillRows);
        }
    }

    /// <summary>A prompt's row in a step below a tile.</summary>
    private double UntiledRowSeconds => _untiledRowSeconds > 0 ? _untiledRowSeconds : (device.SecondsOf(DeviceProfile.SmallStep) - FixedSeconds) / (DeviceProfile.SmallStep - 1);

    /// <summary>What a step costs with hardly any rows.</summary>
    private double FixedSeconds => device.Steps[0].Seconds;

    private double DecodeSecondsOf(int rows) => DecodeTimes.Seconds(rows) ?? (_decodeSeconds > 0 ? _decodeSeconds : device.SecondsOf(rows));

    private static int Rows(double rows) => (int)Math.Clamp(rows, MinChunk, int.MaxValue);

    private static double Mix(double mean, double value) => mean <= 0 ? value : mean + (Math.Min(value, OutlierFactor * mean) - mean) * Weight;
}
