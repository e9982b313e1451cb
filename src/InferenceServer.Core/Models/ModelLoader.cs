using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Placement;

namespace InferenceServer.Models;

/// <summary>A model with what it needs to run. Disposing joins the decode thread first, then frees the model.</summary>
/// <param name="Notes">What the operator should know of this start: no template, a context that did not fit, replies that are noise.</param>
/// <param name="Plan">Where it lies.</param>
/// <param name="Draft">What guesses for it; null for none.</param>
internal sealed record LoadedModel(ServedModel Served, InferenceEngine Engine, LlamaModel Model, IReadOnlyList<string> Notes, MemoryPlan Plan, LlamaModel? Draft = null) : IAsyncDisposable
{
    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        Draft?.Dispose();
        Model.Dispose();
    }
}

/// <summary>From options to a running model: library, file, plan, chat template, engine. Whatever fails is one line that names the remedy.</summary>
internal static partial class ModelLoader
{
    // Evicted prefixes kept in host memory, and on disk: this part of memory, and of what is free on the disk.
    private const int HostCacheShare = 10;
    private const int DiskCacheShare = 10;

    /// <param name="progress">Told the fraction of the weights that was read.</param>
    /// <exception cref="ServerStartException">The template cannot be used.</exception>
    /// <exception cref="LlamaException">Library, model or context cannot be had; the message names the remedy.</exception>
    public static LoadedModel Load(ModelOptions options, LlamaLibrary library, ILoggerFactory logs, TimeProvider clock, IProgress<float>? progress = null)
    {
        List<string> notes = [];
        EngineOptions engine = EngineOf(options);
        if (options.DiskCacheDirectory is not null && options.Deterministic)
            throw new ServerStartException("--cache-dir and --deterministic exclude each other: what another run saved would be computed anew");
        if (options.DiskCacheDirectory is not null && (engine.HostCacheBytes == 0 || !options.KvUnified))
            throw new ServerStartException(options.KvUnified
                ? "--cache-dir needs host memory to pass through: raise --cache-ram above 0"
                : "--cache-dir needs --kv-unified on: parts of separate memories cannot be saved");
        using ModelFile file = ModelFile.Find(options.ModelPath, notes);
        ILogger log = logs.CreateLogger(typeof(ModelLoader));
        ModelFacts facts = ModelFacts.Read(file.Path, library.Devices);
        if (library.Gpus.Count > 0)
            facts = Asked(library, facts, Plan(options, facts, library.Devices), log);
        try
        {
            return PlacementTries.Run(
                limits => Plan(options, facts, library.Devices, limits),
                plan => Start(options, file, facts, plan, engine, library, [.. notes], logs, clock, progress),
                failed =>
                {
                    LogSmaller(log, failed);
                    notes.Add(failed);
                });
        }
        catch (LlamaException failure) when (failure.IsOutOfMemory && options.GpuLayers is > 0 && library.Gpus.Count > 0)
        {
            // What was fixed is not overridden; but what would fit can be said.
            MemoryPlan fits = Plan(options with { GpuLayers = null }, facts, library.Devices);
            throw new LlamaException($"{failure.Message} (--gpu-layers {options.GpuLayers}; by what is free now, {fits.GpuLayers} with --ctx-size {fits.Context.CellCount} would fit)", failure);
        }
    }

    /// <summary>Where a model would lie on some devices.</summary>
    /// <param name="limits">Of some devices' memory, by their names.</param>
    /// <exception cref="LlamaException">An option contradicts the devices; the message names it.</exception>
    public static MemoryPlan Plan(ModelOptions options, ModelFacts facts, IReadOnlyList<LlamaDevice> devices, IReadOnlyDictionary<string, long>? limits = null) =>
        MemoryPlanner.Plan(facts, Limited(devices, options.DeviceMemory, limits), Request(options, facts));

