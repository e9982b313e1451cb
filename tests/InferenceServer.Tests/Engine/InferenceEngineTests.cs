using System.Diagnostics;
using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Constraints;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Text;
using InferenceServer.Llama;
using InferenceServer.Tests.Llama;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Engine;

/// <summary>The whole engine over llama.cpp with a tiny model.</summary>
public sealed class InferenceEngineTests
{
    private static string Words(int count, int salt = 0) => string.Concat(Enumerable.Range(0, count).Select(i => $"w{(i * 7) + salt} "));

    [Fact]
    public async Task Sixteen_at_once_say_what_each_says_alone()
    {
        await using TinyEngine tiny = new();
        List<int[]> alone = [];
        for (int i = 0; i < 16; i++)
            alone.Add((await tiny.RunAsync(TinyEngine.Greedy(tiny.Tokens(Words(5 + i, i))) with { CacheNamespace = $"alone {i}" })).Tokens);
        Generation[] batch = await tiny.SubmitTogetherAsync(Enumerable.Range(0, 16).Select(i => TinyEngine.Greedy(tiny.Tokens(Words(5 + i, i)))));
        int same = 0;
        for (int i = 0; i < 16; i++)
            same += (await TinyEngine.ReadAsync(batch[i])).Tokens.SequenceEqual(alone[i]) ? 1 : 0;
        // Rows computed together may round differently, and a near tie may then flip.
        Assert.True(same >= 15, $"only {same} of 16 replies are the same");
        Assert.True((double)tiny.Engine.Snapshot.DecodeRows / tiny.Engine.Snapshot.DecodeSteps > 1.5);
    }

