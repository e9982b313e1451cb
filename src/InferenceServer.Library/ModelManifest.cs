using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Library;

/// <summary>What a file of a model is for.</summary>
[JsonConverter(typeof(LibraryFileRoleConverter))]
public enum LibraryFileRole
{
    /// <summary>The weights, or the first part of them.</summary>
    Model,

    /// <summary>A further part of the weights.</summary>
    Shard,

    /// <summary>A LoRA adapter.</summary>
    Adapter,

    /// <summary>What turns pictures or sound into embeddings.</summary>
    Projector,

    /// <summary>A Jinja chat template that replaces the model's own.</summary>
    Template,
}

/// <summary>Roles in JSON, in lower case.</summary>
public sealed class LibraryFileRoleConverter() : JsonStringEnumConverter<LibraryFileRole>(JsonNamingPolicy.SnakeCaseLower);

/// <summary>A file of a model; the library keeps it once, under its hash.</summary>
/// <param name="Name">What its source calls it, to show; never a path.</param>
/// <param name="Sha256">64 lower-case hex digits.</param>
/// <param name="Size">In bytes.</param>
public sealed record LibraryFile(string Name, string Sha256, long Size, LibraryFileRole Role);

/// <summary>What the weights' own header says.</summary>
/// <param name="Quantization">The type that most bytes are stored as, such as Q4_K.</param>
/// <param name="ContextLength">Tokens that the model was trained on; 0 where its file does not say.</param>
/// <param name="Use">chat, embedding, ranking, or chat-embedding for one that does both; null in manifests that are older than this.</param>
public sealed record ModelDetails(string Architecture, long ParameterCount, string Quantization, int ContextLength, bool HasChatTemplate, string? Use = null)
{
    /// <summary>What it can do, in Ollama's words and one more; how it calls tools and whether it thinks is known once it is loaded.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> Capabilities => Use switch
    {
        "embedding" => ["embedding"],
        "ranking" => ["rerank"],
        "chat-embedding" => ["completion", "embedding"],
        null when !HasChatTemplate && Architecture.Contains("bert", StringComparison.OrdinalIgnoreCase) => ["embedding"],
        _ => ["completion"],
    };

    // LLAMA_POOLING_TYPE_RANK
    private const long RankPooling = 4;

    /// <summary>What a model is for, by how it attends and pools.</summary>
    public static string UseOf(GgufFile header)
    {
        long pooling = header.Hyper("pooling_type") ?? 0;
        return pooling == RankPooling ? "ranking"
            : header.GetBoolean($"{header.Architecture}.attention.causal") == false ? "embedding"
            : pooling > 0 ? "chat-embedding" : "chat";
    }
}

/// <summary>A model of the library: a name, its files, and what goes with them. Immutable.</summary>
public sealed record ModelManifest
{
    public const int CurrentVersion = 1;

    public int Version { get; init; } = CurrentVersion;

    /// <summary>As <see cref="ModelName"/> writes it.</summary>
    public required string Name { get; init; }

    /// <summary>Where it came from: a reference that can be pulled, or a path.</summary>
    public required string Source { get; init; }

    /// <summary>The source's commit; null where it has none.</summary>
    public string? Revision { get; init; }

    /// <summary>The label of the weights' quantization, such as Q4_K_M.</summary>
    public string? Quant { get; init; }

    /// <summary>Why that one was taken, in a sentence; null where it was asked for.</summary>
    public string? QuantReason { get; init; }

    public required IReadOnlyList<LibraryFile> Files { get; init; }

    public required ModelDetails Details { get; init; }

    /// <summary>A system message for requests that bring none.</summary>
    public string? System { get; init; }

    /// <summary>Ollama's names and values of sampling options, for requests that say nothing else.</summary>
    public IReadOnlyDictionary<string, JsonElement> Parameters { get; init; } = new Dictionary<string, JsonElement>();

    public string? License { get; init; }

    /// <summary>What the owner should know of it, such as a template that could not be taken over.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    public required DateTimeOffset AddedAt { get; init; }

    public long SizeBytes => Files.Sum(file => file.Size);

    /// <summary>In hex; equal for equal files and defaults of the same name.</summary>
    public string Digest => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(
        string.Join('\n', [System ?? "", .. Files.Select(file => file.Sha256), .. Parameters.OrderBy(parameter => parameter.Key, StringComparer.Ordinal).Select(parameter => $"{parameter.Key}={parameter.Value.GetRawText()}")]))));
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true, MaxDepth = 16)]
[JsonSerializable(typeof(ModelManifest))]
internal sealed partial class ManifestJson : JsonSerializerContext;
