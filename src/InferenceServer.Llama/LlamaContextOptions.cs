namespace InferenceServer.Llama;

/// <summary>How embeddings of a sequence are formed from those of its tokens; llama_pooling_type.</summary>
public enum PoolingType
{
    /// <summary>What the model says.</summary>
    Unspecified = -1,

    /// <summary>One embedding a token.</summary>
    None = 0,

    /// <summary>The mean over the tokens.</summary>
    Mean = 1,

    /// <summary>The first token's.</summary>
    Cls = 2,

    /// <summary>The last token's.</summary>
    Last = 3,

    /// <summary>Scores of a reranking head.</summary>
    Rank = 4,
}

/// <summary>Whether attention runs as one fused operation; llama_flash_attn_type.</summary>
public enum FlashAttention
{
    /// <summary>Where the device can.</summary>
    Auto = -1,

    /// <summary>Never.</summary>
    Off = 0,

    /// <summary>Always; quantized V caches need it.</summary>
    On = 1,
}

/// <summary>How to make a context.</summary>
public sealed record LlamaContextOptions
{
    /// <summary>Cells of the KV cache, shared by all sequences; rounded up to a multiple of 256.</summary>
    public required int CellCount { get; init; }

    /// <summary>Most rows in one decode call.</summary>
    public int BatchSize { get; init; } = 2048;

    /// <summary>Most rows computed at once; larger calls are split.</summary>
    public int MicroBatchSize { get; init; } = 512;

    /// <summary>Sequence ids 0 to one less; at most <see cref="LlamaContext.SequenceLimit"/>.</summary>
    public int MaxSequences { get; init; } = 1;

    /// <summary>Most rows of one call that may want logits; 0 for <see cref="BatchSize"/>. Output buffers are sized by it: 512 rows of 152k logits take 311 MB.</summary>
    public int MaxOutputs { get; init; }

    /// <summary>Threads for single-token steps.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Threads for prompts and larger steps.</summary>
    public int BatchThreads { get; init; } = Environment.ProcessorCount;

    /// <summary>How long idle CPU threads spin before they sleep: 0 (not at all) to 100.</summary>
    public int ThreadPoll { get; init; }

    /// <summary>One pool of cells for all sequences, so that prefixes are shared without copying; else each sequence has its own part.</summary>
    public bool KvUnified { get; init; } = true;

    /// <summary>Keep sliding-window layers at full length. It takes memory, and cells outside the window may still be reused.</summary>
    public bool FullSlidingWindow { get; init; }

    /// <summary>Storage of keys.</summary>
    public KvType TypeK { get; init; } = KvType.F16;

    /// <summary>Storage of values; quantized ones turn flash attention on.</summary>
    public KvType TypeV { get; init; } = KvType.F16;

    /// <summary>Return embeddings instead of logits; every row is an output then, and a call is computed at once.</summary>
    public bool Embeddings { get; init; }

    /// <summary>How token embeddings are combined.</summary>
    public PoolingType Pooling { get; init; } = PoolingType.Unspecified;

    /// <summary>Keep the KV cache on the GPU that computes the layer.</summary>
    public bool OffloadKv { get; init; } = true;

    /// <summary>Whether attention is fused.</summary>
    public FlashAttention FlashAttention { get; init; } = FlashAttention.Auto;
}

/// <summary>What a decode call came to: the return codes of llama_decode.</summary>
public enum DecodeStatus
{
    /// <summary>All rows were computed.</summary>
    Ok = 0,

    /// <summary>No free cells for the batch. Nothing changed: free some, or send fewer rows.</summary>
    NoFreeCells = 1,

    /// <summary>
    /// Stopped by <see cref="LlamaContext.AbortRequested"/>. Micro-batches already computed stay; ask for the positions. A recurrent or hybrid
    /// sequence that had rows in the stopped micro-batch is no longer usable: remove it.
    /// </summary>
    Aborted = 2,

    /// <summary>The rows contradict the memory, such as a position that does not follow the sequence's last. Nothing changed.</summary>
    InvalidBatch = -1,

    /// <summary>A buffer could not be had. Micro-batches already computed stay.</summary>
    AllocationFailed = -2,

    /// <summary>The device failed. Micro-batches already computed stay.</summary>
    ComputeFailed = -3,
}

/// <summary>What of a sequence's state is saved; LLAMA_STATE_SEQ_FLAGS_*.</summary>
[Flags]
public enum StateFlags
{
    /// <summary>All of it, into host memory.</summary>
    None = 0,

    /// <summary>Only what cannot be recomputed from the dense cache: sliding-window cells or recurrent states.</summary>
    Partial = 1,
}
