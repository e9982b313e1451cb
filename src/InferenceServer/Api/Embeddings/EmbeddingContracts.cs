using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace InferenceServer.Api.Embeddings;

/// <summary>The body of POST /v1/embeddings.</summary>
public sealed record EmbeddingRequest
{
    [Description("Id of an embedding model.")]
    public required string Model { get; init; }

    [Description("A text, several, a text as tokens, or several such; at most 2048.")]
    [JsonShape(JsonShapes.TextOrTokens)]
    public required JsonElement Input { get; init; }

    [Description("Vectors as arrays of numbers, or as base64 of 32-bit floats, little-endian.")]
    [AllowedValues("float", "base64")]
    public string EncodingFormat { get; init; } = "float";

    [Description("Keep the first so many numbers of each vector, and make its length 1 again; for models that were trained for it.")]
    public int? Dimensions { get; init; }

    [Description("Read, and not used.")]
    public string? User { get; init; }
}

/// <summary>The answer of POST /v1/embeddings.</summary>
public sealed record EmbeddingList(string Object, IReadOnlyList<EmbeddingVector> Data, string Model, EmbeddingUsage Usage);

/// <param name="Embedding">Of length 1; a base64 text where that was asked for.</param>
public sealed record EmbeddingVector(string Object, int Index, IReadOnlyList<float> Embedding);

public sealed record EmbeddingUsage(int PromptTokens, int TotalTokens);

/// <summary>The body of POST /v1/rerank.</summary>
public sealed record RerankRequest
{
    [Description("Id of a ranking model; may be left out where there is only one.")]
    public string? Model { get; init; }

    public required string Query { get; init; }

    [Description("Texts, or objects with a text; at most 2048.")]
    [JsonShape("""{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}]}}""")]
    public required JsonElement Documents { get; init; }

    [Description("Report only the best so many.")]
    public int? TopN { get; init; }

    [Description("Send each document back with its score.")]
    public bool ReturnDocuments { get; init; }
}

/// <summary>The answer of POST /v1/rerank, best first.</summary>
public sealed record RerankAnswer(string Object, string Id, string Model, IReadOnlyList<RankedDocument> Results, EmbeddingUsage Usage);

/// <param name="Index">Its place in the request.</param>
/// <param name="RelevanceScore">From 0 to 1.</param>
public sealed record RankedDocument(int Index, double RelevanceScore)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public RankedText? Document { get; init; }
}

public sealed record RankedText(string Text);

/// <summary>What the embedding endpoints send and receive.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(EmbeddingRequest))]
[JsonSerializable(typeof(EmbeddingList))]
[JsonSerializable(typeof(RerankRequest))]
[JsonSerializable(typeof(RerankAnswer))]
internal sealed partial class EmbeddingJson : JsonSerializerContext
{
    public static EmbeddingJson Wire { get; } = new(WireJson.Options());
}
