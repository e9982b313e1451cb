namespace InferenceServer.Library;

/// <summary>What a pull does at the moment.</summary>
public enum PullPhase
{
    /// <summary>It asks the hub what there is.</summary>
    ReadingManifest,

    /// <summary>Another process or request fetches the same file; this one waits for it.</summary>
    Waiting,

    Downloading,

    /// <summary>It reads what came and compares the hash.</summary>
    Verifying,

    WritingManifest,

    Done,
}

/// <summary>How far a pull is.</summary>
/// <param name="File">The file at hand; null in phases that have none.</param>
/// <param name="Completed">Bytes of that file that are done in this phase.</param>
/// <param name="TotalCompleted">Bytes of all files that are here.</param>
/// <param name="TotalSize">Of all files.</param>
/// <param name="BytesPerSecond">Over the last seconds; null while nothing is fetched.</param>
/// <param name="Note">What the user should know: which quant was chosen and why, or that a file is fetched anew.</param>
public sealed record PullProgress(PullPhase Phase, LibraryFile? File = null, long Completed = 0, long TotalCompleted = 0, long TotalSize = 0, double? BytesPerSecond = null, string? Note = null)
{
    /// <summary>Until all files are here, at the speed of the last seconds.</summary>
    public TimeSpan? TimeLeft => BytesPerSecond is > 0 and var speed ? TimeSpan.FromSeconds(Math.Min((TotalSize - TotalCompleted) / speed, TimeSpan.FromDays(99).TotalSeconds)) : null;
}

/// <summary>Counts what several connections bring, and tells it now and then. Safe from any thread.</summary>
internal sealed class PullMeter(IProgress<PullProgress>? progress, TimeProvider clock, Action<long>? fetched)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    // The speed is that of about so many seconds: shorter ones jump, longer ones tell of a network that is no more.
    private const double SpeedSeconds = 5;

    private readonly Lock _gate = new();
    private PullPhase _phase;
    private LibraryFile? _file;
    private long _completed;
    private long _before;
    private long _total;
    private long _lastTold;
    private long _lastMeasured;
    private long _sinceMeasured;
    private double? _speed;

    public void Plan(long total, long alreadyHere) => (_total, _before) = (total, alreadyHere);

    public void Say(PullPhase phase, string? note = null) => Begin(phase, null, 0, note);

    /// <summary>A phase of a file begins.</summary>
    /// <param name="completed">Bytes of it that an earlier pull has left.</param>
    public void Begin(PullPhase phase, LibraryFile? file, long completed, string? note = null)
    {
        lock (_gate)
        {
            (_phase, _file, _completed) = (phase, file, completed);
            if (phase == PullPhase.Downloading)
                (_lastMeasured, _sinceMeasured, _speed) = (clock.GetTimestamp(), 0, null);
            Tell(note);
        }
    }

    /// <summary>More of the file is done in this phase.</summary>
    public void Add(long bytes)
    {
        if (_phase == PullPhase.Downloading)
            fetched?.Invoke(bytes);
        lock (_gate)
        {
            _completed += bytes;
            _sinceMeasured += bytes;
            if (clock.GetElapsedTime(_lastTold) >= Interval)
                Tell(null);
        }
    }

    /// <summary>As far as another process is.</summary>
    public void Set(long completed)
    {
        lock (_gate)
            (_completed, _) = (completed, 0);
        Add(0);
    }

    /// <summary>A file is whole and in its place.</summary>
    public void Finish(LibraryFile file)
    {
        lock (_gate)
            (_before, _completed, _file) = (_before + file.Size, 0, null);
    }

    private void Tell(string? note)
    {
        long now = clock.GetTimestamp();
        double seconds = clock.GetElapsedTime(_lastMeasured, now).TotalSeconds;
        if (_phase == PullPhase.Downloading && seconds >= Interval.TotalSeconds)
        {
            double speed = _sinceMeasured / seconds, weight = 1 - Math.Exp(-seconds / SpeedSeconds);
            _speed = _speed is { } last ? last + (weight * (speed - last)) : speed;
            (_lastMeasured, _sinceMeasured) = (now, 0);
        }

        _lastTold = now;
        long here = _before + (_phase is PullPhase.Downloading or PullPhase.Waiting ? _completed : _phase == PullPhase.Verifying ? _file?.Size ?? 0 : 0);
        progress?.Report(new PullProgress(_phase, _file, _completed, Math.Min(here, _total), _total, _phase == PullPhase.Downloading ? _speed : null, note));
    }
}
