namespace InferenceServer.Models;

/// <summary>The models that this server answers for.</summary>
/// <param name="embedders">Those that embed or rank; a model may be here and chat as well, under one name.</param>
/// <param name="moderation">The one that judges texts; nobody can ask for it by name.</param>
public sealed class ModelCatalogue(IReadOnlyList<ServedModel> models, IReadOnlyList<ServedEmbedder>? embedders = null, ServedEmbedder? moderation = null)
{
    public IReadOnlyList<ServedEmbedder> Embedders { get; } = embedders ?? [];

    /// <summary>What runs beside the models that chat: those that embed, and the one that judges.</summary>
    public IReadOnlyList<ServedEmbedder> Side { get; } = [.. embedders ?? [], .. (ServedEmbedder[])(moderation is null ? [] : [moderation])];

    public IReadOnlyList<ServedModel> Models { get; } = models;

    /// <summary>Those that embed and do not chat.</summary>
    public IEnumerable<ServedEmbedder> EmbedOnly => Embedders.Where(embedder => Models.All(model => model.Id != embedder.Id));

    /// <exception cref="RequestProblem">No such model is loaded, or it only embeds.</exception>
    public ServedModel Find(string id) =>
        Models.FirstOrDefault(model => model.Id == id)
        ?? throw (Embedders.Any(model => model.Id == id)
            ? RequestProblem.Invalid($"The model '{id}' embeds texts and does not generate any.", "model", "invalid_value")
            : NotFound(id));

    /// <exception cref="RequestProblem">No such model is loaded, or it only generates.</exception>
    public ServedEmbedder FindEmbedder(string id) =>
        Embedders.FirstOrDefault(model => model.Id == id)
        ?? throw (Models.Any(model => model.Id == id)
            ? RequestProblem.Invalid($"The model '{id}' is not loaded for embeddings, and its file does not say that it pools: start the server with --embedding-model PATH, which may be its path too.",
                "model", "invalid_value")
            : NotFound(id));

    private RequestProblem NotFound(string id) => new(ProblemKind.NotFound,
        $"The model '{(id.Length <= 100 ? id : id[..100] + "...")}' does not exist; loaded: {string.Join(", ", Models.Select(model => model.Id).Union(Embedders.Select(model => model.Id)))}.",
        "model", "model_not_found");
}
