using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama.TestModels;
using InferenceServer.Tests.Llama;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine;

/// <summary>
/// Every kind of memory over llama.cpp itself: dense, sliding window, hybrid, recurrent. Whatever is shared, evicted, restored, preempted or
/// cancelled, a reply is that of a cold run, and a growing chat computes little but its newest turn.
/// </summary>
public sealed class MemoryKindTests(ITestOutputHelper output)
{
    /// <summary>Tokens this close may change places when rows are computed together or in other chunks; of those that did the widest were 0.018 apart.</summary>
    private const float NearTie = 0.04f;

    private const int ReplyTokens = 100;

    private sealed record Cold(int[] Prompt, int[] Reply, float[] Margins);

    public static TheoryData<TinyArchitecture> EveryKind => new(DecodeTests.DecoderArchitectures);

    private static string Words(int count, int salt) => string.Concat(Enumerable.Range(0, count).Select(i => $"w{(i * 7) + (salt * 31)} "));

    [Theory]
    [MemberData(nameof(EveryKind))]
    public async Task A_growing_chat_computes_little_but_its_newest_turn(TinyArchitecture architecture)
    {
        await using TinyEngine tiny = new(architecture, options: new EngineOptions { HostCacheBytes = 16 << 20, MaxSequences = 4 });
        int[] history = tiny.Tokens($"<|im_start|>system\n{Words(40, 1)}<|im_end|>\n");
        List<int> boundaries = [history.Length];
        int prompts = 0, cached = 0;
        for (int turn = 0; turn < 8; turn++)
        {
            history = [.. history, .. tiny.Tokens($"<|im_start|>user\n{Words(8, turn)}<|im_end|>\n")];
            boundaries.Add(history.Length);
            int[] prompt = [.. history, .. tiny.Tokens("<|im_start|>assistant\n")];
            Cold cold = await ColdAsync(tiny, prompt, 24);
            GenerationRequest request = TinyEngine.Greedy(prompt, 24) with { MessageBoundaries = [.. boundaries] };
            (int[] reply, GenerationResult result) = await tiny.RunAsync(request);
            AssertSame(cold, reply, result);
            prompts += result.PromptTokens;
            cached += result.CachedTokens;
            history = [.. prompt, .. cold.Reply, .. tiny.Tokens("<|im_end|>\n")];
            boundaries.Add(history.Length);
        }
        output.WriteLine($"{cached} of {prompts} prompt tokens cached, {tiny.Engine.Snapshot.CheckpointsTaken} checkpoints of up to {tiny.Engine.CheckpointBytes} bytes");
        Assert.True(cached >= 0.8 * prompts, $"only {cached} of {prompts} prompt tokens came from the cache");
        Assert.Equal(0, tiny.Engine.Snapshot.FailedSteps);
    }

    [Theory]
    [MemberData(nameof(EveryKind))]
    public async Task A_prompt_that_turns_away_goes_on_from_the_last_checkpoint_before(TinyArchitecture architecture)
    {
        // Without a lower tier entries stay in the pool, so that hits are exact; checkpoints are kept in one.
        long hostBytes = architecture is TinyArchitecture.Llama or TinyArchitecture.Qwen2 ? 0 : 16 << 20;
        await using TinyEngine tiny = new(architecture, options: new EngineOptions { HostCacheBytes = hostBytes, MaxSequences = 4 });
        int[] system = tiny.Tokens(Words(40, 1));
        int[] first = [.. system, .. tiny.Tokens(Words(40, 2))];
        await tiny.RunAsync(TinyEngine.Greedy(first) with { MessageBoundaries = [system.Length] });

        // It shares some of the second message, too. The one after that finds the checkpoint that was taken where they parted.
        int parting = system.Length + 70;
        bool checkpoints = tiny.Engine.TakesCheckpoints;
        foreach ((int salt, int expected) in ((int, int)[])[(3, checkpoints ? system.Length : parting), (4, parting)])
        {
            int[] prompt = [.. first[..parting], .. tiny.Tokens($"{(char)('a' + salt)} {Words(20, salt)}")];
            Cold cold = await ColdAsync(tiny, prompt, 16);
            (int[] reply, GenerationResult result) = await tiny.RunAsync(TinyEngine.Greedy(prompt));
            AssertSame(cold, reply, result);
            Assert.Equal(expected, result.CachedTokens);
            Assert.Equal(expected < parting ? CacheMissReasons.LastCheckpoint : CacheMissReasons.Diverged, result.Cache.Reason);
            Assert.Equal(expected, result.Cache.DivergedAt);
        }
    }