    /// <summary>Seeded draws and greedy ones, in turns of those and of requests whose logits the host needs, with prefixes that one kind left to the other.</summary>
    [Fact]
    public async Task The_device_draws_what_the_host_would_have_drawn()
    {
        const int Streams = 12;
        List<int[]> host = [], device = [];
        foreach ((List<int[]> replies, bool draws) in ((List<int[]>, bool)[])[(host, false), (device, true)])
        {
            await using TinyEngine tiny = new(options: new EngineOptions { Device = DeviceProfile.TwoCores with { IdleCellSeconds = 0, DrawnFrom = draws ? 8 : 0 }, Speculation = false });
            for (int round = 0; round < 3; round++)
            {
                Generation[] batch = await tiny.SubmitTogetherAsync(Enumerable.Range(0, Streams).Select(i => TinyEngine.Greedy(tiny.Tokens(Words(20, i) + Words(5 * round, i))) with
                {
                    Sampling = new SamplingOptions { Temperature = i % 3 == 0 ? 0 : 0.5f + (i % 4 * 0.5f), Seed = (ulong)i, TopK = i % 5 == 4 && round == 1 ? 20 : 0 },
                }));
                foreach (Generation generation in batch)
                    replies.Add((await TinyEngine.ReadAsync(generation)).Tokens);
            }
            Assert.InRange(tiny.Engine.Snapshot.DeviceDraws, draws ? Streams * 3 * 16 / 2 : 0, draws ? Streams * 3 * 16 : 0);
        }
        int same = host.Zip(device).Count(pair => pair.First.AsSpan().SequenceEqual(pair.Second));
        // Sums of weights round differently on the two sides, and a near tie may then flip.
        Assert.True(same >= host.Count - 2, $"only {same} of {host.Count} replies are the same");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_shared_prefix_gives_the_reply_of_a_cold_run(bool unified)
    {
        await using TinyEngine tiny = new(unified: unified, cells: unified ? 4096 : 16 * 1024, options: new EngineOptions { MaxSequences = 8 });
        int[] system = tiny.Tokens(Words(60));
        int[] prompt = [.. system, .. tiny.Tokens("and now for something else")];
        (int[] cold, _) = await tiny.RunAsync(TinyEngine.Greedy(prompt) with { CacheNamespace = "cold" });
        await tiny.RunAsync(TinyEngine.Greedy([.. system, .. tiny.Tokens("first question")]));
        (int[] shared, GenerationResult result) = await tiny.RunAsync(TinyEngine.Greedy(prompt));
        Assert.Equal(cold, shared);
        Assert.True(result.CachedTokens >= system.Length, $"{result.CachedTokens} of {system.Length} shared tokens were reused");
    }

    [Fact]
    public async Task An_evicted_prefix_comes_back_from_host_memory_with_the_same_reply()
    {
        await using TinyEngine tiny = new(cells: 1024, options: new EngineOptions { HostCacheBytes = 64 << 20, MaxSequences = 4 });
        int[] prompt = tiny.Tokens(Words(120));
        (int[] cold, _) = await tiny.RunAsync(TinyEngine.Greedy(prompt));
        for (int i = 1; i <= 3; i++)
            await tiny.RunAsync(TinyEngine.Greedy(tiny.Tokens(Words(120, i))));
        Assert.True(tiny.Engine.Snapshot.EvictedTokens > 0);
        (int[] again, GenerationResult result) = await tiny.RunAsync(TinyEngine.Greedy(prompt));
        Assert.Equal(cold, again);
        Assert.True(result.Cache.HostTokens > 0, "nothing came from host memory");
    }

    [Fact]
    public async Task A_restart_with_the_same_folder_serves_old_sessions_as_hits_with_the_same_replies()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("restart-");
        try
        {
            EngineOptions options = new() { HostCacheBytes = 64 << 20, DiskCacheDirectory = folder.FullName, MaxSequences = 4 };
            int[][] replies = new int[4][];
            await using (TinyEngine first = new(options: options))
                for (int i = 0; i < replies.Length; i++)
                    replies[i] = (await first.RunAsync(TinyEngine.Greedy(first.Tokens(Words(60, i))))).Tokens;
            await using TinyEngine second = new(options: options);
            await Eventually.HoldsAsync(() => second.Engine.Snapshot.DiskCacheEntries > 0);
            for (int i = 0; i < replies.Length; i++)
            {
                int[] prompt = second.Tokens(Words(60, i));
                (int[] tokens, GenerationResult result) = await second.RunAsync(TinyEngine.Greedy(prompt));
                Assert.Equal(replies[i], tokens);
                // Where pieces are cut depends on how fast steps were, and a last piece of a few tokens is not worth a restore.
                Assert.InRange(result.CachedTokens, prompt.Length - PrefixCache.MinRestoreTokens, prompt.Length - 1);
                Assert.True(result.Cache.DiskTokens > 0, "nothing came from disk");
            }
            Assert.Equal(0, second.Engine.Snapshot.DiskErrors);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Six_long_requests_in_a_pool_for_four_all_finish()
    {
        await using TinyEngine tiny = new(cells: 1536, options: new EngineOptions { HostCacheBytes = 64 << 20 });
        Generation[] all = await tiny.SubmitTogetherAsync(Enumerable.Range(0, 6).Select(i => TinyEngine.Greedy(tiny.Tokens(Words(4, i)), 380)));
        int preemptions = 0;
        foreach (Generation generation in all)
        {
            GenerationResult result = (await TinyEngine.ReadAsync(generation)).Result;
            Assert.Equal(380, result.CompletionTokens);
            preemptions += result.Preemptions;
        }

        // Each result says how often it had to wait for others.
        Assert.InRange(preemptions, 1, tiny.Engine.Snapshot.Preemptions);
    }

    [Fact]
    public async Task A_cancelled_request_ends_and_frees_its_cells()
    {
        await using TinyEngine tiny = new();
        Generation generation = tiny.Engine.Submit(TinyEngine.Greedy(tiny.Tokens(Words(20)), 3000));
        await generation.Events.WaitToReadAsync();
        generation.Cancel();
        Assert.Equal(FinishReason.Cancelled, (await TinyEngine.ReadAsync(generation)).Result.FinishReason);
        Assert.Equal(0, tiny.Engine.Snapshot.CellsPrivate + tiny.Engine.Snapshot.CellsPinned);
        Assert.Equal(1, tiny.Engine.Snapshot.CancelledRequests);
    }

    [Fact]
    public async Task The_same_seed_gives_the_same_text_and_another_seed_another()
    {
        await using TinyEngine tiny = new();
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 32) with { Sampling = new SamplingOptions { Seed = 7 } };
        int[] first = (await tiny.RunAsync(request)).Tokens;
        Assert.Equal(first, (await tiny.RunAsync(request)).Tokens);
        Assert.NotEqual(first, (await tiny.RunAsync(request with { Sampling = new SamplingOptions { Seed = 8 } })).Tokens);
    }

    [Fact]
    public async Task A_full_queue_refuses_and_says_when_to_come_back()
    {
        await using TinyEngine tiny = new(options: new EngineOptions { MaxSequences = 1, MaxQueue = 2 });
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 2000);
        Generation[] accepted = [.. Enumerable.Range(0, 3).Select(_ => tiny.Engine.Submit(request))];
        EngineQueueFullException full = Assert.Throws<EngineQueueFullException>(() => tiny.Engine.Submit(request));
        Assert.True(full.RetryAfter >= TimeSpan.FromSeconds(1));
        // Though no step may have seen them yet.
        Assert.Equal(2, full.QueuedRequests);
        foreach (Generation generation in accepted)
        {
            generation.Cancel();
            await TinyEngine.ReadAsync(generation);
        }
        await tiny.RunAsync(request with { MaxTokens = 1 });
    }

