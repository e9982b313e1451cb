using InferenceServer.Commands;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Models;

namespace InferenceServer.Operations;

/// <summary>The models of server.json and of the library as models that can be loaded when somebody asks for them.</summary>
internal sealed partial class OnDemandModels(ServerOptions options, LiveConfiguration configuration, ModelLibrary? models, LlamaLibrary library, ILoggerFactory logs)
{
    // Of the memory that is free beside the models of the start; the rest is for what else runs here.
    private const double MemoryShare = 0.5, DeviceShare = 0.9;

    // Of a model's room, for prefixes that leave its pool.
    private const int HostCacheShare = 10;

    // A pool that holds a conversation or two; models whose context is shorter need no more than that.
    private const int LeastCells = 8192;

    // Weights, and what they are computed in.
    private const double WeightsAndMore = 1.1, EmbedderAndMore = 1.25;

    /// <summary>Files and defaults of a model, wherever it comes from.</summary>
    private sealed record Source(string Path, long Bytes, ModelManifest? Manifest, string? TemplatePath, IReadOnlyList<string> AdapterPaths, string Use);

    /// <summary>Null where there is nothing to load on demand.</summary>
    public static ModelHost? Create(ServerOptions options, LiveConfiguration configuration, ModelLibrary? models, LlamaLibrary library, ILoggerFactory logs)
    {
        long room = options.ModelMemory ?? (long)(FreeMemory.Of(library.Devices) * (library.Devices.Any(device => device.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu) ? DeviceShare : MemoryShare));
        if ((models is null && configuration.Current.Path is null) || room <= 0)
            return null;
        OnDemandModels known = new(options, configuration, models, library, logs);
        ModelHost host = new(new ModelHostOptions { Room = room, KeepAlive = options.KeepAlive, MaxWaiting = options.Model.MaxQueue }, known.Find, TimeProvider.System, logs.CreateLogger<ModelHost>());
        configuration.Changed = host.Reconsider;
        return host;
    }

    private LoadableModel? Find(string name)
    {
        if (configuration.Current.Find(name) is { } configured)
            return Loadable(configured.Name, configured.Source, configured.Load) with { IsPinned = configured.IsPinned, KeepAlive = configured.KeepAlive };
        try
        {
            return models?.Find(name) is { } manifest ? Loadable(ModelName.Parse(manifest.Name).Display, manifest.Name, manifest.Digest) : null;
        }
        catch (LibraryException)
        {
            return null; // no name of a model: the catalogue says what there is
        }
    }

    private LoadableModel Loadable(string id, string reference, string version) =>
        new(id, () => LeastBytes(id, SourceOf(reference)), (limit, progress) => Task.FromResult(Load(id, SourceOf(reference), limit, progress))) { Version = version };

    private ModelOptions OptionsOf(string id)
    {
        // Those of the command line are the start's model's.
        ModelOptions common = options.Model with { Adapters = [], DraftModelPath = null };
        return configuration.Current.Find(id) is { } configured ? NamedModels.WithArguments(common, configured) : common;
    }

    /// <exception cref="ServerStartException">It is not here.</exception>
    /// <exception cref="LibraryException">It is not here, or its files are not.</exception>
    private Source SourceOf(string reference)
    {
        if (ModelReference.Parse(reference) is FileReference file)
        {
            if (!File.Exists(file.Path))
                throw new ServerStartException($"there is no file {file.Path}");
            GgufFile header = GgufReader.Read(file.Path);
            return new(file.Path, header.TensorBytes, null, null, [], ModelDetails.UseOf(header));
        }
        if (models is null)
            throw new ServerStartException($"'{reference}' is the name of a model, and there is no folder for a library (--models-dir)");
        ResolvedModel resolved = models.Resolve(models.Find(reference)?.Name ?? throw new ServerStartException($"'{reference}' is not in the library: fetch it with 'InferenceServer pull {reference}'"));
        return new(resolved.Path, resolved.Manifest.SizeBytes, resolved.Manifest, resolved.TemplatePath, resolved.AdapterPaths, resolved.Manifest.Details.Use ?? ModelDetails.UseOf(models.ReadHeader(resolved.Manifest)));
    }

    private static bool OnlyEmbeds(Source source) => source.Use is "embedding" or "ranking";

    private long LeastBytes(string id, Source source)
    {
        if (OnlyEmbeds(source))
            return (long)(source.Bytes * EmbedderAndMore);
        GgufFile header = GgufReader.Read(source.Path);
        ModelOptions chosen = OptionsOf(id);
        long cells = chosen.ContextSize ?? Math.Clamp(header.Hyper("context_length") ?? LeastCells, 1, LeastCells);
        return (long)(source.Bytes * WeightsAndMore) + (cells * LlamaModel.KvBytesPerToken(header, chosen.CacheTypeK, chosen.CacheTypeV));
    }

    private HostedModel Load(string id, Source source, long limit, IProgress<float> progress)
    {
        if (source.AdapterPaths.Count > 0 && OnlyEmbeds(source))
            throw new ServerStartException("it has a LoRA adapter, which only models that chat can have: ask for the model that it was made of");
        List<string> notes = [];
        ModelSettings defaults = source.Manifest is null ? ModelSettings.None : ManifestDefaults.Settings(source.Manifest, notes);
        ModelOptions own = OptionsOf(id);
        if (source.Manifest is not null)
            own = ManifestDefaults.Options(source.Manifest, own);
        long kept = OnlyEmbeds(source) ? 0 : Math.Min(own.HostCacheBytes ?? long.MaxValue, limit / HostCacheShare);
        own = own with
        {
            ModelPath = source.Path,
            ModelId = id,
            Adapters = [.. NamedModels.OwnAdapters(source.AdapterPaths), .. own.Adapters],
            ChatTemplatePath = own.ChatTemplatePath ?? source.TemplatePath,
            Settings = () => configuration.SettingsOf(id, defaults),
            EmbeddingModelPath = null,
            ModerationModelPath = null,
            DraftModelPath = models is null ? own.DraftModelPath : NamedModels.PathOf(own.DraftModelPath, models),
            MemoryLimit = limit - kept,
            HostCacheBytes = kept,
            // A folder is one server's and one model's.
            DiskCacheDirectory = null,
        };
        if (OnlyEmbeds(source))
        {
            LoadedEmbedder embedder = EmbedderLoader.Load(own, source.Path, id, library, logs, progress);
            return new HostedModel(null, embedder.Served, (long)(embedder.Own!.SizeBytes * EmbedderAndMore), embedder.DisposeAsync);
        }

        LoadedModel loaded = ModelLoader.Load(own, library, logs, TimeProvider.System, progress);
        LoadedEmbedder? beside = EmbedderLoader.Beside(own, loaded, logs);
        ILogger log = logs.CreateLogger<ModelHost>();
        foreach (string note in (IEnumerable<string>)[.. notes, .. loaded.Notes])
            LogNote(log, id, note);
        return new HostedModel(loaded.Served, beside?.Served, loaded.Model.SizeBytes + loaded.Engine.Snapshot.DraftModelBytes + loaded.Served.Adapters.All.Sum(adapter => adapter.Loaded.File.SizeBytes) + (loaded.Engine.KvPoolBytes ?? 0) + kept, async () =>
        {
            if (beside is not null)
                await beside.DisposeAsync();
            await loaded.DisposeAsync();
        });
    }

    [LoggerMessage(EventId = 164, Level = LogLevel.Warning, Message = "{Model}: {Note}")]
    private static partial void LogNote(ILogger logger, string model, string note);
}
