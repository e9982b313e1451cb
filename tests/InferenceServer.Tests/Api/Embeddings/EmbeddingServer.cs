using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Api.Embeddings;

/// <summary>The whole server on tiny random models: one that chats and one that embeds, or ranks.</summary>
public class EmbeddingServer : IAsyncLifetime
{
    private static int _servers;

    private LoadedModel? _chat;
    private LoadedEmbedders? _embedders;
    private TestHost? _host;

    protected virtual PoolingType Pooling => PoolingType.Mean;

    internal TestHost Host => _host!;

    internal string ChatId => _chat!.Served.Id;

    internal ServedEmbedder Model => _embedders!.Served[^1];

    public async Task InitializeAsync()
    {
        // Classes run at the same time, and a file that one has mapped is not to be written by another.
        int number = Interlocked.Increment(ref _servers);
        string chat = Path.Combine(AppContext.BaseDirectory, $"tiny-chat-beside-{number}.gguf"), embedder = Path.Combine(AppContext.BaseDirectory, $"tiny-embedder-{number}.gguf");
        TinyModel.Write(chat);
        TinyModel.Write(embedder, TinyArchitecture.Bert, pooling: Pooling);
        ServerOptions options = CommandLine.Read(
            ["--ctx-size", "4096", "--threads", "1", "--batch-size", "256", "--model", chat, "--embedding-model", embedder],
            new Microsoft.Extensions.Configuration.ConfigurationBuilder().Build(), _ => null).Options!;
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);
        _chat = ModelLoader.Load(options.Model, library, NullLoggerFactory.Instance, TimeProvider.System);
        _embedders = await EmbedderLoader.LoadAsync(options.Model, library, _chat, NullLoggerFactory.Instance);
        _host = await TestHost.StartAsync(_chat.Served, embedders: _embedders.Served);
    }

    public async Task DisposeAsync()
    {
        if (_host is not null)
            await _host.DisposeAsync();
        if (_embedders is not null)
            await _embedders.DisposeAsync();
        if (_chat is not null)
            await _chat.DisposeAsync();
    }
}

/// <summary>The same with a model that ranks.</summary>
public sealed class RankingServer : EmbeddingServer
{
    protected override PoolingType Pooling => PoolingType.Rank;
}
