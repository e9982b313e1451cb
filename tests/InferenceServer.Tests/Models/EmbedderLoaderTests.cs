using InferenceServer.Llama;
using InferenceServer.Llama.Placement;
using InferenceServer.Llama.TestModels;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Models;

/// <summary>Which models embed, by the options and by what their files say.</summary>
public sealed class EmbedderLoaderTests : IDisposable
{
    private static readonly LlamaLibrary Library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("embedder-loader-");

    public void Dispose() => _folder.Delete(recursive: true);

    private string Write(string name, TinyArchitecture architecture, PoolingType pooling)
    {
        string path = Path.Combine(_folder.FullName, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        TinyModel.Write(path, architecture, pooling: pooling);
        return path;
    }

    private static async Task<(string Chat, ServedEmbedder[] Embedders, float[][] Vectors)> LoadAsync(params string[] arguments)
    {
        ServerOptions options = CommandLine.Read(["--ctx-size", "1024", "--threads", "1", "--batch-size", "128", .. arguments], new ConfigurationBuilder().Build(), _ => null).Options!;
        await using LoadedModel chat = ModelLoader.Load(options.Model, Library, NullLoggerFactory.Instance, TimeProvider.System);
        await using LoadedEmbedders embedders = await EmbedderLoader.LoadAsync(options.Model, Library, chat, NullLoggerFactory.Instance);
        List<float[]> vectors = [];
        foreach (ServedEmbedder embedder in embedders.Served)
            vectors.Add((await embedder.Engine.EmbedAsync([[1, 2, 3]], CancellationToken.None))[0]);
        return (chat.Served.Id, [.. embedders.Served], [.. vectors]);
    }

    [Fact]
    public async Task A_model_that_chats_embeds_only_where_it_was_named_or_says_how_it_pools()
    {
        string plain = Write("plain.gguf", TinyArchitecture.Llama, PoolingType.Unspecified), pools = Write("pools.gguf", TinyArchitecture.Llama, PoolingType.Last);
        Assert.Empty((await LoadAsync("--model", plain)).Embedders);

        (string chat, ServedEmbedder[] embedders, float[][] vectors) = await LoadAsync("--model", plain, "--embedding-model", plain);
        Assert.Equal((chat, false, 64), (Assert.Single(embedders).Id, embedders[0].SaysPooling, vectors[0].Length));

        (chat, embedders, float[][] last) = await LoadAsync("--model", pools);
        Assert.Equal((chat, true), (Assert.Single(embedders).Id, embedders[0].SaysPooling));
        // The same weights, pooled otherwise.
        Assert.NotEqual(vectors[0], last[0]);

        string encoder = Write("encoder.gguf", TinyArchitecture.Bert, PoolingType.Cls);
        Assert.Equal(["pools", "encoder"], (await LoadAsync("--model", pools, "--embedding-model", encoder)).Embedders.Select(embedder => embedder.Id));
    }

    [Fact]
    public void The_default_pool_leaves_room_for_the_models_beside_it_and_keeps_a_quarter_for_itself()
    {
        string embedder = Path.Combine(_folder.FullName, "big.gguf"), chat = Path.Combine(_folder.FullName, "chat.gguf");
        using (FileStream big = File.Create(embedder))
            big.SetLength(800_000);
        ModelOptions Options(params string[] arguments) => CommandLine.Read(arguments, new ConfigurationBuilder().Build(), _ => null).Options!.Model;
        Assert.Equal(0, ModelLoader.SideModelBytes(Options(), chat));
        Assert.Equal(1_000_000, ModelLoader.SideModelBytes(Options("--embedding-model", embedder), chat));
        Assert.Equal(2_000_000, ModelLoader.SideModelBytes(Options("--embedding-model", embedder, "--moderation-model", embedder), chat));
        Assert.Equal(0, ModelLoader.SideModelBytes(Options("--embedding-model", embedder), embedder));
        Assert.Equal([4096, 3072, 1024], ((long[])[0, 1024, 1L << 40]).Select(reserved => MemoryPlanner.PoolBudget(4096, reserved)));
    }

    [Fact]
    public async Task What_cannot_start_is_one_line_that_names_the_option()
    {
        string chat = Write("model.gguf", TinyArchitecture.Llama, PoolingType.Unspecified), encoder = Write("other/model.gguf", TinyArchitecture.Bert, PoolingType.Mean);
        Assert.Contains("--embedding-model", (await Assert.ThrowsAsync<ServerStartException>(() => LoadAsync("--model", encoder))).Message, StringComparison.Ordinal);
        Assert.Contains("'model'", (await Assert.ThrowsAsync<ServerStartException>(() => LoadAsync("--model", chat, "--embedding-model", encoder))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<LlamaException>(() => LoadAsync("--model", chat, "--embedding-model", Path.Combine(_folder.FullName, "absent.gguf")));
    }
}