    [Theory]
    [MemberData(nameof(EveryKind))]
    public async Task Requests_that_arrive_together_compute_a_shared_prefix_once(TinyArchitecture architecture)
    {
        await using TinyEngine tiny = new(architecture, options: new EngineOptions { HostCacheBytes = 16 << 20, MaxSequences = 6 });
        int[] system = tiny.Tokens(Words(100, 1));
        int[][] prompts = [.. Enumerable.Range(0, 6).Select(i => (int[])[.. system, .. tiny.Tokens($"{(char)('a' + i)} {Words(3, i)}")])];
        List<Cold> cold = [];
        foreach (int[] prompt in prompts)
            cold.Add(await ColdAsync(tiny, prompt, 12));
        long computed = tiny.Engine.Snapshot.PromptTokensComputed;
        Generation[] all = await tiny.SubmitTogetherAsync(prompts.Select(prompt => TinyEngine.Greedy(prompt, 12)));
        for (int i = 0; i < all.Length; i++)
        {
            (int[] reply, GenerationResult result) = await TinyEngine.ReadAsync(all[i]);
            AssertSame(cold[i], reply, result);
        }
        computed = tiny.Engine.Snapshot.PromptTokensComputed - computed;
        Assert.InRange(computed, system.Length, system.Length + prompts.Sum(prompt => prompt.Length - system.Length) + 50);
    }

