namespace InferenceServer.Engine;

/// <summary>Generates text: what those who ask see of an engine. Safe from any thread.</summary>
public interface IInferenceEngine
{
    /// <summary>Tokens that one sequence may have.</summary>
    int ContextLength { get; }

    /// <summary>Whether message boundaries are of use.</summary>
    bool TakesCheckpoints { get; }

    /// <summary>Null where it is not known.</summary>
    long? KvPoolBytes { get; }

    EngineSnapshot Snapshot { get; }

    /// <summary>Null while the decode thread works; else why it cannot.</summary>
    string? Failure { get; }

    /// <exception cref="EngineQueueFullException">The bounded queue is full.</exception>
    /// <exception cref="EngineUnavailableException">Draining, or the decode thread failed.</exception>
    Generation Submit(GenerationRequest request);

    /// <summary>The named conversations of a cache namespace.</summary>
    Task<List<CachedSession>> ListSessionsAsync(string cacheNamespace);

    /// <summary>Drops a namespace's conversation of this name; false when there is none.</summary>
    Task<bool> DropSessionAsync(string cacheNamespace, string id);

    /// <summary>Takes no more requests and lets running ones finish for the given time.</summary>
    Task StopAsync(TimeSpan drainTimeout);
}
