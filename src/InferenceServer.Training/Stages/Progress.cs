// A progress line on standard error, a CSV log and an SVG plot of it. One thread.
using System.Globalization;
using System.Text;

namespace InferenceServer.Training.Stages;

public sealed class Progress
{
    private const int BarWidth = 24;
    private readonly string _log;
    private readonly string[] _columns;
    private readonly TimeProvider _time;
    private readonly bool _interactive = !Console.IsErrorRedirected;
    private readonly Queue<(long Stamp, long Units)> _recent = new();
    private long _lastPrint;

    /// <param name="folder">Where log.csv and plot.svg go.</param>
    /// <param name="startStep">Step resumed from: later lines of an older log are dropped.</param>
    /// <param name="time">Clock for rates.</param>
    /// <param name="columns">Names of the logged values; the first is the plot's.</param>
    public Progress(string folder, long startStep, TimeProvider time, params string[] columns)
    {
        _time = time;
        _columns = columns;
        _log = Path.Combine(folder, "log.csv");
        List<string> kept = File.Exists(_log)
            ? [.. File.ReadLines(_log).Skip(1).Where(l => long.Parse(l.Split(',')[0], CultureInfo.InvariantCulture) <= startStep)]
            : [];
        File.WriteAllLines(_log, kept.Prepend("step,units," + string.Join(',', columns)));
    }

    /// <summary>Logs one step; prints at most twice a second on a terminal, every ten seconds to a file.</summary>
    public void Report(long step, long steps, long units, params double[] values)
    {
        File.AppendAllText(_log, string.Create(CultureInfo.InvariantCulture, $"{step},{units},{string.Join(',', values.Select(v => v.ToString("G6", CultureInfo.InvariantCulture)))}\n"));
        long now = _time.GetTimestamp();
        _recent.Enqueue((now, units));
        while (_recent.Count > 30)
        {
            _recent.Dequeue();
        }

        double gap = _time.GetElapsedTime(_lastPrint, now).TotalSeconds;
        if (step < steps && _lastPrint != 0 && gap < (_interactive ? 0.5 : 10))
        {
            return;
        }

        _lastPrint = now;
        (long Stamp, long Units) first = _recent.Peek();
        double seconds = _time.GetElapsedTime(first.Stamp, now).TotalSeconds;
        double rate = seconds > 0 ? (units - first.Units) / seconds : 0;
        double left = seconds > 0 && _recent.Count > 1 ? (steps - step) * seconds / (_recent.Count - 1) : 0;
        int done = (int)(BarWidth * step / Math.Max(1, steps));
        string line = string.Create(CultureInfo.InvariantCulture,
            $"[{new string('#', done)}{new string('.', BarWidth - done)}] {step}/{steps} {string.Join(' ', _columns.Zip(values, (c, v) => $"{c} {v.ToString("F3", CultureInfo.InvariantCulture)}"))}  {rate:F0} tok/s  {TimeSpan.FromSeconds(left):hh\\:mm\\:ss} left");
        Console.Error.Write(_interactive ? "\r" + line + (step >= steps ? "\n" : "") : line + "\n");
    }

    /// <summary>Draws the log's columns, each in its own panel, into plot.svg beside it.</summary>
    public void Plot()
    {
        double[][] rows = [.. File.ReadLines(_log).Skip(1).Select(l => l.Split(',').Select(c => double.Parse(c, CultureInfo.InvariantCulture)).ToArray())];
        if (rows.Length > 1)
        {
            File.WriteAllText(Path.ChangeExtension(_log, null).Replace("log", "plot", StringComparison.Ordinal) + ".svg", Svg(rows, _columns));
        }
    }

    internal static string Svg(double[][] rows, string[] columns)
    {
        const int Width = 640, Height = 180, Left = 60, Bottom = 24;
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height * columns.Length}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        double lastStep = rows[^1][0], firstStep = rows[0][0];
        for (int c = 0; c < columns.Length; c++)
        {
            double[] values = Smooth([.. rows.Select(r => r[c + 2])]);
            double low = values.Min(), high = values.Max();
            high = high > low ? high : low + 1;
            int top = (c * Height) + 16, foot = ((c + 1) * Height) - Bottom;
            IEnumerable<string> points = rows.Zip(values, (r, v) => string.Create(CultureInfo.InvariantCulture,
                $"{Left + ((Width - Left - 10) * (r[0] - firstStep) / Math.Max(1, lastStep - firstStep)):F1},{foot - ((foot - top) * (v - low) / (high - low)):F1}"));
            svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{Left} {top} V{foot} H{Width - 10}\" fill=\"none\" stroke=\"#999\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{string.Join(' ', points)}\" fill=\"none\" stroke=\"#0a66c2\" stroke-width=\"1.5\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left + 6}\" y=\"{top + 6}\">{columns[c]}</text><text x=\"4\" y=\"{top + 6}\">{high:G4}</text><text x=\"4\" y=\"{foot}\">{low:G4}</text><text x=\"{Width - 60}\" y=\"{foot + 14}\">step {lastStep}</text>\n");
        }

        return svg.Append("</svg>\n").ToString();
    }

    private static double[] Smooth(double[] values)
    {
        int window = Math.Max(1, values.Length / 200);
        return [.. values.Select((_, i) => values[Math.Max(0, i - window)..Math.Min(values.Length, i + window + 1)].Average())];
    }
}
