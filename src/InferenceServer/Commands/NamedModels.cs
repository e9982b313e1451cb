using System.CommandLine;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Commands;

/// <summary>The models of the start.</summary>
/// <param name="Options">With paths in the place of names.</param>
/// <param name="Notes">What the operator should know of them.</param>
internal sealed record ResolvedModels(ModelOptions Options, IReadOnlyList<string> Notes);

/// <summary>From what the operator calls models to the files that are loaded: paths stay as they are, names are looked up, and what a hub has is fetched if it is not here.</summary>
internal static class NamedModels
{
    /// <param name="configuration">Its first model is served where no option names one.</param>
    /// <exception cref="LibraryException">There is no such model, or it cannot be had.</exception>
    /// <exception cref="ServerStartException">It needs what this server cannot do.</exception>
    public static async Task<ResolvedModels> ResolveAsync(ModelOptions options, LiveConfiguration configuration, ModelLibrary? library, CancellationToken cancellation)
    {
        ServerConfiguration file = configuration.Current;
        List<string> notes = [];
        ConfiguredModel? configured = options.ModelPath is { } named ? file.Find(named) : file.Models.Count > 0 ? file.Models[0] : null;
        ModelOptions own = configured is null ? options : WithArguments(options, configured) with { ModelPath = configured.Source };
        ResolvedModel? chat = await FindAsync(own.ModelPath, library, cancellation);
        ResolvedModel? embedding = options.EmbeddingModelPath == options.ModelPath ? chat : await FindAsync(Source(options.EmbeddingModelPath), library, cancellation);
        ResolvedModel? moderation = await FindAsync(Source(options.ModerationModelPath), library, cancellation);
        ResolvedModel? draft = await FindAsync(own.DraftModelPath, library, cancellation);
        foreach (ResolvedModel? side in (ResolvedModel?[])[embedding == chat ? null : embedding, moderation])
            if (side is { AdapterPaths.Count: > 0 })
                throw new ServerStartException($"'{side.Manifest.Name}' has a LoRA adapter, which only models that chat can have: serve the model that it was made of");
        ModelSettings defaults = chat is null ? ModelSettings.None : ManifestDefaults.Settings(chat.Manifest, notes);
        // What is to be had at the start is fetched now, with a bar, and not while a client waits.
        foreach (ConfiguredModel other in file.Models)
            if (other != configured && ModelReference.IsRemote(other.Source))
                await FindAsync(other.Source, library, cancellation);
        return new((chat is null ? own : ManifestDefaults.Options(chat.Manifest, own)) with
        {
            ModelPath = chat?.Path ?? own.ModelPath,
            ModelId = configured?.Name ?? IdOf(chat),
            Adapters = [.. chat is null ? [] : OwnAdapters(chat.AdapterPaths), .. own.Adapters],
            EmbeddingModelPath = embedding?.Path ?? Source(options.EmbeddingModelPath),
            EmbeddingModelId = IdOf(embedding),
            ModerationModelPath = moderation?.Path ?? Source(options.ModerationModelPath),
            DraftModelPath = draft?.Path ?? own.DraftModelPath,
            Settings = configured is null ? () => defaults : () => configuration.SettingsOf(configured.Name, defaults),
            ChatTemplatePath = own.ChatTemplatePath ?? chat?.TemplatePath,
        }, notes);

        string? Source(string? model) => model is not null && file.Find(model) is { } known ? known.Source : model;
    }

    /// <summary>The server's options with those that a model of server.json has for itself.</summary>
    public static ModelOptions WithArguments(ModelOptions options, ConfiguredModel model)
    {
        OptionTable table = new();
        return table.ReadModel(table.Command.Parse([.. model.Arguments]), options);
    }

    /// <summary>Those that belong to a model of the library: ADAPTER in a Modelfile.</summary>
    public static IEnumerable<AdapterOptions> OwnAdapters(IReadOnlyList<string> paths) => paths.Select((path, i) => new AdapterOptions($"own-{i + 1}", path, IsOwn: true));

    /// <summary>The file of what is a path or a name of the library; null for nothing.</summary>
    /// <exception cref="LibraryException">The library has no such model, or not all of it.</exception>
    public static string? PathOf(string? model, ModelLibrary library) => model is null || ModelReference.Parse(model) is null or FileReference ? model : library.Resolve(model).Path;

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

        return library.Resolve(manifest?.Name ?? model);
    }
}
