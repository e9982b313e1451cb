using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Models;

namespace InferenceServer.Operations;

/// <summary>The library's models as models that can be loaded when somebody asks for them.</summary>
internal static partial class OnDemandModels
{
    // Of the memory that is free beside the models of the start; the rest is for what else runs here.
    private const double MemoryShare = 0.5, DeviceShare = 0.9;

    // Of a model's room, for prefixes that leave its pool.
    private const int HostCacheShare = 10;

    // A pool that holds a conversation or two; models whose context is shorter need no more than that.
    private const int LeastCells = 8192;

    // Weights, and what they are computed in.
    private const double WeightsAndMore = 1.1;

    /// <summary>Null where there is no library, or nothing is to be loaded on demand.</summary>
    public static ModelHost? Create(ServerOptions options, ModelLibrary? models, LlamaLibrary library, ILoggerFactory logs)
    {
        long room = options.ModelMemory ?? (long)(FreeMemory.Of(library.Devices) * (library.Devices.Any(device => device.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu) ? DeviceShare : MemoryShare));
        if (models is null || room <= 0)
            return null;
        return new ModelHost(new ModelHostOptions { Room = room, KeepAlive = options.KeepAlive, MaxWaiting = options.Model.MaxQueue }, Find, TimeProvider.System, logs.CreateLogger<ModelHost>());

        LoadableModel? Find(string name)
        {
            try
            {
                return models.Find(name) is { } manifest
                    ? new LoadableModel(ModelName.Parse(manifest.Name).Display, LeastBytes(manifest), limit => Task.FromResult(Load(manifest.Name, limit)))
                    : null;
            }
            catch (LibraryException)
            {
                return null; // no name of a model: the catalogue says what there is
            }
        }

        long LeastBytes(ModelManifest manifest)
        {
            long cells = manifest.Details.ContextLength > 0 ? Math.Min(manifest.Details.ContextLength, LeastCells) : LeastCells;
            return (long)(manifest.SizeBytes * WeightsAndMore) + (cells * LlamaModel.KvBytesPerToken(models.ReadHeader(manifest), options.Model.CacheTypeK, options.Model.CacheTypeV));
        }

        HostedModel Load(string name, long limit)
        {
            ResolvedModel resolved = models.Resolve(name);
            if (resolved.AdapterPaths.Count > 0)
                throw new ServerStartException("it has a LoRA adapter, which this server cannot run: ask for the model that it was made of");
            long kept = Math.Min(options.Model.HostCacheBytes ?? long.MaxValue, limit / HostCacheShare);
            LoadedModel loaded = ModelLoader.Load(options.Model with
            {
                ModelPath = resolved.Path,
                ModelId = ModelName.Parse(resolved.Manifest.Name).Display,
                ChatTemplatePath = resolved.TemplatePath,
                System = resolved.Manifest.System,
                EmbeddingModelPath = null,
                ModerationModelPath = null,
                DraftModelPath = null,
                MemoryLimit = limit - kept,
                HostCacheBytes = kept,
                // A folder is one server's and one model's.
                DiskCacheDirectory = null,
            }, library, logs, TimeProvider.System);
            foreach (string note in loaded.Notes)
                LogNote(logs.CreateLogger<ModelHost>(), loaded.Served.Id, note);
            return new HostedModel(loaded.Served, loaded.Model.SizeBytes + (loaded.Engine.KvPoolBytes ?? 0) + kept, loaded.DisposeAsync);
        }
    }

    [LoggerMessage(EventId = 164, Level = LogLevel.Warning, Message = "{Model}: {Note}")]
    private static partial void LogNote(ILogger logger, string model, string note);
}
