using System.Globalization;
using InferenceServer.Library;

namespace InferenceServer.Commands;

/// <summary>Shows how far a pull is: a bar with speed and time left on a terminal, else a line now and then. On stderr; stdout is for results.</summary>
internal sealed class PullBar(TextWriter output, bool isTerminal, Func<int> width, TimeProvider clock) : IProgress<PullProgress>
{
    private const string EraseRest = "\u001b[K";
    private const int MostBlocks = 30;

    // What stands beside the bar at its longest: the phase, percents, bytes, speed and hours.
    private const int RestWidth = 72;

    // Where lines stay, one in ten seconds tells enough.
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private PullPhase? _phase;
    private string? _file;
    private long _lastLine;
    private bool _open;

    /// <summary>For this process's stderr.</summary>
    public static PullBar OfProcess() => new(Console.Error, !Console.IsErrorRedirected, () =>
    {
        try
        {
            return Console.WindowWidth;
        }
        catch (IOException)
        {
            return 0;
        }
    }, TimeProvider.System);

    public void Report(PullProgress value)
    {
        lock (_gate)
        {
            if (value.Note is { } note)
                Line(note.TrimEnd('.') + ".");
            bool isNew = value.Phase != _phase || (value.File is not null && value.File.Name != _file);
            (_phase, _file) = (value.Phase, value.File?.Name);
            string? text = Text(value);
            if (text is null)
                return;
            if (isTerminal)
            {
                output.Write($"\r{Clip(text)}{EraseRest}");
                output.Flush();
                _open = true;
            }
            else if (isNew || clock.GetElapsedTime(_lastLine) >= LineInterval)
            {
                _lastLine = clock.GetTimestamp();
                output.WriteLine(text);
            }
        }
    }

    /// <summary>Leaves the bar's line.</summary>
    public void End()
    {
        lock (_gate)
            if (_open)
            {
                output.Write($"\r{EraseRest}");
                output.Flush();
                _open = false;
            }
    }

    private void Line(string text)
    {
        if (_open)
            output.Write($"\r{EraseRest}");
        _open = false;
        output.WriteLine(text);
    }

    private string? Text(PullProgress told) => told.Phase switch
    {
        PullPhase.ReadingManifest => told.Note is null ? "reading what the hub has" : null,
        PullPhase.Waiting => $"waiting      {Amount(told.TotalCompleted, told.TotalSize)}",
        PullPhase.Downloading => $"downloading  {Amount(told.TotalCompleted, told.TotalSize)}{(told.BytesPerSecond is { } speed ? $"  {ByteText.Of((long)speed)}/s" : "")}{(told.TimeLeft is { } left ? $"  {Time(left)} left" : "")}",
        PullPhase.Verifying => $"verifying    {Amount(told.Completed, told.File?.Size ?? 0)}",
        PullPhase.WritingManifest => "writing the manifest",
        _ => null,
    };

    private string Amount(long completed, long total)
    {
        double share = total > 0 ? Math.Clamp(completed / (double)total, 0, 1) : 0;
        int blocks = isTerminal ? Math.Clamp(width() - RestWidth, 0, MostBlocks) : 0;
        int full = (int)(share * blocks);
        string bar = blocks == 0 ? "" : $"[{new string('#', full)}{new string('.', blocks - full)}] ";
        return string.Create(CultureInfo.InvariantCulture, $"{bar}{Math.Floor(share * 100):0}%  {ByteText.Of(completed)} of {ByteText.Of(total)}");
    }

    private string Clip(string text) => width() is > 1 and var most && text.Length >= most ? text[..(most - 1)] : text;

    private static string Time(TimeSpan left) => left.TotalHours >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(int)left.TotalHours}:{left.Minutes:00}:{left.Seconds:00}")
        : string.Create(CultureInfo.InvariantCulture, $"{left.Minutes}:{left.Seconds:00}");
}
