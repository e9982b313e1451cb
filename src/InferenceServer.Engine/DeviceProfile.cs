// What the device was measured to cost, once at load. Every number that depends on the machine comes from here; nothing in it changes later.

using System.Globalization;

namespace InferenceServer.Engine;

/// <summary>Times of one model on one device. Pure data: the decoder measures it, tests invent it.</summary>
/// <param name="Steps">Seconds of a step by its rows, ascending; at least one. Small steps are replies', with logits of each row; from 64 rows on a prompt's, with one row's.</param>
/// <param name="IdleCellSeconds">What a row of a small step takes longer for each cell that others hold in the pool.</param>
/// <param name="SaveSecondsPerToken">Copying a token's state out of the pool.</param>
/// <param name="RestoreSecondsPerToken">Putting it back.</param>
/// <param name="ComputesAhead">The call that starts a step returns while the device computes, so that host work fits in between.</param>
/// <param name="DrawnFrom">From so many streams on the device draws their tokens: such a step is done sooner than when the host draws from copied logits. 0 where it is not.</param>
public sealed record DeviceProfile(
    IReadOnlyList<(int Rows, double Seconds)> Steps, double IdleCellSeconds, double SaveSecondsPerToken, double RestoreSecondsPerToken, bool ComputesAhead, int DrawnFrom = 0)
{
    // A thousand idle cells that slow a small step down by less than this part cost nothing worth acting on. (Two cores: 0.03 to 0.15; an H200's memory would
    // show 0.01.) A device that computes on its own would be held up by moving them, so there it has to be more.
    private const double NoticedShare = 0.005;
    private const double NoticedShareAhead = 0.05;
    private const int NoticedCells = 1000;

    /// <summary>Steps of so many rows stand for small ones.</summary>
    internal const int SmallStep = 8;

    /// <summary>
    /// A model of 100M parameters on two cores of an EPYC with AVX-512: 5.3 ms a row alone, 23 at 8 rows, 56 for 64 rows of a prompt, 420 for 512, 0.3 us for an idle cell,
    /// some 3 us a token to save and 6 to restore. What is not measured is taken from here.
    /// </summary>
    public static DeviceProfile TwoCores { get; } = new([(1, 0.0053), (8, 0.023), (64, 0.056), (512, 0.42)], 0.3e-6, 3.2e-6, 6.4e-6, ComputesAhead: false);

    /// <summary>Attention walks what nobody reads, as ggml's does on the CPU: idle entries cost time, and rows of many sequences mix badly.</summary>
    public bool WalksIdleCells => IdleCellSeconds * NoticedCells >= (ComputesAhead ? NoticedShareAhead : NoticedShare) * SecondsOf(SmallStep) / SmallStep;

    /// <summary>A row of a prompt in a large step, the step's fixed cost left out.</summary>
    public double PrefillRowSeconds
    {
        get
        {
            (int rows, double seconds) = Steps[^1];
            return rows == 1 ? seconds : Math.Max((seconds - Steps[0].Seconds) / (rows - Steps[0].Rows), seconds / rows / 8);
        }
    }

    /// <summary>Whether state that is moved out and back comes cheaper than computing it again.</summary>
    public bool RestoresFasterThanComputing => SaveSecondsPerToken + RestoreSecondsPerToken < PrefillRowSeconds;

    /// <summary>For the log.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"steps of {string.Join(", ", Steps.Select(step => $"{step.Rows} rows {step.Seconds * 1000:F1} ms"))}; an idle cell {IdleCellSeconds * 1e9:F0} ns a row; a token's state {SaveSecondsPerToken * 1e6:F1} us out and {RestoreSecondsPerToken * 1e6:F1} us back; it computes while the host {(ComputesAhead ? "goes on" : "waits")}; tokens are drawn by the {(DrawnFrom > 0 ? $"device from {DrawnFrom} streams on" : "host")}; idle entries {(WalksIdleCells ? "leave" : "stay in")} the pool");

    /// <summary>Seconds of a step of so many rows, along the lines between the measured ones.</summary>
    public double SecondsOf(int rows)
    {
        if (Steps.Count == 1)
            return Steps[0].Seconds * Math.Max(1, rows / (double)Steps[0].Rows);
        int above = 1;
        while (above < Steps.Count - 1 && Steps[above].Rows < rows)
            above++;
        ((int fromRows, double from), (int toRows, double to)) = (Steps[above - 1], Steps[above]);
        return Math.Max(from + ((to - from) * (rows - fromRows) / (toRows - fromRows)), Steps[0].Seconds / 2);
    }
}
