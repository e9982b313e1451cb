using InferenceServer.Api;

namespace InferenceServer.Models;

/// <summary>The models that this server answers for.</summary>
public sealed class ModelCatalogue(IReadOnlyList<ServedModel> models)
{
    public IReadOnlyList<ServedModel> Models { get; } = models;

    /// <exception cref="ApiException">404 when no such model is loaded.</exception>
    public ServedModel Find(string id) =>
        Models.FirstOrDefault(model => model.Id == id)
        ?? throw new ApiException(StatusCodes.Status404NotFound,
            $"The model '{(id.Length <= 100 ? id : id[..100] + "...")}' does not exist; loaded: {string.Join(", ", Models.Select(model => model.Id))}.",
            ErrorTypes.InvalidRequest, "model", "model_not_found");
}
