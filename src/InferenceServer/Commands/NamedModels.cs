using InferenceServer.Library;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Commands;

/// <summary>From what the operator calls models to the files that are loaded: paths stay as they are, names are looked up, and what a hub has is fetched if it is not here.</summary>
internal static class NamedModels
{
    /// <exception cref="LibraryException">There is no such model, or it cannot be had.</exception>
    /// <exception cref="ServerStartException">It needs what this server cannot do.</exception>
    public static async Task<ModelOptions> ResolveAsync(ModelOptions options, ModelLibrary? library, CancellationToken cancellation)
    {
        ResolvedModel? chat = await FindAsync(options.ModelPath, library, cancellation);
        ResolvedModel? embedding = options.EmbeddingModelPath == options.ModelPath ? chat : await FindAsync(options.EmbeddingModelPath, library, cancellation);
        ResolvedModel? moderation = await FindAsync(options.ModerationModelPath, library, cancellation);
        ResolvedModel? draft = await FindAsync(options.DraftModelPath, library, cancellation);
        return options with
        {
            ModelPath = chat?.Path ?? options.ModelPath,
            ModelId = IdOf(chat),
            EmbeddingModelPath = embedding?.Path ?? options.EmbeddingModelPath,
            EmbeddingModelId = IdOf(embedding),
            ModerationModelPath = moderation?.Path ?? options.ModerationModelPath,
            DraftModelPath = draft?.Path ?? options.DraftModelPath,
            System = chat?.Manifest.System,
            ChatTemplatePath = options.ChatTemplatePath ?? chat?.TemplatePath,
        };
    }

    private static string? IdOf(ResolvedModel? model) => model is null ? null : ModelName.Parse(model.Manifest.Name).Display;

    /// <summary>Null for a path, and for nothing.</summary>
    private static async Task<ResolvedModel?> FindAsync(string? model, ModelLibrary? library, CancellationToken cancellation)
    {
        if (model is null || ModelReference.Parse(model) is not { } reference || reference is FileReference)
            return null;
        if (library is null)
            throw new ServerStartException($"'{model}' is the name of a model, and there is no folder for a library: name one with --models-dir, or give a path");
        ModelManifest? manifest = library.Find(model);
        if (manifest is null && reference is not NameReference)
        {
            PullBar bar = PullBar.OfProcess();
            try
            {
                manifest = await library.PullAsync(new PullRequest(model, FreeMemoryBytes: FreeMemory.For(model)), bar, cancellation);
            }
            finally
            {
                bar.End();
            }
        }

        ResolvedModel resolved = library.Resolve(manifest?.Name ?? model);
        return resolved.AdapterPaths.Count == 0 ? resolved
            : throw new ServerStartException($"'{resolved.Manifest.Name}' has a LoRA adapter, which this server cannot run: serve the model that it was made of");
    }
}
