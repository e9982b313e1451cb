using InferenceServer.Models;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Docs;

/// <summary>As <see cref="FieldProbes"/>, of moderation, embeddings and ranking, with models that embed and rank without computing.</summary>
internal static class EmbeddingProbes
{
    private const string Embedder = "embedder";
    private const string Ranker = "ranker";

    public static IReadOnlyList<ServedEmbedder> Models { get; } =
        [Model(Embedder), Model(Ranker) with { Dimensions = 1, Ranking = new RankingPrompt(null, IsProbability: false, [], [], []) }];

    public static IReadOnlyDictionary<string, string> Plain { get; } = new Dictionary<string, string>
    {
        ["/v1/moderations"] = "\"input\":\"Hi\"",
        ["/v1/embeddings"] = $"\"model\":\"{Embedder}\",\"input\":\"Hi\"",
        ["/v1/rerank"] = $"\"model\":\"{Ranker}\",\"query\":\"Hi\",\"documents\":[\"a\"]",
        ["/api/embed"] = $"\"model\":\"{Embedder}\",\"input\":\"Hi\"",
        ["/api/embeddings"] = $"\"model\":\"{Embedder}\",\"prompt\":\"Hi\"",
    };

    public static IReadOnlyList<FieldProbe> All { get; } =
    [
        .. FieldProbes.Of("/v1/moderations",
            ("input[].text", "\"input\":[{\"type\":\"text\",\"text\":\"Hi\"}]"), ("input[].type", "\"input\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]"),
            ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/v1/embeddings",
            ("dimensions", "\"dimensions\":99"), ("encoding_format", "\"encoding_format\":\"int8\""), ("model", $"\"model\":\"{Ranker}\""), ("model", "\"model\":\"scripted\""),
            ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/v1/rerank",
            ("documents[].text", "\"documents\":[{\"text\":\"a\"}]"), ("model", $"\"model\":\"{Embedder}\""), ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/api/embed",
            ("keep_alive", "\"keep_alive\":\"5m\""), ("options", "\"options\":{\"num_ctx\":4096}"), ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/api/embeddings", ("keep_alive", "\"keep_alive\":\"5m\""), ("options", "\"options\":{\"num_ctx\":4096}"), ("anything else", "\"surprise\":1")),
    ];

    private static ServedEmbedder Model(string id) => new()
    {
        Id = id,
        Created = TestHost.Created,
        Vocabulary = ScriptedVocabulary.Instance,
        Dimensions = 4,
        MaxInputTokens = 64,
        Engine = new ScriptedEmbedding((inputs, _) => Task.FromResult<float[][]>([.. inputs.Select(input => (float[])[1, 2, 3, input.Length])])),
    };
}
