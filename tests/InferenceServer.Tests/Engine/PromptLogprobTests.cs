using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Tests.Engine;

/// <summary>Log probabilities of a prompt's own tokens, which come from rows that otherwise want no logits.</summary>
public sealed class PromptLogprobTests
{
    [Theory]
    [InlineData(TinyArchitecture.Llama, true)]
    [InlineData(TinyArchitecture.Llama, false)]
    [InlineData(TinyArchitecture.Lfm2, true)]
    public async Task A_reply_sent_back_as_prompt_is_as_likely_as_when_it_was_generated(TinyArchitecture architecture, bool unified)
    {
        await using TinyEngine tiny = new(architecture, cells: 8192, unified: unified, options: new EngineOptions { MaxSequences = 4, HostCacheBytes = unified ? 64 << 20 : 0 });
        int[] prompt = tiny.Tokens("Once upon a time there was a");
        Generation generated = tiny.Engine.Submit(TinyEngine.Greedy(prompt, 150) with { Sampling = SamplingOptions.Greedy with { TopLogprobs = 3 } });
        List<TokenLogprobs> drawn = [];
        await foreach (GenerationEvent e in generated.Events.ReadAllAsync())
            if (e.Logprobs is { } logprobs)
                drawn.Add(logprobs);
        int[] whole = [.. prompt, .. drawn.Select(token => token.Token)];

        // Beside others, with the prompt in the cache, and in more slices than one: 150 rows want logits, a step has room for far fewer.
        Generation scored = tiny.Engine.Submit(TinyEngine.Greedy(whole, 0) with { PromptLogprobs = 3 });
        Generation[] others = [.. Enumerable.Range(0, 3).Select(i => tiny.Engine.Submit(TinyEngine.Greedy(tiny.Tokens($"Other {i} says"), 60)))];
        (int[] more, GenerationResult result) = await TinyEngine.ReadAsync(scored);
        foreach (Generation other in others)
            Assert.Equal(60, (await TinyEngine.ReadAsync(other)).Tokens.Length);

        Assert.Empty(more);
        Assert.Equal((FinishReason.Length, 0), (result.FinishReason, result.CachedTokens));
        IReadOnlyList<TokenLogprobs?> known = scored.PromptLogprobs!;
        Assert.Equal(whole.Length, known.Count);
        Assert.Null(known[0]);
        Assert.All(known.Skip(1), token => Assert.NotNull(token));
        for (int i = 0; i < drawn.Count; i++)
        {
            TokenLogprobs again = known[prompt.Length + i]!;
            Assert.Equal(drawn[i].Token, again.Token);
            Assert.Equal(drawn[i].Logprob, again.Logprob, 0.05);
            Assert.Equal(3, again.Top.Count);
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(36)]
    public void No_step_wants_more_logits_than_there_is_room_for_and_everybody_ends(int maxOutputs)
    {
        DecoderLimits limits = new(Cells: 512, ContextLength: 256, SequenceIds: 9, BatchSize: 64, MaxOutputs: maxOutputs, SharesCells: true, StateBytesPerToken: 16);
        using SchedulerDriver driver = new(new EngineOptions { MaxSequences = 4 }, limits);
        List<Generation> all = [];
        for (int i = 0; i < 24; i++)
        {
            int[] prompt = [.. Enumerable.Range(0, 20 + (i * 5)).Select(token => 1 + (token % (3 + (i % 3))))];
            bool isScored = i % 3 == 0;
            all.Add(driver.Submit(prompt, 6, request => request with { PromptLogprobs = isScored ? 0 : null }));
        }

        driver.RunToEnd();
        Assert.All(all, driver.AssertReply);
        Assert.All(all.Where(generation => generation.Request.PromptLogprobs is not null), generation => Assert.Equal(0, driver.ResultOf(generation)!.CachedTokens));
        Assert.Contains(all, generation => driver.ResultOf(generation)!.CachedTokens > 0);
    }
}
