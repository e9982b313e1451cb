using InferenceServer.Engine;
using InferenceServer.Engine.Embedding;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Engine.Embedding;

/// <summary>The embedding thread on tiny real models.</summary>
public sealed class EmbeddingEngineTests
{
    private static readonly LlamaLibrary Library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);

    private static LlamaModel Load(TinyArchitecture architecture, PoolingType pooling)
    {
        string path = Path.Combine(AppContext.BaseDirectory, $"tiny-embedding-{architecture}-{pooling}.gguf");
        TinyModel.Write(path, architecture, pooling: pooling);
        return LlamaModel.Load(Library, path, new LlamaModelOptions(), null, CancellationToken.None);
    }

    private static EmbeddingEngine Create(LlamaModel model, int batch = 128, int maxQueue = 512, int maxSequences = 64) => EmbeddingEngine.Create(
        new EmbeddingEngineOptions { MaxQueue = maxQueue, MaxSequences = maxSequences }, model,
        new LlamaContextOptions { CellCount = batch, BatchSize = batch, Threads = 1, BatchThreads = 1 }, NullLogger.Instance);

    private static int[] Text(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(256))];
    }

    [Theory]
    [InlineData(TinyArchitecture.Bert, PoolingType.Mean)]
    [InlineData(TinyArchitecture.Bert, PoolingType.Cls)]
    [InlineData(TinyArchitecture.Bert, PoolingType.Last)]
    [InlineData(TinyArchitecture.Bert, PoolingType.Rank)]
    [InlineData(TinyArchitecture.Llama, PoolingType.Last)]
    [InlineData(TinyArchitecture.Llama, PoolingType.Mean)]
    public async Task A_text_gives_the_same_vector_alone_and_among_others_of_all_lengths(TinyArchitecture architecture, PoolingType pooling)
    {
        using LlamaModel model = Load(architecture, pooling);
        await using EmbeddingEngine engine = Create(model);
        engine.Begin();
        Assert.Equal(pooling, engine.Pooling);
        int[][] texts = [.. Enumerable.Range(0, 30).Select(i => Text(i, 1 + (i * 4)))];
        float[][] together = await engine.EmbedAsync(texts, CancellationToken.None);
        Assert.Equal(texts.Length, together.Length);
        for (int i = 0; i < texts.Length; i++)
        {
            float[] alone = Assert.Single(await engine.EmbedAsync([texts[i]], CancellationToken.None));
            Assert.Equal(engine.Dimensions, alone.Length);
            for (int j = 0; j < alone.Length; j++)
                Assert.True(Math.Abs(alone[j] - together[i][j]) < 2e-2f, $"text {i}, number {j}: {alone[j]} alone, {together[i][j]} among others");
        }

        Assert.True(texts.Skip(1).Select((_, i) => together[i + 1][0]).Distinct().Count() > 20);
        EmbeddingSnapshot now = engine.Snapshot;
        Assert.Equal((60, 2L * texts.Sum(text => text.Length), 0, 0), ((int)now.Inputs, now.Tokens, (int)now.FailedBatches, now.WaitingRequests));
        Assert.True(now.Batches < 60);
    }

    [Fact]
    public async Task Pooling_is_the_files_choice_and_the_mean_where_it_says_nothing()
    {
        int[] text = Text(1, 40);
        List<float[]> vectors = [];
        foreach (PoolingType pooling in (PoolingType[])[PoolingType.Mean, PoolingType.Last, PoolingType.Unspecified])
        {
            using LlamaModel model = Load(TinyArchitecture.Llama, pooling);
            await using EmbeddingEngine engine = Create(model);
            engine.Begin();
            vectors.Add((await engine.EmbedAsync([text], CancellationToken.None))[0]);
        }

        Assert.NotEqual(vectors[0], vectors[1]);
        Assert.Equal(vectors[0], vectors[2]);
    }

    [Fact]
    public async Task A_small_request_does_not_wait_for_all_of_a_large_one_and_batches_are_filled()
    {
        using LlamaModel model = Load(TinyArchitecture.Bert, PoolingType.Mean);
        await using EmbeddingEngine engine = Create(model, batch: 128);
        int[][] many = [.. Enumerable.Range(0, 40).Select(i => Text(i, 64))];
        Task<float[][]> large = engine.EmbedAsync(many, CancellationToken.None);
        Task<float[][]> small = engine.EmbedAsync([Text(99, 100)], CancellationToken.None);
        engine.Begin();
        await large;
        Assert.True(small.IsCompletedSuccessfully);
        // Two texts of 64 tokens fill a batch of 128.
        Assert.Equal(21, engine.Snapshot.Batches);
    }

    [Fact]
    public async Task The_queue_is_bounded_and_what_was_called_off_is_not_computed()
    {
        using LlamaModel model = Load(TinyArchitecture.Bert, PoolingType.Mean);
        await using EmbeddingEngine engine = Create(model, maxQueue: 2);
        using CancellationTokenSource off = new();
        Task<float[][]> first = engine.EmbedAsync([Text(1, 5)], CancellationToken.None);
        Task<float[][]> second = engine.EmbedAsync([Text(2, 7), Text(3, 7)], off.Token);
        EngineQueueFullException full = await Assert.ThrowsAsync<EngineQueueFullException>(() => engine.EmbedAsync([Text(4, 5)], CancellationToken.None));
        Assert.Equal(2, full.QueuedRequests);
        Assert.True(full.RetryAfter >= TimeSpan.FromSeconds(1));
        await off.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        engine.Begin();
        await first;
        Assert.Equal((1, 5), ((int)engine.Snapshot.Inputs, (int)engine.Snapshot.Tokens));
    }

    [Fact]
    public async Task Stopping_finishes_what_waits_and_refuses_what_comes()
    {
        using LlamaModel model = Load(TinyArchitecture.Bert, PoolingType.Mean);
        await using EmbeddingEngine engine = Create(model);
        Task<float[][]> waiting = engine.EmbedAsync([Text(1, 5)], CancellationToken.None);
        Task stopping = engine.StopAsync(TimeSpan.FromSeconds(20));
        await Assert.ThrowsAsync<EngineUnavailableException>(() => engine.EmbedAsync([Text(2, 5)], CancellationToken.None));
        engine.Begin();
        Assert.Single(await waiting);
        await stopping;
    }

    [Fact]
    public async Task What_was_never_computed_fails_when_the_engine_goes()
    {
        using LlamaModel model = Load(TinyArchitecture.Bert, PoolingType.Mean);
        EmbeddingEngine engine = Create(model);
        Task<float[][]> waiting = engine.EmbedAsync([Text(1, 5)], CancellationToken.None);
        await engine.DisposeAsync();
        await Assert.ThrowsAsync<EngineUnavailableException>(() => waiting);
    }

    [Fact]
    public async Task Inputs_outside_the_models_limits_never_reach_it()
    {
        using LlamaModel model = Load(TinyArchitecture.Bert, PoolingType.Mean);
        await using EmbeddingEngine engine = Create(model, batch: 128);
        Assert.Equal(128, engine.MaxInputTokens);
        foreach (int[] wrong in (int[][])[[], Text(1, 129), [ByteVocabulary.Count], [-1]])
            await Assert.ThrowsAsync<ArgumentException>(() => engine.EmbedAsync([wrong], CancellationToken.None));
    }
}
