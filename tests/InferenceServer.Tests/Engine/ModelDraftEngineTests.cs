using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Tests.Engine;

/// <summary>Guards drafts by a second model over llama.cpp: what it guesses changes no reply, and what cannot guess is refused.</summary>
public sealed class ModelDraftEngineTests
{
    /// <summary>Steps of many rows cost next to nothing, so that every guess seems to pay.</summary>
    private static readonly EngineOptions Eager = new() { Device = new DeviceProfile([(1, 0.01), (64, 0.0101)], 0, 0.000001, 0.000001, ComputesAhead: false) };

    private static readonly SamplingOptions[] Samplings =
    [
        SamplingOptions.Greedy, new() { Seed = 5 }, new() { Seed = 6, TopP = 0.9f, RepetitionPenalty = 1.1f }, new() { Seed = 7, Mirostat = 2, MirostatTau = 3 }, new() { Seed = 8, Mirostat = 1 },
    ];

    [Theory]
    [InlineData(1, false)] // the same weights: every guess of a greedy reply is true
    [InlineData(2, false)] // others: hardly any is
    [InlineData(1, true)]
    public async Task Replies_are_those_without_a_draft_model(int seed, bool deterministic)
    {
        List<int[]> without = await RepliesAsync(writeDraft: null), with = await RepliesAsync(path => TinyModel.Write(path, seed: seed));
        Assert.Equal(without, with);

        async Task<List<int[]>> RepliesAsync(Action<string>? writeDraft)
        {
            await using TinyEngine tiny = new(options: Eager with { Deterministic = deterministic }, writeDraft: writeDraft);
            int[] prompt = tiny.Tokens("Once upon a time there was a small red house by the sea.");
            List<int[]> replies = [];
            foreach (SamplingOptions sampling in Samplings)
                replies.Add((await tiny.RunAsync(TinyEngine.Greedy(prompt, 48) with { Sampling = sampling })).Tokens);
            // Beside others a draw near a tie may fall otherwise, with a draft model or without; the most likely token is far from one.
            foreach (Generation reply in await tiny.SubmitTogetherAsync(Enumerable.Range(0, 4).Select(i => TinyEngine.Greedy([.. prompt, .. tiny.Tokens($"{i}")], 48))))
                replies.Add((await TinyEngine.ReadAsync(reply)).Tokens);
            EngineSnapshot end = tiny.Engine.Snapshot;
            Assert.Equal(writeDraft is not null, end.DraftModelBytes > 0);
            // Where one sequence a step is computed nothing is guessed.
            Assert.Equal(writeDraft is not null && !tiny.Engine.ComputesAlone, end.ModelDraftTokens > 20);
            Assert.True(seed != 1 || end.ModelDraftTokensAccepted >= end.ModelDraftTokens / 4, $"{end.ModelDraftTokensAccepted} of {end.ModelDraftTokens} came true");
            return replies;
        }
    }

    [Theory]
    [InlineData(TinyArchitecture.Llama, TinyArchitecture.Mamba2, "the draft model", "recurrent layers")]
    [InlineData(TinyArchitecture.Llama, TinyArchitecture.Gemma3, "the draft model", "sliding window")]
    [InlineData(TinyArchitecture.Lfm2, TinyArchitecture.Llama, "the model", "recurrent layers")]
    public void A_memory_that_cannot_take_guesses_back_is_refused(TinyArchitecture target, TinyArchitecture draft, string which, string why)
    {
        LlamaException error = Assert.Throws<LlamaException>(() => new TinyEngine(target, writeDraft: path => TinyModel.Write(path, draft)));
        Assert.StartsWith(which, error.Message, StringComparison.Ordinal);
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_vocabulary_is_refused_with_what_differs()
    {
        LlamaException more = Assert.Throws<LlamaException>(() => new TinyEngine(writeDraft: path => TinyModel.Write(path, controlTokens: [.. Enumerable.Range(0, 129).Select(i => $"<|{i}|>")])));
        Assert.Contains("tokens, the model", more.Message, StringComparison.Ordinal);
        LlamaException other = Assert.Throws<LlamaException>(() => new TinyEngine(writeDraft: path => TinyModel.Write(path, hasTokenizer: false)));
        Assert.Contains("token 0 is ''", other.Message, StringComparison.Ordinal);
        // Padding does no harm.
        await using TinyEngine padded = new(options: Eager, writeDraft: path => TinyModel.Write(path, controlTokens: ["<|padding|>"]));
        await padded.RunAsync(TinyEngine.Greedy(padded.Tokens("Hello"), 16));
    }
}
