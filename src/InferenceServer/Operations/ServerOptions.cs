using InferenceServer.Llama;
using InferenceServer.Moderation;

namespace InferenceServer.Operations;

/// <summary>What the operator chose, whether on the command line, in the environment or in appsettings.json. Null means: decide when the model is known.</summary>
internal sealed record ServerOptions
{
    /// <summary>A GGUF file; null takes the model that ships.</summary>
    public string? ModelPath { get; init; }

    /// <summary>A model for embeddings or ranking, besides the one that chats; its own path lets that one embed too.</summary>
    public string? EmbeddingModelPath { get; init; }

    public required string Host { get; init; }

    public required int Port { get; init; }

    /// <summary>Cells of the KV pool, in tokens.</summary>
    public int? ContextSize { get; init; }

    public required int MaxSequences { get; init; }

    public int? Threads { get; init; }

    public required int BatchSize { get; init; }

    public required int MicroBatchSize { get; init; }

    public required LlamaBackend Backend { get; init; }

    public int? GpuLayers { get; init; }

    public required bool KvUnified { get; init; }

    public required KvType CacheTypeK { get; init; }

    public required KvType CacheTypeV { get; init; }

    public required int MaxQueue { get; init; }

    /// <summary>The inter-token latency that prompts must leave to running streams; null: twice a step without prompts.</summary>
    public double? TargetInterTokenSeconds { get; init; }

    /// <summary>Most bytes of evicted KV in host memory; 0 turns that tier off.</summary>
    public long? HostCacheBytes { get; init; }

    /// <summary>Folder of the disk cache; null turns it off.</summary>
    public string? DiskCacheDirectory { get; init; }

    public required long? DiskCacheBytes { get; init; }

    public string? ChatTemplatePath { get; init; }

    /// <summary>Folder of what is kept for clients; null takes one of the user's own, and "off" keeps nothing.</summary>
    public string? DataDirectory { get; init; }

    public required int RetentionDays { get; init; }

    /// <summary>Most bytes of what is kept.</summary>
    public required long DataBytes { get; init; }

    /// <summary>Keys that open the API, besides those of <see cref="ApiKeyFile"/>; with neither it is open to all.</summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = [];

    public string? ApiKeyFile { get; init; }

    /// <summary>What is done about chats that the moderation rules flag.</summary>
    public ModerationMode Moderation { get; init; }

    /// <summary>A rules file; null takes the built-in rules.</summary>
    public string? ModerationRulesPath { get; init; }

    /// <summary>A model that judges beside the rules; null for none.</summary>
    public string? ModerationModelPath { get; init; }

    /// <summary>As <see cref="WebHostOptions.Strict"/>.</summary>
    public bool Strict { get; init; }

    /// <summary>As <see cref="AccessOptions.CorsOrigins"/>.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>As <see cref="AccessOptions.AllowedHosts"/>.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];
}