    /// <summary>What is to be planned for these options.</summary>
    public static PlanRequest Request(ModelOptions options, ModelFacts facts) => new()
    {
        Model = new LlamaModelOptions
        {
            GpuLayers = options.GpuLayers,
            SplitMode = options.SplitMode,
            TensorSplit = options.TensorSplit,
            MainGpu = options.MainGpu,
            CpuExpertLayers = options.CpuExpertLayers,
        },
        Context = InferenceEngine.ContextOf(EngineOf(options), facts.MemoryKind, new LlamaContextOptions
        {
            CellCount = options.ContextSize ?? facts.TrainContextLength,
            BatchSize = options.BatchSize,
            MicroBatchSize = options.MicroBatchSize,
            Threads = options.Threads ?? Environment.ProcessorCount,
            BatchThreads = options.Threads ?? Environment.ProcessorCount,
            KvUnified = options.KvUnified,
            TypeK = options.CacheTypeK,
            TypeV = options.CacheTypeV,
        }),
        Cells = options.ContextSize,
        Contexts = options.MaxSequences,
        ReservedBytes = SideModelBytes(options, facts.Path) + DraftPoolBytes(options, facts) + options.Adapters.Where(adapter => File.Exists(adapter.Path)).Sum(adapter => new FileInfo(adapter.Path).Length),
        MemoryLimit = options.MemoryLimit,
    };

    /// <summary>The facts with what llama.cpp says of them, where it can.</summary>
    internal static ModelFacts Asked(LlamaLibrary library, ModelFacts facts, MemoryPlan plan, ILogger log)
    {
        try
        {
            return MemoryProbe.Ask(library, facts, plan);
        }
        catch (LlamaException failure)
        {
            LogEstimated(log, failure.Message);
            return facts;
        }
    }

    /// <summary>Devices as if less of them were free.</summary>
    internal static IReadOnlyList<LlamaDevice> Limited(IReadOnlyList<LlamaDevice> devices, IReadOnlyList<long>? memory, IReadOnlyDictionary<string, long>? limits)
    {
        IReadOnlyList<LlamaDevice> gpus = LlamaDevice.Gpus(devices);
        if (gpus.Count > 0 && memory?.Count > gpus.Count)
            throw new LlamaException($"--device-memory names {memory.Count} GPUs, and there {(gpus.Count == 1 ? "is one" : $"are {gpus.Count}")}");
        return [.. devices.Select(device => gpus.Contains(device) ? device with { FreeBytes = Math.Min(Math.Min(device.FreeBytes, Memory(device)), limits?.GetValueOrDefault(device.Name, long.MaxValue) ?? long.MaxValue) } : device)];

        long Memory(LlamaDevice device) => memory is not null && gpus.TakeWhile(gpu => gpu != device).Count() is var index && index < memory.Count ? memory[index] : long.MaxValue;
    }

    private static EngineOptions EngineOf(ModelOptions options) => new()
    {
        MaxSequences = options.MaxSequences,
        MaxQueue = options.MaxQueue,
        TargetInterTokenSeconds = options.TargetInterTokenSeconds,
        Deterministic = options.Deterministic,
        HostCacheBytes = options.HostCacheBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / HostCacheShare,
        DiskCacheDirectory = options.DiskCacheDirectory,
        DiskCacheBytes = options.DiskCacheBytes ?? (options.DiskCacheDirectory is { } directory ? FreeBytes(directory) / DiskCacheShare : 0),
    };

