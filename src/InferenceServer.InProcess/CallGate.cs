namespace InferenceServer.InProcess;

/// <summary>Lets calls in until it is disposed. Disposing asks those inside to stop and waits until they are out: only then may native memory be freed.</summary>
internal sealed class CallGate : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _closing = new();
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _inside;
    private bool _closed;

    public CallGate() => Closing = _closing.Token;

    /// <summary>Fires once nobody is let in any more.</summary>
    public CancellationToken Closing { get; }

    /// <exception cref="ObjectDisposedException">It is closed.</exception>
    public Stay Enter()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(InProcessModel));
            _inside++;
        }

        return new(this);
    }

    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _closed = true;
            if (_inside == 0)
                _empty.TrySetResult();
        }

        await _closing.CancelAsync();
        await _empty.Task;
        _closing.Dispose();
    }

    private void Leave()
    {
        lock (_lock)
            if (--_inside == 0 && _closed)
                _empty.TrySetResult();
    }

    /// <summary>A call inside, until it is disposed.</summary>
    public readonly struct Stay(CallGate gate) : IDisposable
    {
        public void Dispose() => gate.Leave();
    }
}
