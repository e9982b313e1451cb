using InferenceServer.Api.Anthropic;
using InferenceServer.Api.Library;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama.Gguf;
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
        return JsonAnswer.WriteAsync(http, new ModelList("list", [.. Loaded, .. NotLoaded]), OpenAIJson.Wire.ModelList);
    }

    public Task FindAsync(HttpContext http)
    {
        string id = LibraryEndpoints.NameOf(http);
        if (AnthropicErrors.Speaks(http.Request))
            return AnthropicModels.WriteAsync(http, models.Find(id));
        string own = models.NameOf(id);
        if (Loaded.Concat(NotLoaded).FirstOrDefault(model => ModelCatalogue.IsNamed(model.Id, own)) is { } found)
            return JsonAnswer.WriteAsync(http, found, OpenAIJson.Wire.ModelDescription);
        // The problem says which there are.
        return JsonAnswer.WriteAsync(http, Describe(models.Find(id)), OpenAIJson.Wire.ModelDescription);
    }

    private IEnumerable<ModelDescription> Loaded => models.Named.Select(Describe).Concat(models.EmbedOnly.Select(Describe));

    /// <summary>Those of server.json, then those of the library.</summary>
    private IEnumerable<ModelDescription> NotLoaded
    {
        get
        {
            HashSet<string> known = [.. models.Models.Select(model => model.Id), .. models.EmbedOnly.Select(model => model.Id)];
            foreach (ConfiguredModel model in library.Configuration.Models)
                if (known.Add(model.Name))
                    yield return Describe(model);
            foreach (ModelManifest manifest in library.Models)
                if (!known.Any(id => ModelCatalogue.IsNamed(id, manifest.Name)))
                    yield return Describe(ModelName.Parse(manifest.Name).Display, manifest);
        }
    }

    public ModelDescription Describe(ServedModel model) => WithState(new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.ContextLength)
    {
        Parent = model.Parent?.Id,
        SizeBytes = model.File.SizeBytes,
        Capabilities = models.Embedders.Any(embedder => embedder.Id == model.Id) ? [.. model.Capabilities, "embedding"] : model.Capabilities,
    });

    private ModelDescription Describe(ServedEmbedder model) =>
        WithState(new(model.Id, "model", model.Created.ToUnixTimeSeconds(), "local", model.MaxInputTokens) { SizeBytes = model.File.SizeBytes, Capabilities = model.Capabilities });

    private ModelDescription Describe(string id, ModelManifest manifest) => WithState(new(id, "model", manifest.AddedAt.ToUnixTimeSeconds(), "library", manifest.Details.ContextLength)
    {
        Loaded = false,
        SizeBytes = manifest.SizeBytes,
        Capabilities = manifest.Details.Capabilities,
    });

    private ModelDescription Describe(ConfiguredModel model)
    {
        if (library.Library is { } folder && ModelReference.Parse(model.Source) is not FileReference)
            return folder.Find(model.Source) is { } manifest ? Describe(model.Name, manifest) : WithState(new(model.Name, "model", 0, "local", 0) { Loaded = false });
        try
        {
            GgufFile header = GgufReader.Read(model.Source);
            return WithState(new(model.Name, "model", new DateTimeOffset(File.GetLastWriteTimeUtc(model.Source)).ToUnixTimeSeconds(), "local", (int)Math.Clamp(header.Hyper("context_length") ?? 0, 0, int.MaxValue))
            {
                Loaded = false,
                SizeBytes = header.TensorBytes,
                Capabilities = new ModelDetails(header.Architecture, 0, "", 0, true, ModelDetails.UseOf(header)).Capabilities,
            });
        }
        catch (Exception error) when (error is GgufException or IOException or UnauthorizedAccessException)
        {
            // Why it cannot be had is told to whoever asks for it.
            return WithState(new(model.Name, "model", 0, "local", 0) { Loaded = false });
        }
    }

    private ModelDescription WithState(ModelDescription model)
    {
        string root = model.Parent ?? model.Id;
        HostedModelStatus? status = models.OnDemand?.Status.FirstOrDefault(hosted => hosted.Id == root);
        ConfiguredModel? configured = library.Configuration.Find(root);
        return model with
        {
            Root = root,
            State = status?.State ?? (model.Loaded ? "loaded" : "unloaded"),
            Aliases = model.Parent is null ? configured?.Aliases ?? [] : [],
            // Those of the start stay.
            Pinned = status?.IsPinned ?? (model.Loaded || configured?.IsPinned == true),
        };
    }
}