    [Theory]
    [MemberData(nameof(EveryKind))]
    public async Task Preemption_eviction_cancellation_and_a_restart_change_no_reply(TinyArchitecture architecture)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("memory-kinds-");
        try
        {
            EngineOptions options = new() { HostCacheBytes = 16 << 20, DiskCacheDirectory = folder.FullName, MaxSequences = 4 };
            List<Cold> cold = [];
            await using (TinyEngine alone = new(architecture, options: new EngineOptions { MaxSequences = 1 }))
                for (int i = 0; i < 4; i++)
                    cold.Add(await ColdAsync(alone, alone.Tokens(Words(22, i)), ReplyTokens));
            await using (TinyEngine tiny = new(architecture, cells: 512, options: options))
            {
                Generation[] all = await tiny.SubmitTogetherAsync(cold.Select(each => TinyEngine.Greedy(each.Prompt, ReplyTokens)));
                Generation stray = tiny.Engine.Submit(TinyEngine.Greedy([.. cold[0].Prompt, .. tiny.Tokens(Words(40, 9))], 200));
                await stray.Events.WaitToReadAsync();
                stray.Cancel();
                for (int i = 0; i < all.Length; i++)
                {
                    (int[] reply, GenerationResult result) = await TinyEngine.ReadAsync(all[i]);
                    AssertSame(cold[i], reply, result);
                }
                Assert.True(tiny.Engine.Snapshot.Preemptions > 0, "nothing was preempted");
                Assert.True(tiny.Engine.Snapshot.EvictedTokens > 0, "nothing was evicted");
                for (int i = 0; i < all.Length; i++)
                {
                    (int[] reply, GenerationResult result) = await tiny.RunAsync(TinyEngine.Greedy(cold[i].Prompt, ReplyTokens));
                    AssertSame(cold[i], reply, result);
                    Assert.True(result.CachedTokens >= 0.8 * result.PromptTokens, $"{result.CachedTokens} of {result.PromptTokens}: {result.Cache.Reason}");
                }
                Assert.True(tiny.Engine.Snapshot.HostHitTokens > 0, "nothing came from host memory");
                await tiny.Engine.StopAsync(TimeSpan.FromSeconds(30));
                EngineSnapshot end = tiny.Engine.Snapshot;
                Assert.Equal((0, 0L), (end.CellsPrivate + end.CellsPinned, end.FailedSteps + end.DiskErrors));
            }
            await using TinyEngine second = new(architecture, cells: 512, options: options);
            await Eventually.HoldsAsync(() => second.Engine.Snapshot.DiskCacheEntries > 0);
            foreach (Cold each in cold)
            {
                (int[] reply, GenerationResult result) = await second.RunAsync(TinyEngine.Greedy(each.Prompt, ReplyTokens));
                AssertSame(each, reply, result);
                Assert.True(result.CachedTokens >= 0.8 * result.PromptTokens && result.Cache.DiskTokens > 0, $"{result.CachedTokens} of {result.PromptTokens} cached, {result.Cache.DiskTokens} from disk");
            }
            Assert.Equal(0, second.Engine.Snapshot.FailedSteps + second.Engine.Snapshot.DiskErrors);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData(TinyArchitecture.Gemma3, true, 0)]
    [InlineData(TinyArchitecture.Lfm2, true, 0)]
    [InlineData(TinyArchitecture.Mamba2, true, 1000)]
    [InlineData(TinyArchitecture.GraniteHybrid, false, 16 << 20)]
    [InlineData(TinyArchitecture.Gemma3, false, 16 << 20)]
    public async Task Without_room_for_a_checkpoint_nothing_is_shared_and_the_report_says_so(TinyArchitecture architecture, bool unified, int hostBytes)
    {
        await using TinyEngine tiny = new(architecture, unified: unified, options: new EngineOptions { HostCacheBytes = hostBytes, MaxSequences = 3 });
        int[] prompt = tiny.Tokens(Words(40, 1));
        Generation[] all = await tiny.SubmitTogetherAsync(Enumerable.Repeat(TinyEngine.Greedy(prompt, 20), 5));
        int[]? expected = null;
        foreach (Generation generation in all)
        {
            (int[] reply, GenerationResult result) = await TinyEngine.ReadAsync(generation);
            Assert.Equal((0, CacheMissReasons.NotShareable), (result.CachedTokens, result.Cache.Reason));
            expected ??= reply;
            Assert.Equal(expected[0], reply[0]);
        }
        Assert.Equal(0, tiny.Engine.Snapshot.CellsCached + tiny.Engine.Snapshot.FailedSteps);
    }

    private static async Task<Cold> ColdAsync(TinyEngine tiny, int[] prompt, int maxTokens)
    {
        Generation generation = tiny.Engine.Submit(TinyEngine.Greedy(prompt, maxTokens) with
        {
            Sampling = SamplingOptions.Greedy with { TopLogprobs = 2 },
            CacheNamespace = Guid.NewGuid().ToString(),
        });
        List<int> reply = [];
        List<float> margins = [];
        await foreach (GenerationEvent e in generation.Events.ReadAllAsync())
            if (e.Kind == GenerationEventKind.Token)
            {
                reply.Add(e.Token);
                margins.Add(e.Logprobs!.Top[0].Logprob - e.Logprobs.Top[1].Logprob);
            }
            else
                Assert.Equal(0, e.Result!.CachedTokens);
        return new Cold(prompt, [.. reply], [.. margins]);
    }

    private void AssertSame(Cold cold, int[] reply, GenerationResult result)
    {
        Assert.Equal(cold.Reply.Length, reply.Length);
        int same = cold.Reply.AsSpan().CommonPrefixLength(reply);
        if (same == reply.Length)
            return;
        Assert.True(cold.Margins[same] < NearTie,
            $"another token at {same} ({result.CachedTokens} of {result.PromptTokens} cached), and it was no near tie: {cold.Margins[same]}");
        output.WriteLine($"a near tie at {same} of {reply.Length}: {cold.Margins[same]}");
    }
}
