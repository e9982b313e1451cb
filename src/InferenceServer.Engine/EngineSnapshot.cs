namespace InferenceServer.Engine;

/// <summary>A published copy of the engine's gauges and counters, taken by the decode thread after a step. Counters only grow.</summary>
public sealed record EngineSnapshot
{
    public static EngineSnapshot Empty { get; } = new();

    // Gauges
    public int WaitingRequests { get; init; }
    public int RunningRequests { get; init; }
    public int CellsTotal { get; init; }

    /// <summary>Cells held by running requests alone.</summary>
    public int CellsPrivate { get; init; }

    /// <summary>Cells of the prefix cache that a running request pins.</summary>
    public int CellsPinned { get; init; }

    /// <summary>Cells of the prefix cache that may be evicted.</summary>
    public int CellsCached { get; init; }
    public int CellsFree { get; init; }
    public int CachedLeaves { get; init; }

    // Counters. accepted == waiting + running + finished + cancelled + failed; prompt == computed + cached (of admitted requests).
    public long AcceptedRequests { get; init; }
    public long FinishedRequests { get; init; }
    public long CancelledRequests { get; init; }
    public long FailedRequests { get; init; }
    public long RejectedRequests { get; init; }
    public long PromptTokens { get; init; }
    public long PromptTokensComputed { get; init; }
    public long PromptTokensCached { get; init; }
    public long CompletionTokens { get; init; }
    public long Steps { get; init; }

    /// <summary>Rows of steps that generated at least one token for a running request, and the count of those steps: their ratio is the mean batch.</summary>
    public long DecodeRows { get; init; }
    public long DecodeSteps { get; init; }
    public long EvictedTokens { get; init; }
    public long Preemptions { get; init; }
}
