using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Scheduling;

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
    public long HostCacheBytes { get; init; }
    public int HostCacheEntries { get; init; }

    /// <summary>Files of the disk tier, those of other models included in the bytes.</summary>
    public long DiskCacheBytes { get; init; }
    public int DiskCacheEntries { get; init; }

    /// <summary>Requests that ended a second over the last half minute; 0 when none did.</summary>
    public double RequestsEndedPerSecond { get; init; }

    /// <summary>Seconds of a step without prefill, and of one prefill row, as learnt.</summary>
    public double DecodeStepSeconds { get; init; }
    public double PrefillRowSeconds { get; init; }

    // Counters. accepted == waiting + running + finished + cancelled + failed; prompt == computed + cached (of admitted requests).
    public long AcceptedRequests { get; init; }
    public long FinishedRequests { get; init; }
    public long CancelledRequests { get; init; }
    public long FailedRequests { get; init; }
    public long PromptTokens { get; init; }
    public long PromptTokensComputed { get; init; }
    public long PromptTokensCached { get; init; }
    public long CompletionTokens { get; init; }
    public long Steps { get; init; }

    /// <summary>What the decode thread has allocated on the managed heap.</summary>
    public long DecodeThreadAllocatedBytes { get; init; }

    /// <summary>Rows of steps that generated at least one token for a running request, and the count of those steps: their ratio is the mean batch.</summary>
    public long DecodeRows { get; init; }
    public long DecodeSteps { get; init; }
    public long FailedSteps { get; init; }

    /// <summary>Steps that computed with other LoRA adapters than the one before.</summary>
    public long AdapterChanges { get; init; }

    /// <summary>Time spent in all steps together: on their rows, on operations on the KV memory (sharing, saving, restoring), and on sampling.</summary>
    public double StepSeconds { get; init; }
    public double OperationSeconds { get; init; }
    public double SamplingSeconds { get; init; }

    /// <summary>Tokens that the device drew; the host drew the others.</summary>
    public long DeviceDraws { get; init; }

    /// <summary>Steps that had the shape of the one before, so that llama.cpp used its graph again.</summary>
    public long GraphReuses { get; init; }

    /// <summary>Saved states that were brought back into the KV pool.</summary>
    public long Restores { get; init; }
    public long EvictedTokens { get; init; }

    /// <summary>Of these, those that left for want of a sequence id and not of cells.</summary>
    public long EvictedForIdsTokens { get; init; }
    public long HostHitTokens { get; init; }

    /// <summary>Partial states saved on the way, and put back to go on from; 0 for dense models.</summary>
    public long CheckpointsTaken { get; init; }
    public long CheckpointsRestored { get; init; }
    public long DiskHitTokens { get; init; }
    public long DiskWrites { get; init; }
    public long DiskWrittenBytes { get; init; }

    /// <summary>Files that belong to another model, KV type or build, or have no place in the tree.</summary>
    public long DiskFilesIgnored { get; init; }

    /// <summary>Files that were truncated or changed, and deleted.</summary>
    public long DiskFilesDamaged { get; init; }

    /// <summary>What the file system refused.</summary>
    public long DiskErrors { get; init; }
    public long RecomputedTokens { get; init; }
    public long WastedTokens { get; init; }
    public long Preemptions { get; init; }
    public long DraftTokens { get; init; }
    public long DraftTokensAccepted { get; init; }

    /// <summary>Of these, those of a draft model, and the time that it took.</summary>
    public long ModelDraftTokens { get; init; }
    public long ModelDraftTokensAccepted { get; init; }
    public double DraftSeconds { get; init; }

    /// <summary>Weights and memory of the draft model; 0 without one.</summary>
    public long DraftModelBytes { get; init; }
    public long ForcedTokens { get; init; }

    internal static EngineSnapshot Of(Scheduler scheduler, double endedPerSecond = 0, long allocatedBytes = 0)
    {
        SchedulerCounters counters = scheduler.Counters;
        PrefixCache cache = scheduler.Cache;
        DiskCounters? disk = cache.Disk?.Counters;
        return new EngineSnapshot
        {
            WaitingRequests = scheduler.Waiting.Count,
            RunningRequests = scheduler.Running.Count,
            CellsTotal = cache.Ledger.Total,
            CellsPrivate = cache.Ledger.Private,
            CellsPinned = cache.Ledger.Pinned,
            CellsCached = cache.Ledger.Cached,
            CellsFree = cache.Ledger.Free,
            CachedLeaves = cache.LeafCount,
            HostCacheBytes = cache.Host.UsedBytes,
            HostCacheEntries = cache.Host.Entries,
            DecodeStepSeconds = scheduler.StepTime.DecodeSeconds,
            PrefillRowSeconds = scheduler.StepTime.PrefillSecondsPerRow,
            AcceptedRequests = counters.Accepted,
            FinishedRequests = counters.Finished,
            CancelledRequests = counters.Cancelled,
            FailedRequests = counters.Failed,
            PromptTokens = counters.Prompt,
            PromptTokensComputed = counters.PromptComputed,
            PromptTokensCached = counters.PromptCached,
            CompletionTokens = counters.Completion,
            Steps = counters.Steps,
            FailedSteps = counters.FailedSteps,
            AdapterChanges = counters.AdapterChanges,
            StepSeconds = counters.StepSeconds,
            OperationSeconds = counters.OperationSeconds,
            SamplingSeconds = counters.SamplingSeconds,
            DeviceDraws = counters.DeviceDraws,
            GraphReuses = counters.GraphReuses,
            Restores = scheduler.Cache.Restores,
            DecodeRows = counters.DecodeRows,
            DecodeSteps = counters.DecodeSteps,
            EvictedTokens = cache.EvictedTokens,
            EvictedForIdsTokens = cache.EvictedForIdsTokens,
            HostHitTokens = counters.HostHits,
            CheckpointsTaken = cache.CheckpointsTaken,
            CheckpointsRestored = cache.CheckpointsRestored,
            DiskCacheBytes = cache.Disk?.UsedBytes ?? 0,
            DiskCacheEntries = cache.Disk?.Entries ?? 0,
            DiskHitTokens = counters.DiskHits,
            DiskWrites = disk?.Writes ?? 0,
            DiskWrittenBytes = disk?.WrittenBytes ?? 0,
            DiskFilesIgnored = disk?.IgnoredFiles ?? 0,
            DiskFilesDamaged = disk?.DamagedFiles ?? 0,
            DiskErrors = disk?.Errors ?? 0,
            RecomputedTokens = counters.Recomputed,
            WastedTokens = counters.Wasted,
            Preemptions = counters.Preemptions,
            DraftTokens = counters.Drafted,
            DraftTokensAccepted = counters.DraftsAccepted,
            ModelDraftTokens = counters.ModelDrafted,
            ModelDraftTokensAccepted = counters.ModelDraftsAccepted,
            DraftSeconds = scheduler.Drafter?.Seconds ?? 0,
            DraftModelBytes = scheduler.Drafter?.Limits.Bytes ?? 0,
            ForcedTokens = counters.Forced,
            RequestsEndedPerSecond = endedPerSecond,
            DecodeThreadAllocatedBytes = allocatedBytes,
        };
    }
}
