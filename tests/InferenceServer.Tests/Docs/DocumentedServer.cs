using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Store;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Docs;

/// <summary>What the pages' commands talk to: the model that ships, a tiny one that embeds and one that ranks, a store, and moderation that reports.</summary>
public sealed class DocumentedServer : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("documented-");

    // In the order in which they were made; what uses others is disposed before them.
    private readonly Stack<IAsyncDisposable> _owned = new();
    private TestHost? _host;

    internal TestHost Host => _host!;

    public async Task InitializeAsync()
    {
        string embedder = Path.Combine(_folder.FullName, "embedder.gguf"), ranker = Path.Combine(_folder.FullName, "reranker.gguf");
        TinyModel.Write(embedder, TinyArchitecture.Bert, pooling: PoolingType.Mean);
        TinyModel.Write(ranker, TinyArchitecture.Bert, pooling: PoolingType.Rank);
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);
        LoadedModel chat = Own(ModelLoader.Load(Options(embedder), library, NullLoggerFactory.Instance, TimeProvider.System));
        LoadedEmbedders embeds = Own(await EmbedderLoader.LoadAsync(Options(embedder), library, chat, NullLoggerFactory.Instance));
        LoadedEmbedders ranks = Own(await EmbedderLoader.LoadAsync(Options(ranker), library, chat, NullLoggerFactory.Instance));
        TempStore kept = Own(new TempStore());
        _host = Own(await TestHost.StartAsync(chat.Served, store: kept.Store, embedders: [.. embeds.Served, .. ranks.Served], moderation: new ModerationGate(ModerationRules.BuiltIn, ModerationMode.Flag)));
    }

    public async Task DisposeAsync()
    {
        while (_owned.TryPop(out IAsyncDisposable? last))
            await last.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    private T Own<T>(T made)
        where T : IAsyncDisposable
    {
        _owned.Push(made);
        return made;
    }

    private static ModelOptions Options(string embedder) => CommandLine.Read(
        ["--ctx-size", "8192", "--threads", "1", "--model", Path.Combine(SharedFolder.RepositoryRoot, "models", "chat-small.gguf"), "--embedding-model", embedder],
        new ConfigurationBuilder().Build(), _ => null).Options!.Model;
}
