namespace InferenceServer.Api.Streaming;

/// <summary>
/// Watches one stream's clock: wakes the pump after a silence, so that it can send a comment that keeps proxies and clients waiting, and aborts the
/// connection of a client that does not read. One timer a stream; a token costs one store.
/// </summary>
internal sealed class StreamWatch : IDisposable
{
    public static readonly TimeSpan PingAfter = TimeSpan.FromSeconds(15);

    // A reader that took nothing for this long is gone, whatever its TCP connection says.
    public static readonly TimeSpan FlushLimit = TimeSpan.FromSeconds(60);

    private readonly TimeProvider _clock;
    private readonly Action _abort;
    private readonly ITimer _timer;
    private CancellationTokenSource _wake = new();
    private long _lastWrite;
    private volatile bool _flushing;

    public StreamWatch(TimeProvider clock, Action abort)
    {
        _clock = clock;
        _abort = abort;
        _lastWrite = clock.GetTimestamp();
        _timer = clock.CreateTimer(static watch => ((StreamWatch)watch!).Check(), this, PingAfter, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Cancelled once nothing was written for <see cref="PingAfter"/>; <see cref="Rearm"/> makes a new one.</summary>
    public CancellationToken Silence => _wake.Token;

    public void FlushStarts() => _flushing = true;

    public void FlushEnded()
    {
        _flushing = false;
        Volatile.Write(ref _lastWrite, _clock.GetTimestamp());
    }

    public void Rearm()
    {
        _wake.Dispose();
        _wake = new CancellationTokenSource();
        _timer.Change(PingAfter, Timeout.InfiniteTimeSpan);
    }

    public void Dispose()
    {
        _timer.Dispose();
        _wake.Dispose();
    }

    private void Check()
    {
        try
        {
            TimeSpan silent = _clock.GetElapsedTime(Volatile.Read(ref _lastWrite));
            if (_flushing && silent >= FlushLimit)
                _abort();
            else if (_flushing)
                _timer.Change(PingAfter, Timeout.InfiniteTimeSpan);
            else if (silent >= PingAfter)
                _wake.Cancel();
            else
                _timer.Change(PingAfter - silent, Timeout.InfiniteTimeSpan);
        }
        catch (ObjectDisposedException)
        {
            // The stream ended while its timer fired.
        }
    }
}
