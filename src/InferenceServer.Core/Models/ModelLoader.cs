using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Llama;

namespace InferenceServer.Models;

/// <summary>A model with what it needs to run. Disposing joins the decode thread first, then frees the model.</summary>
/// <param name="Notes">What the operator should know of this start: no template, a context that did not fit, replies that are noise.</param>
/// <param name="Draft">What guesses for it; null for none.</param>
internal sealed record LoadedModel(ServedModel Served, InferenceEngine Engine, LlamaModel Model, IReadOnlyList<string> Notes, LlamaModel? Draft = null) : IAsyncDisposable
{
    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        Draft?.Dispose();
        Model.Dispose();
    }
}

/// <summary>From options to a running model: library, file, KV pool, chat template, engine. Whatever fails is one line that names the remedy.</summary>
internal static class ModelLoader
{
    // Weights and the KV pool share memory with whatever else runs here: the default pool takes at most this part of it,
    private const int MemoryShare = 4;

    // and in host memory no more than so many tokens: attention there grows slower with every token that lies in the pool.
    private const int HostCellLimit = 65_536;
    private const int CellAlignment = 256;

    // Of a device's memory that is free beside the weights; the rest is for what it computes in, and for whoever else uses it.
    private const double DeviceShare = 0.75;

    // Weights, and what they are computed in.
    private const double WeightsAndMore = 1.1;

    // Evicted prefixes kept in host memory, and on disk: this part of memory, and of what is free on the disk.
    private const int HostCacheShare = 10;
    private const int DiskCacheShare = 10;

