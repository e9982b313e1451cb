using InferenceServer.Chat;
using InferenceServer.Engine;

namespace InferenceServer.Models;

/// <summary>A loaded model as the API sees it: how to make tokens of a request, and where to send them. Immutable; safe from any thread.</summary>
public sealed record ServedModel
{
    /// <summary>What clients put into <c>model</c>.</summary>
    public required string Id { get; init; }

    public required DateTimeOffset Created { get; init; }

    /// <summary>Changes whenever build or model do; OpenAI's <c>system_fingerprint</c>.</summary>
    public required string Fingerprint { get; init; }

    public required ServedVocabulary Vocabulary { get; init; }

    public required ServedEngine Engine { get; init; }

    public required ChatRenderer Chat { get; init; }

    public required ServedConstraints Constraints { get; init; }

    public ServedReplies Replies { get; init; } = ServedReplies.Plain;

    public ServedModelFile File { get; init; } = ServedModelFile.None;
}

/// <summary>The engine's border. Delegates, since a record of calls is all that two implementations (the engine, the scripted one of the tests) share.</summary>
public sealed record ServedEngine
{
    public required int ContextLength { get; init; }

    /// <summary>Whether message boundaries are of use to the engine.</summary>
    public bool TakesCheckpoints { get; init; }

    /// <summary>Null where it is not known.</summary>
    public long? KvPoolBytes { get; init; }

    /// <exception cref="EngineQueueFullException">The bounded queue is full.</exception>
    /// <exception cref="EngineUnavailableException">Draining, or the decode thread failed.</exception>
    public required Func<GenerationRequest, Generation> Submit { get; init; }

    public required Func<EngineSnapshot> Snapshot { get; init; }

    /// <summary>Null while the decode thread works; else why it cannot.</summary>
    public required Func<string?> Failure { get; init; }

    /// <summary>The named conversations of a cache namespace.</summary>
    public required Func<string, Task<List<CachedSession>>> ListSessions { get; init; }

    /// <summary>Drops a namespace's conversation of this name; false when there is none.</summary>
    public required Func<string, string, Task<bool>> DropSession { get; init; }

    /// <summary>Takes no more requests and lets running ones finish for the given time.</summary>
    public required Func<TimeSpan, Task> Stop { get; init; }

    public static ServedEngine For(InferenceEngine engine, int trainContextLength) => new()
    {
        ContextLength = Math.Min(engine.ContextLength, trainContextLength),
        TakesCheckpoints = engine.TakesCheckpoints,
        KvPoolBytes = engine.KvPoolBytes,
        Submit = engine.Submit,
        Snapshot = () => engine.Snapshot,
        Failure = () => engine.Failure,
        ListSessions = engine.ListSessionsAsync,
        DropSession = engine.DropSessionAsync,
        Stop = engine.StopAsync,
    };
}
