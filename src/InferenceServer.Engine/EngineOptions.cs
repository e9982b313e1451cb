namespace InferenceServer.Engine;

/// <summary>How the engine schedules and what it may keep. Limits of the model and context come from the decoder.</summary>
public sealed record EngineOptions
{
    /// <summary>Most sequences that decode at once.</summary>
    public int MaxSequences { get; init; } = 16;

    /// <summary>Most requests that wait; one more is refused with <see cref="EngineQueueFullException"/>.</summary>
    public int MaxQueue { get; init; } = 512;

    /// <summary>What the device costs; null to measure it at load.</summary>
    public DeviceProfile? Device { get; init; }

    /// <summary>The inter-token latency that prefill beside decoding must keep, in seconds; null: the larger of twice a step without prefill and 50 ms; 0: none.</summary>
    public double? TargetInterTokenSeconds { get; init; }

    /// <summary>Most bytes of evicted KV kept in host memory; 0 turns the tier off.</summary>
    public long HostCacheBytes { get; init; }

    /// <summary>Folder of the disk tier, which goes through host memory and so needs <see cref="HostCacheBytes"/>; null turns it off. One server a folder.</summary>
    public string? DiskCacheDirectory { get; init; }

    /// <summary>Most bytes of evicted KV kept on disk.</summary>
    public long DiskCacheBytes { get; init; } = 8L << 30;

    /// <summary>How long a stop may take to write what a restart should find.</summary>
    public TimeSpan DiskFlushLimit { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Verify drafts from the text so far in spare rows of a step.</summary>
    public bool Speculation { get; init; } = true;

    /// <summary>
    /// The same seeded request repeats bit for bit, alone and beside others: every sequence has cells of its own, and where results depend on what a step
    /// computes beside them, a step computes for one sequence and nothing is taken from the cache.
    /// </summary>
    public bool Deterministic { get; init; }

    /// <summary>A decode call that takes longer has hung: liveness fails and names the step.</summary>
    public TimeSpan StepTimeLimit { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Check every invariant after every step, not only when idle.</summary>
    public bool CheckInvariants { get; init; }
}
