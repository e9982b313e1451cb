using InferenceServer.Engine.Embedding;
using InferenceServer.Llama;

namespace InferenceServer.Models;

/// <summary>A model that turns texts into vectors, or ranks them, as the API sees it. Immutable; safe from any thread.</summary>
public sealed record ServedEmbedder
{
    /// <summary>What clients put into <c>model</c>.</summary>
    public required string Id { get; init; }

    public required DateTimeOffset Created { get; init; }

    public ServedModelFile File { get; init; } = ServedModelFile.None;

    public required ServedVocabulary Vocabulary { get; init; }

    /// <summary>Numbers in a vector.</summary>
    public required int Dimensions { get; init; }

    /// <summary>False where the model's file does not say how it pools, and the mean is taken.</summary>
    public bool SaysPooling { get; init; } = true;

    /// <summary>Most tokens of one input.</summary>
    public required int MaxInputTokens { get; init; }

    /// <summary>How a query and a document are put together to be ranked; null for a model that embeds.</summary>
    public RankingPrompt? Ranking { get; init; }

    public required IEmbeddingEngine Engine { get; init; }

    /// <summary>What it can do, in Ollama's words and one more.</summary>
    public IReadOnlyList<string> Capabilities => [Ranking is null ? "embedding" : "rerank"];

    public static ServedEmbedder For(EmbeddingEngine engine, LlamaModel model, string id, DateTimeOffset created, ServedVocabulary vocabulary) => new()
    {
        Id = id,
        Created = created,
        File = ServedModelFile.Of(model, model.ChatTemplate ?? ""),
        Vocabulary = vocabulary,
        Dimensions = engine.Dimensions,
        MaxInputTokens = engine.MaxInputTokens,
        SaysPooling = EmbeddingEngine.PoolingOf(model) is not PoolingType.None,
        Ranking = engine.Pooling is PoolingType.Rank ? RankingPrompt.Of(model) : null,
        Engine = engine,
    };
}

/// <summary>
/// What a ranking model reads: its own template where its file has one (with <c>{query}</c> and <c>{document}</c>), else the two texts with the special
/// tokens that its tokenizer puts around and between texts.
/// </summary>
/// <param name="IsProbability">The model's score lies between 0 and 1 as it is: for Qwen3 llama.cpp has taken the softmax over yes and no. Else it is a logit.</param>
public sealed record RankingPrompt(string? Template, bool IsProbability, IReadOnlyList<int> Before, IReadOnlyList<int> Between, IReadOnlyList<int> After)
{
    public static RankingPrompt Of(LlamaModel model)
    {
        LlamaVocab vocab = model.Vocab;
        int? end = vocab.Eos ?? vocab.Separator;
        List<int> between = [], after = [];
        if (vocab.AddEos && end is { } eos)
        {
            between.Add(eos);
            after.Add(eos);
        }

        if (vocab.AddSeparator && vocab.Separator is { } separator)
        {
            between.Add(separator);
            // A pair ends as its first text does: [CLS] query [SEP] document [SEP].
            if (after.Count == 0)
                after.Add(separator);
        }

        return new(model.Metadata("tokenizer.chat_template.rerank"), model.Architecture.StartsWith("qwen3", StringComparison.Ordinal), vocab is { AddBos: true, Bos: { } bos } ? [bos] : [], between, after);
    }

    public int[] Tokens(ServedVocabulary vocabulary, string query, string document)
    {
        if (Template is null)
            return [.. Before, .. vocabulary.Tokenize(query, false, false), .. Between, .. vocabulary.Tokenize(document, false, false), .. After];
        // Both at once, or a query that holds "{document}" would be filled in twice.
        string[] parts = Template.Split("{query}");
        string filled = string.Join(query, parts.Select(part => part.Replace("{document}", document, StringComparison.Ordinal)));
        return vocabulary.Tokenize(filled, true, true);
    }

    /// <summary>From 0 to 1.</summary>
    public double Score(float[] vector) => IsProbability ? vector[0] : 1 / (1 + Math.Exp(-vector[0]));
}
