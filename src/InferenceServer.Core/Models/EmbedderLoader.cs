using InferenceServer.Engine.Embedding;
using InferenceServer.Llama;
using InferenceServer.Moderation;

namespace InferenceServer.Models;

/// <summary>An embedding model with what it needs to run. Disposing joins its thread first, then frees the model if nobody else has it.</summary>
/// <param name="Own">Null where the chat model is used.</param>
internal sealed record LoadedEmbedder(ServedEmbedder Served, EmbeddingEngine Engine, LlamaModel? Own) : IAsyncDisposable
{
    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        Own?.Dispose();
    }
}

/// <summary>All of them; disposed together.</summary>
internal sealed record LoadedEmbedders(IReadOnlyList<LoadedEmbedder> All) : IAsyncDisposable
{
    public IReadOnlyList<ServedEmbedder> Served { get; } = [.. All.Select(embedder => embedder.Served)];

    public async ValueTask DisposeAsync()
    {
        foreach (LoadedEmbedder embedder in All)
            await embedder.DisposeAsync();
    }
}

/// <summary>From options to running embedding models: the one that was named, and the chat model where its own file says how it pools.</summary>
internal static class EmbedderLoader
{
    /// <param name="chat">The loaded chat model; a file that is its own is not loaded twice.</param>
    /// <exception cref="ServerStartException">Two models would have the same name.</exception>
    /// <exception cref="LlamaException">A model cannot be had or cannot embed; the message names the remedy.</exception>
    public static async Task<LoadedEmbedders> LoadAsync(ModelOptions options, LlamaLibrary library, LoadedModel chat, ILoggerFactory logs)
    {
        List<LoadedEmbedder> loaded = [];
        string? path = options.EmbeddingModelPath;
        bool isChat = path is not null && Path.GetFullPath(path) == Path.GetFullPath(chat.Model.Path);
        try
        {
            if (isChat)
                loaded.Add(Start(options, chat.Model, chat.Served.Id, chat.Served.Created, chat.Served.Vocabulary, logs));
            else if (Beside(options, chat, logs) is { } both)
                loaded.Add(both);
            if (path is null || isChat)
                return new(loaded);
            string id = options.EmbeddingModelId ?? Path.GetFileNameWithoutExtension(path);
            if (id == chat.Served.Id)
                throw new ServerStartException($"--model and --embedding-model would both be called '{id}': rename one of the files");
            loaded.Add(Load(options, path, id, library, logs));
            return new(loaded);
        }
        catch
        {
            await new LoadedEmbedders(loaded).DisposeAsync();
            throw;
        }
    }

    /// <summary>A model that only embeds or ranks.</summary>
    /// <param name="path">Its file.</param>
    /// <exception cref="LlamaException">It cannot be had or cannot embed; the message names the remedy.</exception>
    public static LoadedEmbedder Load(ModelOptions options, string path, string id, LlamaLibrary library, ILoggerFactory logs, IProgress<float>? progress = null)
    {
        LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions { GpuLayers = options.GpuLayers }, progress, CancellationToken.None);
        try
        {
            return Start(options, model, id, File.GetLastWriteTimeUtc(path), null, logs) with { Own = model };
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>What lets a loaded chat model embed, too; null where its file does not say how it pools.</summary>
    public static LoadedEmbedder? Beside(ModelOptions options, LoadedModel chat, ILoggerFactory logs) =>
        EmbeddingEngine.PoolingOf(chat.Model) is PoolingType.None ? null : Start(options, chat.Model, chat.Served.Id, chat.Served.Created, chat.Served.Vocabulary, logs);

    /// <summary>The model that judges texts beside the rules, and what it calls its classes; null where none was named.</summary>
    /// <exception cref="ServerStartException">It sorts into no classes, or into none that is a category.</exception>
    /// <exception cref="LlamaException">It cannot be had or cannot be run.</exception>
    public static async Task<(LoadedEmbedder Loaded, ModerationClassifier Classifier)?> LoadClassifierAsync(ModelOptions options, LlamaLibrary library, ModerationRules rules, ILoggerFactory logs)
    {
        if (options.ModerationModelPath is not { } path)
            return null;
        LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions { GpuLayers = options.GpuLayers }, null, CancellationToken.None);
        LoadedEmbedder? loaded = null;
        try
        {
            loaded = Start(options, model, Path.GetFileNameWithoutExtension(path), File.GetLastWriteTimeUtc(path), null, logs) with { Own = model };
            return (loaded, ModerationClassifier.For(loaded.Served, model.ClassLabels, rules, log: logs.CreateLogger<ModerationClassifier>()));
        }
        catch
        {
            if (loaded is not null)
                await loaded.DisposeAsync();
            else
                model.Dispose();
            throw;
        }
    }

    private static LoadedEmbedder Start(ModelOptions options, LlamaModel model, string id, DateTimeOffset created, ServedVocabulary? vocabulary, ILoggerFactory logs)
    {
        EmbeddingEngine engine = EmbeddingEngine.Start(
            new EmbeddingEngineOptions { MaxQueue = options.MaxQueue },
            model,
            new LlamaContextOptions
            {
                CellCount = options.BatchSize,
                BatchSize = options.BatchSize,
                Threads = options.Threads ?? Environment.ProcessorCount,
                BatchThreads = options.Threads ?? Environment.ProcessorCount,
            },
            logs.CreateLogger<EmbeddingEngine>());
        return new LoadedEmbedder(ServedEmbedder.For(engine, model, id, created, vocabulary ?? ServedVocabulary.Of(model.Vocab)), engine, null);
    }
}
