using InferenceServer.Llama;

namespace InferenceServer.Models;

/// <summary>Which models run, and how. Null means: decide when the model is known.</summary>
public sealed record ModelOptions
{
    /// <summary>A GGUF file; null takes the model that ships.</summary>
    public string? ModelPath { get; init; }

    /// <summary>What clients call that model; null for its file's name.</summary>
    public string? ModelId { get; init; }

    /// <summary>A model for embeddings or ranking, besides the one that chats; its own path lets that one embed too.</summary>
    public string? EmbeddingModelPath { get; init; }

    /// <summary>What clients call that one; null for its file's name.</summary>
    public string? EmbeddingModelId { get; init; }

    /// <summary>A model that judges texts beside the moderation rules; null for none.</summary>
    public string? ModerationModelPath { get; init; }

    /// <summary>A smaller model of the same vocabulary that guesses what the one that chats says next; null for none.</summary>
    public string? DraftModelPath { get; init; }

    /// <summary>Most tokens that it guesses for one step.</summary>
    public int LongestDraft { get; init; } = 8;

    /// <summary>A guess that it takes to be less likely ends a draft.</summary>
    public float LeastDraftProbability { get; init; } = 0.5f;

    /// <summary>A chat template to take instead of the model's own.</summary>
    public string? ChatTemplatePath { get; init; }

    /// <summary>LoRA adapters that are loaded with the model that chats.</summary>
    public IReadOnlyList<AdapterOptions> Adapters { get; init; } = [];

    /// <summary>Cells of the KV pool, in tokens.</summary>
    public int? ContextSize { get; init; }

    /// <summary>Most sequences that decode at once.</summary>
    public int MaxSequences { get; init; } = 16;

    /// <summary>Most requests that wait.</summary>
    public int MaxQueue { get; init; } = 512;

    public int? Threads { get; init; }

    /// <summary>Most tokens of one step.</summary>
    public int BatchSize { get; init; } = 2048;

    /// <summary>Most tokens computed at a time within a step.</summary>
    public int MicroBatchSize { get; init; } = 512;

    public int? GpuLayers { get; init; }

    /// <summary>How layers lie on several GPUs.</summary>
    public SplitMode SplitMode { get; init; } = SplitMode.Layer;

    /// <summary>Each GPU's share of them; null for what fits.</summary>
    public IReadOnlyList<float>? TensorSplit { get; init; }

    /// <summary>The GPU that has all where nothing is split.</summary>
    public int MainGpu { get; init; }

    /// <summary>Layers, from the first on, whose experts stay on the CPU; null for as few as must.</summary>
    public int? CpuExpertLayers { get; init; }

    /// <summary>Most bytes that the model may take of each GPU; null for what is free.</summary>
    public IReadOnlyList<long>? DeviceMemory { get; init; }

    /// <summary>What the model's owner set; asked at each request.</summary>
    public Func<ModelSettings> Settings { get; init; } = () => ModelSettings.None;

    /// <summary>Most bytes that the model may take, weights and KV pool together; null for what the machine allows.</summary>
    public long? MemoryLimit { get; init; }

    public bool KvUnified { get; init; } = true;

    /// <summary>The same seeded request repeats bit for bit, alone and beside others.</summary>
    public bool Deterministic { get; init; }

    public KvType CacheTypeK { get; init; } = KvType.F16;

    public KvType CacheTypeV { get; init; } = KvType.F16;

    /// <summary>The inter-token latency that prompts must leave to running streams; null: twice a step without prompts.</summary>
    public double? TargetInterTokenSeconds { get; init; }

    /// <summary>Most bytes of evicted KV in host memory; 0 turns that tier off.</summary>
    public long? HostCacheBytes { get; init; }

    /// <summary>Folder of the disk cache; null turns it off.</summary>
    public string? DiskCacheDirectory { get; init; }

    public long? DiskCacheBytes { get; init; }
}
