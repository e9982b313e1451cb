using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>GET /v1/models and GET /v1/models/{id}.</summary>
internal sealed class ModelEndpoints(ModelCatalogue models)
{
    public Task ListAsync(HttpContext http) =>
        JsonAnswer.WriteAsync(http, new ModelList("list", [.. models.Models.Select(Describe)]), OpenAIJson.Wire.ModelList);

    public Task FindAsync(HttpContext http) =>
        JsonAnswer.WriteAsync(http, Describe(models.Find((string)http.Request.RouteValues["id"]!)), OpenAIJson.Wire.ModelDescription);

    private static ModelDescription Describe(ServedModel model) =>
        new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.Engine.ContextLength);
}
