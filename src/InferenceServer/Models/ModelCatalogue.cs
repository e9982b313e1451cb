using InferenceServer.Api;

namespace InferenceServer.Models;

/// <summary>The models that this server answers for.</summary>
/// <param name="embedders">Those that embed or rank; a model may be here and chat as well, under one name.</param>
public sealed class ModelCatalogue(IReadOnlyList<ServedModel> models, IReadOnlyList<ServedEmbedder>? embedders = null)
{
    public IReadOnlyList<ServedEmbedder> Embedders { get; } = embedders ?? [];

    public IReadOnlyList<ServedModel> Models { get; } = models;

    /// <exception cref="ApiException">404 when no such model is loaded, 400 when it only embeds.</exception>
    public ServedModel Find(string id) =>
        Models.FirstOrDefault(model => model.Id == id)
        ?? throw (Embedders.Any(model => model.Id == id)
            ? ApiException.InvalidValue($"The model '{id}' embeds texts and does not generate any.", "model", "invalid_value")
            : NotFound(id));

    /// <exception cref="ApiException">404 when no such model is loaded, 400 when it only generates.</exception>
    public ServedEmbedder FindEmbedder(string id) =>
        Embedders.FirstOrDefault(model => model.Id == id)
        ?? throw (Models.Any(model => model.Id == id)
            ? ApiException.InvalidValue($"The model '{id}' is not loaded for embeddings, and its file does not say that it pools: start the server with --embedding-model PATH, which may be its path too.",
                "model", "invalid_value")
            : NotFound(id));

    private ApiException NotFound(string id) => new(StatusCodes.Status404NotFound,
        $"The model '{(id.Length <= 100 ? id : id[..100] + "...")}' does not exist; loaded: {string.Join(", ", Models.Select(model => model.Id).Union(Embedders.Select(model => model.Id)))}.",
        ErrorTypes.InvalidRequest, "model", "model_not_found");
}