    [Fact]
    public async Task A_request_that_comes_while_the_loop_goes_to_sleep_is_answered()
    {
        const int Requests = 40_000, Seed = 1;
        ScriptedDecoder decoder = new(new DecoderLimits(Cells: 256, ContextLength: 256, SequenceIds: 9, BatchSize: 64, MaxOutputs: 16, SharesCells: true, StateBytesPerToken: 16));
        await using InferenceEngine engine = new(new EngineOptions(), decoder, null, ScriptedDecoder.Vocabulary, TimeProvider.System, NullLogger.Instance);
        Random random = new(Seed);
        for (int i = 0; i < Requests; i++)
        {
            Generation generation = engine.Submit(new GenerationRequest { PromptTokens = new[] { 1, 2, 3 }, MaxTokens = 1 });
            // Spins, so that the next one comes at once or a little later: while the loop finds nothing to do and lies down.
            long start = Stopwatch.GetTimestamp();
            while (!generation.Events.TryRead(out GenerationEvent e) || e.Kind != GenerationEventKind.Finished)
                Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20), $"request {i} was lost; seed {Seed}");
            Thread.SpinWait(random.Next(400));
        }
    }

    [Fact]
    public async Task An_engine_that_nobody_asks_lets_its_decoder_rest_once_and_goes_on_when_somebody_does()
    {
        ScriptedDecoder decoder = new(new DecoderLimits(Cells: 256, ContextLength: 256, SequenceIds: 9, BatchSize: 64, MaxOutputs: 16, SharesCells: true, StateBytesPerToken: 16));
        await using InferenceEngine engine = new(new EngineOptions(), decoder, null, ScriptedDecoder.Vocabulary, new FakeTimeProvider(), NullLogger.Instance);
        for (int round = 0; round < 2; round++)
        {
            Assert.True(await decoder.Rests.WaitAsync(TimeSpan.FromSeconds(30)), $"no rest before request {round}");
            await TinyEngine.ReadAsync(engine.Submit(TinyEngine.Greedy([1, 2, 3], 4)));
        }
        Assert.True(await decoder.Rests.WaitAsync(TimeSpan.FromSeconds(30)), "no rest after the last request");
        Assert.False(await decoder.Rests.WaitAsync(TimeSpan.FromSeconds(1)), "it rests again and again");
    }

    [Fact]
    public async Task A_decode_call_that_hangs_fails_the_engine_and_is_named()
    {
        FakeTimeProvider time = new();
        using ManualResetEventSlim hang = new();
        ScriptedDecoder decoder = new(new DecoderLimits(Cells: 256, ContextLength: 256, SequenceIds: 9, BatchSize: 64, MaxOutputs: 16, SharesCells: true, StateBytesPerToken: 16)) { Hang = hang };
        await using InferenceEngine engine = new(new EngineOptions { StepTimeLimit = TimeSpan.FromSeconds(120) }, decoder, null, ScriptedDecoder.Vocabulary, time, NullLogger.Instance);
        Assert.Null(engine.Failure);
        Generation stuck = engine.Submit(new GenerationRequest { PromptTokens = new[] { 1, 2, 3 }, MaxTokens = 4 });
        await Eventually.PassesUntilAsync(time, () => engine.Failure is not null);
        Assert.Contains("step 1, of 3 rows", engine.Failure, StringComparison.Ordinal);
        Assert.Throws<EngineUnavailableException>(() => engine.Submit(stuck.Request));
        hang.Set();
        await TinyEngine.ReadAsync(stuck);
        Assert.Null(engine.Failure);
    }

    [Fact]
    public async Task A_device_that_fails_in_a_decode_call_fails_its_requests_by_name_and_the_engine_with_them()
    {
        using ManualResetEventSlim hang = new();
        ScriptedDecoder decoder = new(new DecoderLimits(Cells: 256, ContextLength: 256, SequenceIds: 9, BatchSize: 64, MaxOutputs: 16, SharesCells: true, StateBytesPerToken: 16))
        {
            Hang = hang,
            GiveUp = () => NativeAbort.Raise(TinyEngine.Library, "CUDA error: an illegal memory access was encountered"),
        };
        await using InferenceEngine engine = new(new EngineOptions(), decoder, null, ScriptedDecoder.Vocabulary, TimeProvider.System, NullLogger.Instance);
        Generation[] lost = [.. Enumerable.Range(1, 3).Select(i => engine.Submit(new GenerationRequest { PromptTokens = new[] { i, 2, 3 }, MaxTokens = 4 }))];
        hang.Set();
        foreach (Generation generation in lost)
        {
            InvalidOperationException failed = await Assert.ThrowsAsync<InvalidOperationException>(() => TinyEngine.ReadAsync(generation));
            Assert.Contains("CUDA error: an illegal memory access was encountered", failed.Message, StringComparison.Ordinal);
        }
        Assert.Contains("CUDA error", engine.Failure, StringComparison.Ordinal);
        Assert.Throws<EngineUnavailableException>(() => engine.Submit(lost[0].Request));
    }

    [Fact]
    public async Task Stopping_ends_every_request_and_takes_no_more()
    {
        await using TinyEngine tiny = new(options: new EngineOptions { MaxSequences = 2 });
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 3000);
        Generation[] accepted = [.. Enumerable.Range(0, 5).Select(_ => tiny.Engine.Submit(request))];
        await tiny.Engine.StopAsync(TimeSpan.FromMilliseconds(50));
        foreach (Generation generation in accepted)
            Assert.Equal(FinishReason.Cancelled, (await TinyEngine.ReadAsync(generation)).Result.FinishReason);
        Assert.Throws<EngineUnavailableException>(() => tiny.Engine.Submit(request));
    }

    [Fact]
    public async Task Draining_lets_running_requests_finish()
    {
        await using TinyEngine tiny = new();
        Generation generation = tiny.Engine.Submit(TinyEngine.Greedy(tiny.Tokens(Words(10)), 20));
        await tiny.Engine.StopAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(FinishReason.Length, (await TinyEngine.ReadAsync(generation)).Result.FinishReason);
    }

    [Theory]
    [InlineData("[0-9]{3}-[0-9]{4}")]
    [InlineData("(yes|no), because [a-z ]{5,20}\\.")]
    public async Task A_constrained_reply_obeys_its_grammar_and_ends_when_it_is_whole(string pattern)
    {
        await using TinyEngine tiny = new();
        LlamaVocab vocab = tiny.Vocab;
        TokenConstraint constraint = new(CompiledConstraint.FromRegex(pattern), Trie(vocab));
        for (ulong seed = 0; seed < 5; seed++)
        {
            GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 100) with
            {
                Sampling = new SamplingOptions { Seed = seed },
                IgnoreEndOfGeneration = false,
                Constraint = constraint,
            };
            (int[] tokens, GenerationResult result) = await tiny.RunAsync(request);
            Assert.Matches($"^{pattern}$", vocab.Detokenize(tokens, special: false));
            Assert.Equal(FinishReason.Stop, result.FinishReason);
        }
        Assert.Equal(pattern.Contains("because", StringComparison.Ordinal), tiny.Engine.Snapshot.ForcedTokens > 10);
    }

    [Fact]
    public async Task Constrained_replies_survive_preemption_each_with_its_own_state()
    {
        await using TinyEngine tiny = new(cells: 640);
        TokenConstraint constraint = new(CompiledConstraint.FromRegex("([a-z]{4}[0-9]){20}\\."), Trie(tiny.Vocab));
        Generation[] generations = await tiny.SubmitTogetherAsync(Enumerable.Range(0, 8).Select(i => TinyEngine.Greedy(tiny.Tokens(Words(10 + i)), 200) with
        {
            Sampling = new SamplingOptions { Seed = (ulong)i },
            IgnoreEndOfGeneration = false,
            Constraint = constraint,
        }));
        foreach (Generation generation in generations)
        {
            (int[] tokens, GenerationResult result) = await TinyEngine.ReadAsync(generation);
            Assert.Matches("^([a-z]{4}[0-9]){20}\\.$", tiny.Vocab.Detokenize(tokens, special: false));
            Assert.Equal((FinishReason.Stop, 101), (result.FinishReason, tokens.Length));
        }
        Assert.True(tiny.Engine.Snapshot.Preemptions > 0);
    }

    [Fact]
    public async Task Drafts_that_a_constraint_forbids_are_not_taken_and_others_are()
    {
        await using TinyEngine tiny = new();
        TokenConstraint constraint = new(CompiledConstraint.FromRegex("([a-z]{3}[0-9]){40}"), Trie(tiny.Vocab));
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 400) with { IgnoreEndOfGeneration = false, Constraint = constraint };
        (int[] plain, _) = await tiny.RunAsync(request);
        // The reply itself with every tenth token replaced by one that the grammar never allows.
        int forbidden = tiny.Tokens("!")[0];
        int[] predicted = [.. plain.Select((token, i) => i % 10 == 9 ? forbidden : token)];
        (int[] drafted, GenerationResult result) = await tiny.RunAsync(request with { PredictedTokens = predicted });
        Assert.Matches("^([a-z]{3}[0-9]){40}$", tiny.Vocab.Detokenize(drafted, special: false));
        Assert.True(result.AcceptedPredictionTokens > 0, "no draft was verified");
        Assert.True(result.RejectedPredictionTokens > 0, "no draft was refused");
    }

    [Fact]
    public async Task Every_token_has_a_log_probability_where_they_are_asked_for_even_one_that_is_forced()
    {
        await using TinyEngine tiny = new();
        TokenConstraint constraint = new(CompiledConstraint.FromRegex("all of this is forced: [a-z]"), Trie(tiny.Vocab));
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 100) with { IgnoreEndOfGeneration = false, Constraint = constraint };
        foreach (int? top in (int?[])[null, 1])
        {
            Generation generation = tiny.Engine.Submit(request with { Sampling = SamplingOptions.Greedy with { TopLogprobs = top } });
            int tokens = 0, logprobs = 0;
            await foreach (GenerationEvent e in generation.Events.ReadAllAsync())
                if (e.Kind == GenerationEventKind.Token)
                    (tokens, logprobs) = (tokens + 1, logprobs + (e.Logprobs is null ? 0 : 1));
            Assert.Equal((24, top is null ? 0 : 24), (tokens, logprobs));
        }
    }

    /// <summary>Twenty levels of two readings each, behind a text that is forced and longer than any token, so that no mask has looked there.</summary>
    private static CompiledConstraint AmbiguousBehindForcedText() => CompiledConstraint.FromGbnf(
        $"root ::= \"{new string('x', 40)}\" r20\nr0 ::= [a-z]\n{string.Concat(Enumerable.Range(1, 20).Select(i => $"r{i} ::= r{i - 1} \"a\" | r{i - 1} \"b\"\n"))}");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_grammar_that_fails_between_two_steps_ends_its_own_request_only(bool thinks)
    {
        await using TinyEngine tiny = new();
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(10)), 300);
        Generation other = tiny.Engine.Submit(request);
        Exception failure = await Assert.ThrowsAsync<InvalidOperationException>(() => tiny.RunAsync(request with
        {
            IgnoreEndOfGeneration = false,
            // Content that looks like thinking cannot be closed as thinking is.
            Constraint = new TokenConstraint(thinks ? CompiledConstraint.FromRegex("<t>[a-z]{60}") : AmbiguousBehindForcedText(), Trie(tiny.Vocab)),
            Thinking = thinks ? new ThinkingLimit(3, "<t>", "</t>", false, tiny.Tokens("</t>")) : null,
        }));
        Assert.Contains("No token could be drawn for this request", failure.Message, StringComparison.Ordinal);
        Assert.Equal(300, (await TinyEngine.ReadAsync(other)).Tokens.Length);
        Assert.Equal(16, (await tiny.RunAsync(request with { MaxTokens = 16 })).Tokens.Length);
        Assert.Equal((3, 1, 2), (tiny.Engine.Snapshot.AcceptedRequests, tiny.Engine.Snapshot.FailedRequests, tiny.Engine.Snapshot.FinishedRequests));
    }

    private static TokenVocabularyTrie Trie(LlamaVocab vocab) => TokenVocabularyTrie.Build(
        [.. Enumerable.Range(0, vocab.Count).Select(t => new ReadOnlyMemory<byte>(vocab.TokenBytes(t).ToArray()))],
        [.. Enumerable.Range(0, vocab.Count).Where(vocab.IsEndOfGeneration)],
        new Dictionary<int, string>());

    [Fact]
    public async Task A_request_that_cannot_be_run_ends_with_its_cause_and_the_engine_goes_on()
    {
        await using TinyEngine tiny = new();
        GenerationRequest request = TinyEngine.Greedy(tiny.Tokens(Words(5)));
        // The API refuses an empty stop string; should one slip through, it must cost nobody else anything.
        Exception failure = await Assert.ThrowsAsync<InvalidOperationException>(() => tiny.RunAsync(request with { StopStrings = [""] }));
        Assert.Contains("cannot be run", failure.Message, StringComparison.Ordinal);
        Assert.Equal(16, (await tiny.RunAsync(request)).Tokens.Length);
        Assert.Equal((2, 1, 1), (tiny.Engine.Snapshot.AcceptedRequests, tiny.Engine.Snapshot.FailedRequests, tiny.Engine.Snapshot.FinishedRequests));
    }
}
