using InferenceServer.Api.Anthropic;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>GET /v1/models and GET /v1/models/{id}; in Anthropic's shape for clients that say <c>anthropic-version</c>.</summary>
internal sealed class ModelEndpoints(ModelCatalogue models)
{
    public Task ListAsync(HttpContext http) => AnthropicErrors.Speaks(http.Request)
        ? AnthropicModels.ListAsync(http, models.Models)
        : JsonAnswer.WriteAsync(http, new ModelList("list", [.. models.Models.Select(Describe)]), OpenAIJson.Wire.ModelList);

    public Task FindAsync(HttpContext http)
    {
        ServedModel model = models.Find((string)http.Request.RouteValues["id"]!);
        return AnthropicErrors.Speaks(http.Request)
            ? AnthropicModels.WriteAsync(http, model)
            : JsonAnswer.WriteAsync(http, Describe(model), OpenAIJson.Wire.ModelDescription);
    }

    private static ModelDescription Describe(ServedModel model) =>
        new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.Engine.ContextLength);
}
