// The public face of the engine. HTTP threads submit and read; one decode thread does the rest (EngineLoop).

namespace InferenceServer.Engine;

/// <summary>The waiting queue is full: answer 429. <see cref="QueuedRequests"/> and <see cref="RetryAfter"/> say how long to wait.</summary>
public sealed class EngineQueueFullException(int queuedRequests, TimeSpan retryAfter)
    : Exception($"The waiting queue is full ({queuedRequests} requests).")
{
    public int QueuedRequests { get; } = queuedRequests;

    /// <summary>From the measured rate at which requests finish.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter;
}

/// <summary>The engine takes no more requests: it is stopping, or its decode thread has failed. Answer 503.</summary>
public sealed class EngineUnavailableException(string reason) : Exception(reason);

/// <summary>Continues prompts with one model. All members are safe to call from any thread.</summary>
public sealed class InferenceEngine : IAsyncDisposable
{
    /// <summary>Most tokens one sequence can hold, prompt and reply together.</summary>
    public int ContextLength => throw new NotSupportedException();

    /// <summary>Gauges and counters as of the last step.</summary>
    public EngineSnapshot Snapshot => EngineSnapshot.Empty;

    /// <summary>Null while the decode thread works; else why it cannot.</summary>
    public string? Failure => null;

    /// <summary>Queues a request.</summary>
    /// <exception cref="EngineQueueFullException">The bounded queue is full.</exception>
    /// <exception cref="EngineUnavailableException">Draining, or the decode thread failed.</exception>
    public Generation Submit(GenerationRequest request) => throw new NotSupportedException();

    /// <summary>Takes no more requests, lets running ones finish until <paramref name="drainTimeout"/>, cancels the rest, joins the decode thread.</summary>
    public Task StopAsync(TimeSpan drainTimeout) => throw new NotSupportedException();

    public ValueTask DisposeAsync() => new(StopAsync(TimeSpan.Zero));
}
