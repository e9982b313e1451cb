// Training on what the server exports: the files beside these tests are compared with the server's own export by its tests.
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Stages;

using Xunit;

namespace InferenceServer.Training.Tests;

public sealed class FeedbackTests(Toy toy) : IClassFixture<Toy>
{
    private static string Export(string format) => Path.Combine(AppContext.BaseDirectory, "feedback", format + ".jsonl");

    [Fact]
    public void An_export_for_fine_tuning_is_learnt()
    {
        IReadOnlyList<Dialogue> dialogues = FeedbackFile.ReadDialogues(Export("sft"));
        Assert.Equal(4, dialogues.Count);
        LanguageStage.Run(toy.Stage(2), Toy.Data, toy.Tokenizer, toy.Path_("sft-body"), null, TimeProvider.System, CancellationToken.None);
        StageConfig config = toy.Stage(20) with { Mixture = new Mixture { Dialogues = 0, Feedback = 1, AssistantOnly = true, MaxTokens = 256 } };
        IReadOnlyList<double> losses = LanguageStage.Run(
            config, Toy.Data, toy.Tokenizer, toy.Path_("sft-feedback"), toy.Path_("sft-body", "checkpoint.bin"), TimeProvider.System, CancellationToken.None, dialogues);
        Assert.True(losses[0] > 4 && losses[^1] < 1, $"from {losses[0]} to {losses[^1]}");
    }

    [Theory]
    [InlineData("dpo")]
    [InlineData("reward")]
    public void An_export_of_preferences_teaches_a_reward_model(string format)
    {
        IReadOnlyList<Comparison> pairs = FeedbackFile.ReadComparisons(Export(format));
        Assert.Equal(4, pairs.Count);
        LanguageStage.Run(toy.Stage(2), Toy.Data, toy.Tokenizer, toy.Path_(format + "-body"), null, TimeProvider.System, CancellationToken.None);
        StageConfig config = toy.Stage(25) with { MicroBatches = 1, Optimizer = new OptimizerOptions { MatrixRate = 0.005, VectorRate = 0.003 } };
        IReadOnlyList<double> losses = RewardStage.Run(
            config, toy.Tokenizer, pairs, toy.Path_(format), toy.Path_(format + "-body", "checkpoint.bin"), TimeProvider.System, CancellationToken.None);
        Assert.Equal(Math.Log(2), losses[0], 2);
        using var scorer = RewardModel.Load(toy.Path_(format, "checkpoint.bin"));
        Assert.Equal(1.0, RewardStage.Accuracy(scorer, toy.Tokenizer, pairs)["all"]);
    }

    [Fact]
    public void Only_the_reply_that_was_praised_is_learnt_and_without_a_file_the_corpus_is_what_it_was()
    {
        Dialogue dialogue = new([new("user", "Hi"), new("assistant", "Unpraised."), new("user", "More"), new("assistant", "Praised.")], "feedback");
        Mixture only = new() { Dialogues = 0, Feedback = 1, MaxTokens = 256 };
        Batch batch = new CorpusStream(Toy.Data, toy.Tokenizer, only, 128, 1, [dialogue]).Next();
        string learnt = toy.Tokenizer.Decode(batch.Tokens.Take(batch.Length).Select((token, i) => (token, i)).Where(p => batch.Weights[p.i] > 0 && p.token != toy.Tokenizer.MessageEndId).Select(p => (int)p.token));
        Assert.Equal("Praised.", learnt);

        Mixture mixture = new() { MaxTokens = 256 };
        Assert.Equal(
            new CorpusStream(Toy.Data, toy.Tokenizer, mixture with { Feedback = 0 }, 128, 1).Next().Tokens, new CorpusStream(Toy.Data, toy.Tokenizer, mixture, 128, 1).Next().Tokens);
        Assert.Contains("maxTokens (3)", Assert.Throws<InvalidDataException>(() => new CorpusStream(Toy.Data, toy.Tokenizer, only with { MaxTokens = 3 }, 128, 1, [dialogue])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"Hi"}]}""", "the last one the assistant's")]
    [InlineData("""{"messages":[{"role":"assistant"}]}""", "texts with roles")]
    [InlineData("""{"messages":null}""", "texts with roles")]
    [InlineData("""{"messages":[{"role":"assistant","content":"x","tool_calls":[]}]}""", "tool_calls")]
    [InlineData("not json", "invalid")]
    [InlineData("null", "null")]
    [InlineData("", "holds no feedback")]
    public void A_line_that_is_no_dialogue_is_named(string line, string says)
    {
        string path = toy.Path_("lines.jsonl");
        string good = """{"messages":[{"role":"assistant","content":"x"}]}""";
        File.WriteAllLines(path, line.Length > 0 ? [good, line] : []);
        string message = Assert.Throws<InvalidDataException>(() => FeedbackFile.ReadDialogues(path)).Message;
        Assert.Contains(says, message, StringComparison.Ordinal);
        Assert.Contains(line.Length > 0 ? "lines.jsonl(2)" : "lines.jsonl", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"prompt":[],"chosen":"a","rejected":"b","kind":"c"}""")]
    [InlineData("""{"prompt":[{"role":"user","text":"x"}],"chosen":"a","kind":"c"}""")]
    [InlineData("""{"prompt":[{"role":"user","content":"x"}],"chosen":[],"rejected":[{"role":"assistant","content":"b"}]}""")]
    [InlineData("""{"prompt":[{"role":"user"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}""")]
    [InlineData("[]")]
    public void A_line_that_is_no_pair_is_named(string line)
    {
        string path = toy.Path_("pairs.jsonl");
        File.WriteAllText(path, line);
        Assert.Contains("pairs.jsonl(1)", Assert.Throws<InvalidDataException>(() => FeedbackFile.ReadComparisons(path)).Message, StringComparison.Ordinal);
    }
}