    private static LoadedModel Start(
        ModelOptions options, ModelFile file, ModelFacts facts, MemoryPlan plan, EngineOptions engineOptions, LlamaLibrary library, List<string> notes, ILoggerFactory logs, TimeProvider clock, IProgress<float>? progress)
    {
        LlamaModel model = LlamaModel.Load(library, facts, plan.Model, progress, CancellationToken.None);
        LlamaModel? draft = null;
        try
        {
            if (model.Metadata($"{model.Architecture}.attention.causal") == "false")
                throw new ServerStartException($"{file.Path} embeds texts and generates none: give it with --embedding-model, and a model that chats with --model");
            ChatPromptRenderer chat = ChatPromptRenderer.Create(options.ChatTemplatePath, model.ChatTemplate, model.Metadata("tokenizer.chat_template.tool_use"), model.Vocab, clock, notes);
            notes.AddRange(plan.Why);
            if (options.DraftModelPath is { } draftPath)
                draft = LlamaModel.Load(library, draftPath, new LlamaModelOptions { GpuLayers = options.GpuLayers }, null, CancellationToken.None);
            InferenceEngine engine = InferenceEngine.Start(engineOptions, model, plan.Context, clock, logs.CreateLogger<InferenceEngine>(),
                draft is null ? null : new DraftModel(draft, options.LongestDraft, options.LeastDraftProbability, DraftCells(options, facts)));
            if (engine.ComputesAlone && draft is not null)
                notes.Add("--draft-model has no effect: with --deterministic this device computes one sequence a step, and verifies no guesses");
            ServedAdapters adapters = LoadAdapters(engine, options.Adapters);
            if (engine.ComputesAlone)
                notes.Add("results on this device depend on what is computed beside them: --deterministic computes one sequence a step, and prompts from their first token on");
            if (!engine.SharesPrefixes)
                notes.Add(string.Create(CultureInfo.InvariantCulture,
                    $"prefixes are not shared: this model goes on from checkpoints only, of up to {(engine.CheckpointBytes >> 20) + 1} MiB each; give --cache-ram room for several, and --kv-unified on"));
            ServedVocabulary vocabulary = ServedVocabulary.Of(model.Vocab);
            ServedModel served = new()
            {
                Id = options.ModelId ?? file.Id,
                Created = file.Created,
                Fingerprint = Fingerprint(library, model),
                Vocabulary = vocabulary,
                Engine = engine,
                ContextLength = Math.Min(engine.ContextLength, model.TrainContextLength),
                Chat = chat.Render,
                Settings = options.Settings,
                Replies = new ServedReplies(chat.Replies, vocabulary.ControlTokens, [.. vocabulary.EndTokens.Select(vocabulary.Text)]),
                Constraints = new ServedConstraints(vocabulary),
                File = ServedModelFile.Of(model, chat.TemplateSource),
                Adapters = adapters,
            };
            return new LoadedModel(served, engine, model, notes, plan, draft);
        }
        catch (IOException error) when (options.DiskCacheDirectory is not null)
        {
            draft?.Dispose();
            model.Dispose();
            throw new ServerStartException($"{error.Message} Choose another --cache-dir.", error);
        }
        catch
        {
            draft?.Dispose();
            model.Dispose();
            throw;
        }
    }

    /// <exception cref="ServerStartException">One cannot be used, or two have one name.</exception>
    private static ServedAdapters LoadAdapters(InferenceEngine engine, IReadOnlyList<AdapterOptions> wanted)
    {
        ServedAdapters adapters = new(engine.LoadAdapterAsync);
        try
        {
            foreach (AdapterOptions adapter in wanted)
                adapters.LoadAsync(adapter).GetAwaiter().GetResult();
            return adapters;
        }
        catch (Exception error) when (error is LlamaException or RequestProblem)
        {
            // Before its model goes.
            engine.DisposeAsync().AsTask().GetAwaiter().GetResult();
            throw new ServerStartException(error.Message, error);
        }
    }

    /// <summary>Of the disk that a folder lies on, or will.</summary>
    private static long FreeBytes(string directory)
    {
        string? existing = Path.GetFullPath(directory);
        while (existing is not null && !Directory.Exists(existing))
            existing = Path.GetDirectoryName(existing);
        return new DriveInfo(existing ?? "/").AvailableFreeSpace;
    }

    /// <summary>The draft model's memory has room for one whole context, which replies share.</summary>
    private static int DraftCells(ModelOptions options, ModelFacts facts) => options.ContextSize ?? facts.TrainContextLength;

    private static long DraftPoolBytes(ModelOptions options, ModelFacts facts) =>
        options.DraftModelPath is { } path && File.Exists(path) ? DraftCells(options, facts) * LlamaModel.KvBytesPerToken(GgufReader.Read(path), KvType.F16, KvType.F16) : 0;

    /// <summary>Bytes that the models beside the chat model take: their files, and as much as a quarter of these for what they compute in.</summary>
    internal static long SideModelBytes(ModelOptions options, string chatPath) => ((string?[])[options.EmbeddingModelPath, options.ModerationModelPath, options.DraftModelPath])
        .Where(path => path is not null && Path.GetFullPath(path) != Path.GetFullPath(chatPath) && File.Exists(path)).Sum(path => new FileInfo(path!).Length * 5 / 4);

    private static string Fingerprint(LlamaLibrary library, LlamaModel model)
    {
        string identity = $"{ServerVersion.Text} {library.Version} {model.Description} {model.SizeBytes} {model.ParameterCount} {model.Metadata("general.name")}";
        return $"fp_{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity)).AsSpan(0, 5))}";
    }

    [LoggerMessage(EventId = 165, Level = LogLevel.Warning, Message = "{Failed}")]
    private static partial void LogSmaller(ILogger logger, string failed);

    [LoggerMessage(EventId = 166, Level = LogLevel.Information, Message = "What the model takes is estimated, since llama.cpp could not be asked: {Reason}")]
    private static partial void LogEstimated(ILogger logger, string reason);
}
