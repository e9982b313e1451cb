using InferenceServer.Api.Anthropic;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>GET /v1/models and GET /v1/models/{id}; in Anthropic's shape for clients that say <c>anthropic-version</c>.</summary>
internal sealed class ModelEndpoints(ModelCatalogue models)
{
    public Task ListAsync(HttpContext http)
    {
        if (AnthropicErrors.Speaks(http.Request))
            return AnthropicModels.ListAsync(http, models.Models);
        // Only the other dialect's list has pages.
        IgnoredParameters.Announce(http.Response, [.. http.Request.Query.Keys.Where(AnthropicModels.ChoosesPage)]);
        return JsonAnswer.WriteAsync(http, new ModelList("list", [.. models.Models.Select(Describe), .. models.EmbedOnly.Select(Describe)]), OpenAIJson.Wire.ModelList);
    }

    public Task FindAsync(HttpContext http)
    {
        string id = (string)http.Request.RouteValues["id"]!;
        if (AnthropicErrors.Speaks(http.Request))
            return AnthropicModels.WriteAsync(http, models.Find(id));
        ModelDescription found = models.FindEmbedOnly(id) is { } embedder ? Describe(embedder) : Describe(models.Find(id));
        return JsonAnswer.WriteAsync(http, found, OpenAIJson.Wire.ModelDescription);
    }

    private static ModelDescription Describe(ServedEmbedder model) => new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.MaxInputTokens);

    private static ModelDescription Describe(ServedModel model) =>
        new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.ContextLength);
}
