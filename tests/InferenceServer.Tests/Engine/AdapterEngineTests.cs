using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Llama;
using InferenceServer.Tests.Llama;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Engine;

/// <summary>Adapters of an engine: what they change, and how long they stay.</summary>
public sealed class AdapterEngineTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("adapter-engine-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Requests_of_several_sets_at_once_say_what_each_says_alone()
    {
        await using TinyEngine tiny = new();
        EngineAdapter first = await tiny.Engine.LoadAdapterAsync(Write(1)), second = await tiny.Engine.LoadAdapterAsync(Write(2));
        AdapterSet[] sets = [AdapterSet.None, AdapterSet.Of([(first, 1)]), AdapterSet.Of([(first, -1)]), AdapterSet.Of([(first, 1), (second, 1)])];
        int[] prompt = tiny.Tokens("Once upon a time there was");
        List<int[]> alone = [];
        foreach (AdapterSet set in sets)
            alone.Add((await tiny.RunAsync(TinyEngine.Greedy(prompt, 24) with { Adapters = set, CacheNamespace = "alone" })).Tokens);
        Assert.Equal(sets.Length, alone.Select(tokens => string.Join(' ', tokens)).Distinct().Count());
        // Two of each, one of which finds the other's prefix.
        Generation[] batch = await tiny.SubmitTogetherAsync(Enumerable.Range(0, 2 * sets.Length).Select(i => TinyEngine.Greedy(prompt, 24) with { Adapters = sets[i % sets.Length] }));
        int same = 0;
        for (int i = 0; i < batch.Length; i++)
            same += (await TinyEngine.ReadAsync(batch[i])).Tokens.SequenceEqual(alone[i % sets.Length]) ? 1 : 0;
        // Rows computed together may round differently, and a near tie may then flip.
        Assert.True(same >= batch.Length - 1, $"only {same} of {batch.Length} replies are the same");
        Assert.True(tiny.Engine.Snapshot.AdapterChanges > sets.Length);
    }

    [Fact]
    public async Task What_was_submitted_keeps_its_adapter_and_nothing_else_gets_it()
    {
        await using TinyEngine tiny = new();
        EngineAdapter adapter = await tiny.Engine.LoadAdapterAsync(Write(1));
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens("Once upon a time"), 200) with { Adapters = AdapterSet.Of([(adapter, 1)]) };
        Generation running = tiny.Engine.Submit(request);
        await running.Events.WaitToReadAsync();
        adapter.Release();
        adapter.Release();
        Generation beside = tiny.Engine.Submit(request);
        Assert.Equal(200, (await TinyEngine.ReadAsync(running)).Tokens.Length);
        Assert.Equal(200, (await TinyEngine.ReadAsync(beside)).Tokens.Length);
        Assert.Throws<AdapterRemovedException>(() => tiny.Engine.Submit(request));
        await Eventually.HoldsAsync(() => tiny.Engine.InvokeAsync(_ => adapter.Native!.IsDisposed));
        // The engine goes on, with an adapter that may lie where the other one did.
        EngineAdapter next = await tiny.Engine.LoadAdapterAsync(Write(2));
        await tiny.RunAsync(request with { Adapters = AdapterSet.Of([(next, 1)]) });
    }

    [Fact]
    public async Task An_adapter_is_freed_once_whatever_became_of_its_requests()
    {
        ScriptedDecoder decoder = new(new DecoderLimits(Cells: 1024, ContextLength: 256, SequenceIds: 9, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16));
        await using InferenceEngine engine = new(new EngineOptions { MaxSequences = 2, MaxQueue = 1 }, decoder, null, ScriptedDecoder.Vocabulary, new FakeTimeProvider(), NullLogger.Instance);
        TaskCompletionSource unused = new();
        EngineAdapter adapter = ScriptedDecoder.Adapter("first", _ => unused.SetResult());
        using ManualResetEventSlim hang = new();
        decoder.Hang = hang;
        GenerationRequest request = new() { PromptTokens = ScriptedDecoder.Prompt(20), MaxTokens = 8, Adapters = AdapterSet.Of([(adapter, 1)]) };
        Generation[] submitted = [.. Enumerable.Range(0, 3).Select(_ => engine.Submit(request))];
        Assert.Throws<EngineQueueFullException>(() => engine.Submit(request));
        submitted[1].Cancel();
        adapter.Release();
        Assert.False(unused.Task.IsCompleted);
        hang.Set();
        foreach (Generation generation in submitted)
            await TinyEngine.ReadAsync(generation);
        await unused.Task.WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Throws<AdapterRemovedException>(() => engine.Submit(request));
    }

    [Fact]
    public async Task A_file_that_cannot_be_used_leaves_the_engine_as_it_was()
    {
        await using TinyEngine tiny = new();
        LlamaException refused = await Assert.ThrowsAsync<LlamaException>(() => tiny.Engine.LoadAdapterAsync(Path.Combine(_folder.FullName, "absent.gguf")));
        Assert.Contains("absent.gguf", refused.Message, StringComparison.Ordinal);
        Assert.Null(tiny.Engine.Failure);
        await tiny.RunAsync(TinyEngine.Greedy(tiny.Tokens("Once")));
    }

    [Fact]
    public async Task A_load_that_fails_on_the_decode_thread_is_the_askers_alone()
    {
        ScriptedDecoder decoder = new(new DecoderLimits(Cells: 1024, ContextLength: 256, SequenceIds: 9, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16));
        using EngineLoop loop = new(new EngineOptions(), decoder, null, ScriptedDecoder.Vocabulary, new FakeTimeProvider(), NullLogger.Instance);
        await Assert.ThrowsAsync<LlamaException>(() => loop.LoadAdapterAsync(new LlamaAdapterFile("unloadable.gguf", "x", 4, 8, 100)));
        EngineAdapter loaded = await loop.LoadAdapterAsync(new LlamaAdapterFile("loadable.gguf", "x", 4, 8, 100));
        loaded.Release();
        await Eventually.HoldsAsync(() => loop.InvokeAsync(_ => decoder.Freed.Contains(loaded)));
        loop.Stop(cancelRunning: true);
        Assert.True(loop.Join(TimeSpan.FromMinutes(1)));
    }

    private string Write(int seed) => TinyAdapter.Write(Path.Combine(_folder.FullName, $"{seed}.gguf"), seed);
}
