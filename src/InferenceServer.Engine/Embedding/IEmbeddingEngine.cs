namespace InferenceServer.Engine.Embedding;

/// <summary>What turns texts, as tokens, into vectors. Safe from any thread.</summary>
public interface IEmbeddingEngine
{
    /// <summary>Gauges and counters, as of now.</summary>
    EmbeddingSnapshot Snapshot { get; }

    /// <summary>Null while it works; else why it cannot.</summary>
    string? Failure { get; }

    /// <summary>A vector an input, in their order.</summary>
    /// <exception cref="QueueFullException">Too many wait.</exception>
    /// <exception cref="EngineUnavailableException">It is shutting down or has failed.</exception>
    /// <exception cref="EmbeddingFailedException">The device could not compute them.</exception>
    Task<float[][]> EmbedAsync(IReadOnlyList<int[]> inputs, CancellationToken cancellation);

    /// <summary>Takes no more requests and lets those that wait finish for the given time.</summary>
    Task StopAsync(TimeSpan drainTimeout);
}