    /// <exception cref="ServerStartException">The template cannot be used.</exception>
    /// <exception cref="LlamaException">Library, model or context cannot be had; the message names the remedy.</exception>
    public static LoadedModel Load(ModelOptions options, LlamaLibrary library, ILoggerFactory logs, TimeProvider clock)
    {
        List<string> notes = [];
        long hostCacheBytes = options.HostCacheBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / HostCacheShare;
        if (options.DiskCacheDirectory is not null && options.Deterministic)
            throw new ServerStartException("--cache-dir and --deterministic exclude each other: what another run saved would be computed anew");
        if (options.DiskCacheDirectory is not null && (hostCacheBytes == 0 || !options.KvUnified))
            throw new ServerStartException(options.KvUnified
                ? "--cache-dir needs host memory to pass through: raise --cache-ram above 0"
                : "--cache-dir needs --kv-unified on: parts of separate memories cannot be saved");
        using ModelFile file = ModelFile.Find(options.ModelPath, notes);
        LlamaModel model = LlamaModel.Load(library, file.Path, new LlamaModelOptions { GpuLayers = options.GpuLayers }, null, CancellationToken.None);
        LlamaModel? draft = null;
        try
        {
            if (model.Metadata($"{model.Architecture}.attention.causal") == "false")
                throw new ServerStartException($"{file.Path} embeds texts and generates none: give it with --embedding-model, and a model that chats with --model");
            ChatPromptRenderer chat = ChatPromptRenderer.Create(options.ChatTemplatePath, model.ChatTemplate, model.Metadata("tokenizer.chat_template.tool_use"), model.Vocab, clock, notes);
            draft = options.DraftModelPath is { } draftPath ? LlamaModel.Load(library, draftPath, new LlamaModelOptions { GpuLayers = options.GpuLayers }, null, CancellationToken.None) : null;
            int cells = options.ContextSize ?? DefaultCells(options, library, model, draft, notes);
            InferenceEngine engine = InferenceEngine.Start(
                new EngineOptions
                {
                    MaxSequences = options.MaxSequences,
                    MaxQueue = options.MaxQueue,
                    TargetInterTokenSeconds = options.TargetInterTokenSeconds,
                    Deterministic = options.Deterministic,
                    HostCacheBytes = hostCacheBytes,
                    DiskCacheDirectory = options.DiskCacheDirectory,
                    DiskCacheBytes = options.DiskCacheBytes ?? (options.DiskCacheDirectory is { } directory ? FreeBytes(directory) / DiskCacheShare : 0),
                },
                model,
                new LlamaContextOptions
                {
                    CellCount = cells,
                    BatchSize = options.BatchSize,
                    MicroBatchSize = options.MicroBatchSize,
                    Threads = options.Threads ?? Environment.ProcessorCount,
                    BatchThreads = options.Threads ?? Environment.ProcessorCount,
                    KvUnified = options.KvUnified,
                    TypeK = options.CacheTypeK,
                    TypeV = options.CacheTypeV,
                },
                clock, logs.CreateLogger<InferenceEngine>(),
                draft is null ? null : new DraftModel(draft, options.LongestDraft, options.LeastDraftProbability));
            if (engine.ComputesAlone && draft is not null)
                notes.Add("--draft-model has no effect: with --deterministic this device computes one sequence a step, and verifies no guesses");
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
                System = options.System,
                Replies = new ServedReplies(chat.Replies, vocabulary.ControlTokens, [.. vocabulary.EndTokens.Select(vocabulary.Text)]),
                Constraints = new ServedConstraints(vocabulary),
                File = ServedModelFile.Of(model, chat.TemplateSource),
            };
            return new LoadedModel(served, engine, model, notes, draft);
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

    private static int DefaultCells(ModelOptions options, LlamaLibrary library, LlamaModel model, LlamaModel? draft, List<string> notes)
    {
        // The draft model's memory has as many cells.
        long bytesPerToken = Math.Max(1, model.EstimateKvBytesPerToken(options.CacheTypeK, options.CacheTypeV) + (draft?.EstimateKvBytesPerToken(KvType.F16, KvType.F16) ?? 0));
        long deviceBytes = model.GpuLayers > 0
            ? library.Devices.Where(device => device.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu).Sum(device => device.FreeBytes)
            : 0;
        long budget = deviceBytes > 0 ? (long)(deviceBytes * DeviceShare) : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / MemoryShare;
        if (options.MemoryLimit is { } limit)
            budget = Math.Min(budget, limit - (long)(model.SizeBytes * WeightsAndMore));
        // What is loaded after this one needs room as well.
        long fits = CellsThatFit(budget, SideModelBytes(options, model.Path), bytesPerToken);
        // As many contexts as may run at once, or as fit: space is what a pool is for.
        long contexts = (long)model.TrainContextLength * options.MaxSequences;
        long wanted = Math.Max(model.TrainContextLength, deviceBytes > 0 ? contexts : Math.Min(contexts, HostCellLimit));
        if (fits < model.TrainContextLength)
            notes.Add(string.Create(CultureInfo.InvariantCulture,
                $"the model's context is {model.TrainContextLength} tokens, but only {fits} fit into {budget >> 20} MiB; raise it with --ctx-size, or take smaller --cache-type-k and --cache-type-v"));
        return (int)Math.Min(Math.Min(fits, wanted), int.MaxValue / 2);
    }

    /// <summary>Of the disk that a folder lies on, or will.</summary>
    private static long FreeBytes(string directory)
    {
        string? existing = Path.GetFullPath(directory);
        while (existing is not null && !Directory.Exists(existing))
            existing = Path.GetDirectoryName(existing);
        return new DriveInfo(existing ?? "/").AvailableFreeSpace;
    }

    /// <summary>Tokens that a pool may have, in whole blocks and at least one; a quarter of the budget is left to it whatever else is loaded.</summary>
    internal static long CellsThatFit(long budget, long reserved, long bytesPerToken) =>
        Math.Max(CellAlignment, Math.Max(budget / 4, budget - reserved) / bytesPerToken / CellAlignment * CellAlignment);

    /// <summary>Bytes that the models beside the chat model take: their files, and as much as a quarter of these for what they compute in.</summary>
    internal static long SideModelBytes(ModelOptions options, string chatPath) => ((string?[])[options.EmbeddingModelPath, options.ModerationModelPath, options.DraftModelPath])
        .Where(path => path is not null && Path.GetFullPath(path) != Path.GetFullPath(chatPath) && File.Exists(path)).Sum(path => new FileInfo(path!).Length * 5 / 4);

    private static string Fingerprint(LlamaLibrary library, LlamaModel model)
    {
        string identity = $"{ServerVersion.Text} {library.Version} {model.Description} {model.SizeBytes} {model.ParameterCount} {model.Metadata("general.name")}";
        return $"fp_{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity)).AsSpan(0, 5))}";
    }
}
