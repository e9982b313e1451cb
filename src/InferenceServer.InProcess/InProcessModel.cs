// A model in the app's own process: what the HTTP server is over the conversation core, this is for Microsoft.Extensions.AI, without HTTP.

using InferenceServer.Engine;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Moderation;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.InProcess;

/// <summary>A loaded model with its engine. Safe from any thread. Disposing ends the calls that run, then frees the model.</summary>
public sealed partial class InProcessModel : IAsyncDisposable
{
    private readonly CallGate _calls = new();
    private readonly LoadedModel _model;
    private readonly LoadedEmbedders _embedders;
    private readonly LoadedEmbedder? _judge;
    private readonly InProcessEmbeddings? _embeddings;
    private int _disposed;

    private InProcessModel(LoadedModel model, LoadedEmbedders embedders, (LoadedEmbedder Loaded, ModerationClassifier Classifier)? classifier)
    {
        (_model, _embedders, _judge) = (model, embedders, classifier?.Loaded);
        Chat = new InProcessChatClient(model.Served, ModerationGate.Off with { Classifier = classifier?.Classifier }, _calls, TimeProvider.System);
        // The one that was named comes last.
        if (embedders.Served.LastOrDefault(embedder => embedder.Ranking is null) is { } served)
            _embeddings = new(served, _calls, TimeProvider.System);
    }

    /// <summary>The model as a chat client. Any number of calls and of clients built on it share the engine; disposing it does nothing.</summary>
    public IChatClient Chat { get; }

    /// <summary>The model that embeds: the one of <see cref="ModelOptions.EmbeddingModelPath"/>, else the one that chats where its file says how it pools.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    public IEmbeddingGenerator<string, Embedding<float>> Embeddings => _embeddings ?? throw new InvalidOperationException(
        $"The model '{_model.Served.Id}' is not loaded for embeddings, and its file does not say that it pools: set {nameof(ModelOptions)}.{nameof(ModelOptions.EmbeddingModelPath)}, which may be its own path, to a model that embeds.");

    internal ServedModel Served => _model.Served;

    internal IReadOnlyList<ServedEmbedder> ServedEmbedders => _embedders.Served;

    /// <summary>Loads llama.cpp, unless this process has it already, and the model.</summary>
    /// <param name="options">Which models run, and how; null for the one that ships.</param>
    /// <param name="logs">Where progress and warnings go; null for nowhere.</param>
    /// <param name="backend">What computes; one for the whole process.</param>
    /// <param name="cancellationToken">Takes effect between the models.</param>
    /// <exception cref="ServerStartException">The options contradict the model or each other.</exception>
    /// <exception cref="LlamaException">Library, model or context cannot be had; the message names the remedy.</exception>
    public static Task<InProcessModel> LoadAsync(ModelOptions? options = null, ILoggerFactory? logs = null, LlamaBackend backend = LlamaBackend.Auto, CancellationToken cancellationToken = default) =>
        Task.Run(() => LoadOnPoolAsync(options ?? new(), logs ?? NullLoggerFactory.Instance, backend, cancellationToken), cancellationToken);

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await _calls.DisposeAsync();
        if (_judge is not null)
            await _judge.DisposeAsync();
        await _embedders.DisposeAsync();
        await _model.DisposeAsync();
    }

    private static async Task<InProcessModel> LoadOnPoolAsync(ModelOptions options, ILoggerFactory logs, LlamaBackend backend, CancellationToken cancellation)
    {
        ILogger log = logs.CreateLogger<InProcessModel>();
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = backend }, logs.CreateLogger<LlamaLibrary>());
        cancellation.ThrowIfCancellationRequested();
        LoadedModel model = ModelLoader.Load(options, library, logs, TimeProvider.System);
        LoadedEmbedders? embedders = null;
        try
        {
            foreach (string note in model.Notes)
                LogNote(log, note);
            cancellation.ThrowIfCancellationRequested();
            embedders = await EmbedderLoader.LoadAsync(options, library, model, logs);
            cancellation.ThrowIfCancellationRequested();
            InProcessModel loaded = new(model, embedders, await EmbedderLoader.LoadClassifierAsync(options, library, ModerationRules.BuiltIn, logs));
            LogLoaded(log, model.Served.Id, model.Served.ContextLength, library.Description);
            return loaded;
        }
        catch
        {
            if (embedders is not null)
                await embedders.DisposeAsync();
            await model.DisposeAsync();
            throw;
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "{Model} runs in this process with a context of {ContextLength} tokens on {Backend}")]
    private static partial void LogLoaded(ILogger log, string model, int contextLength, string backend);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Note}")]
    private static partial void LogNote(ILogger log, string note);
}
