using System.ComponentModel;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Library;

namespace InferenceServer.Api.Library;

/// <summary>The body of POST /v1/models/pull.</summary>
public sealed record ModelPullRequest(
    [property: Description("hf:owner/repo[:quant] or ollama:name[:tag]; owner/repo is Hugging Face's, and a name alone Ollama's.")] string Model)
{
    [Description("What the library calls it; a name made of the source if absent.")]
    public string? Name { get; init; }

    [Description("Send an event for each bit of progress, then [DONE]. Else the answer comes when the model is here.")]
    public bool Stream { get; init; }
}

/// <summary>An event of a streamed pull.</summary>
public sealed record ModelPullEvent(
    [property: Description("reading, waiting, downloading, verifying, writing or success.")] string Status)
{
    [Description("The file at hand.")]
    public string? File { get; init; }

    public string? Digest { get; init; }

    [Description("Bytes of all files that are here.")]
    public long Completed { get; init; }

    [Description("Bytes of all files.")]
    public long Total { get; init; }

    public double? BytesPerSecond { get; init; }

    public double? SecondsLeft { get; init; }

    [Description("Which quant was chosen and why, or that a file is fetched anew.")]
    public string? Note { get; init; }

    [Description("With success: what is in the library now.")]
    public LibraryModel? Model { get; init; }
}

/// <summary>A model of the library; the answer of POST /v1/models/pull.</summary>
public sealed record LibraryModel(
    string Id, string Object,
    [property: Description("When it came into the library, in seconds since 1970.")] long Created,
    [property: Description("What can be pulled again, or the path that was imported.")] string Source,
    string? Revision, string? Quantization,
    [property: Description("Why that quantization was taken, where none was named.")] string? QuantizationReason,
    string Architecture, long ParameterCount,
    [property: Description("Tokens that it was trained on.")] int ContextLength,
    long SizeBytes, string? License, IReadOnlyList<string> Notes, IReadOnlyList<LibraryModelFile> Files)
{
    internal static LibraryModel Of(ModelManifest manifest) => new(ModelName.Parse(manifest.Name).Display, "model", manifest.AddedAt.ToUnixTimeSeconds(), manifest.Source, manifest.Revision,
        manifest.Quant ?? manifest.Details.Quantization, manifest.QuantReason, manifest.Details.Architecture, manifest.Details.ParameterCount, manifest.Details.ContextLength, manifest.SizeBytes, manifest.License,
        manifest.Notes, [.. manifest.Files.Select(file => new LibraryModelFile(file.Name, file.Role.ToString().ToLowerInvariant(), file.Sha256, file.Size))]);
}

public sealed record LibraryModelFile(
    string Name,
    [property: Description("model, shard, adapter, projector or template.")] string Role,
    string Sha256, long SizeBytes);

/// <summary>The body of POST /v1/models/verify.</summary>
public sealed record ModelVerifyRequest
{
    [Description("A model of the library; all if absent.")]
    public string? Model { get; init; }
}

/// <summary>The answer of POST /v1/models/verify.</summary>
public sealed record ModelVerification(
    string Object,
    [property: Description("Whether all files are as they should be.")] bool Ok,
    IReadOnlyList<FileVerification> Data);

public sealed record FileVerification(
    string Model, string File, string Sha256, bool Ok,
    [property: Description("What is wrong with it and what to do, or null.")] string? Problem);

/// <summary>What these endpoints send and receive.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ModelPullRequest))]
[JsonSerializable(typeof(ModelPullEvent))]
[JsonSerializable(typeof(LibraryModel))]
[JsonSerializable(typeof(ModelVerifyRequest))]
[JsonSerializable(typeof(ModelVerification))]
internal sealed partial class LibraryJson : JsonSerializerContext
{
    public static LibraryJson Wire { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
