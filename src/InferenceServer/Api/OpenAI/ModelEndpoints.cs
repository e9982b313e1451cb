using InferenceServer.Api.Anthropic;
using InferenceServer.Api.Library;
using InferenceServer.Library;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>GET /v1/models and GET /v1/models/{id}; in Anthropic's shape for clients that say <c>anthropic-version</c>.</summary>
internal sealed class ModelEndpoints(ModelCatalogue models, LibraryAccess library)
{
    public Task ListAsync(HttpContext http)
    {
        if (AnthropicErrors.Speaks(http.Request))
            return AnthropicModels.ListAsync(http, [.. models.Named]);
        // Only the other dialect's list has pages.
        IgnoredParameters.Announce(http.Response, [.. http.Request.Query.Keys.Where(AnthropicModels.ChoosesPage)]);
        return JsonAnswer.WriteAsync(http, new ModelList("list", [.. models.Named.Select(Describe), .. models.EmbedOnly.Select(Describe), .. library.Models.Where(manifest => !IsLoaded(manifest.Name)).Select(Describe)]), OpenAIJson.Wire.ModelList);
    }

    public Task FindAsync(HttpContext http)
    {
        string id = LibraryEndpoints.NameOf(http);
        if (AnthropicErrors.Speaks(http.Request))
            return AnthropicModels.WriteAsync(http, models.Find(id));
        if (!IsLoaded(id) && library.Library?.Find(id) is { } manifest)
            return JsonAnswer.WriteAsync(http, Describe(manifest), OpenAIJson.Wire.ModelDescription);
        ModelDescription found = models.FindEmbedOnly(id) is { } embedder ? Describe(embedder) : Describe(models.Find(id));
        return JsonAnswer.WriteAsync(http, found, OpenAIJson.Wire.ModelDescription);
    }

    private bool IsLoaded(string name) => models.Named.Any(model => ModelCatalogue.IsNamed(model.Id, name)) || models.EmbedOnly.Any(model => ModelCatalogue.IsNamed(model.Id, name));

    private static ModelDescription Describe(ModelManifest manifest) =>
        new(ModelName.Parse(manifest.Name).Display, "model", manifest.AddedAt.ToUnixTimeSeconds(), "library", manifest.Details.ContextLength) { Loaded = false, Root = ModelName.Parse(manifest.Name).Display };

    private static ModelDescription Describe(ServedEmbedder model) => new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.MaxInputTokens) { Root = model.Id };

    public static ModelDescription Describe(ServedModel model) =>
        new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.ContextLength) { Root = model.Parent?.Id ?? model.Id, Parent = model.Parent?.Id };
}
