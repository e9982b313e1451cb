using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Stages;

using TorchSharp;

using Xunit;

namespace InferenceServer.Training.Tests;

public sealed class TrainingTests(Toy toy) : IClassFixture<Toy>
{
    [Fact]
    public void The_loss_falls()
    {
        IReadOnlyList<double> losses = LanguageStage.Run(toy.Stage(40), Toy.Data, toy.Tokenizer, toy.Path_("falls"), null, TimeProvider.System, CancellationToken.None);
        Assert.Equal(40, losses.Count);
        Assert.InRange(losses[0], 5.5, 7.5); // ln 600 = 6.4: a fresh model knows nothing.
        Assert.True(losses.TakeLast(5).Average() < losses[0] - 2, $"from {losses[0]} to {losses.TakeLast(5).Average()}");
        Assert.StartsWith("<svg", File.ReadAllText(toy.Path_("falls", "plot.svg")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_resumed_run_equals_an_uninterrupted_one_bit_for_bit()
    {
        LanguageStage.Run(toy.Stage(6), Toy.Data, toy.Tokenizer, toy.Path_("whole"), null, TimeProvider.System, CancellationToken.None);
        LanguageStage.Run(toy.Stage(3), Toy.Data, toy.Tokenizer, toy.Path_("parts"), null, TimeProvider.System, CancellationToken.None);
        LanguageStage.Run(toy.Stage(6), Toy.Data, toy.Tokenizer, toy.Path_("parts"), null, TimeProvider.System, CancellationToken.None);
        Assert.Equal(File.ReadAllBytes(toy.Path_("whole", "checkpoint.bin")), File.ReadAllBytes(toy.Path_("parts", "checkpoint.bin")));
    }

    [Fact]
    public void A_damaged_checkpoint_and_an_unknown_setting_are_named()
    {
        string path = toy.Path_("damaged.bin");
        File.WriteAllBytes(path, [1, 2, 3, 4, 5]);
        Assert.Contains("damaged.bin", Assert.Throws<InvalidDataException>(() => Checkpoint.Load(path)).Message, StringComparison.Ordinal);
        string config = toy.Path_("config.json");
        File.WriteAllText(config, """{ "stepz": 3 }""");
        Assert.Contains("stepz", Assert.Throws<InvalidDataException>(() => Commands.ReadConfig(config)).Message, StringComparison.Ordinal);
        File.WriteAllText(config, """{ "steps": 3 }""");
        Assert.Equal(new StageConfig().MicroBatches, Commands.ReadConfig(config).MicroBatches);
    }

    [Fact]
    public void Decoding_over_the_cache_gives_the_logits_of_one_long_pass()
    {
        using var scope = torch.NewDisposeScope();
        using IDisposable noGrad = torch.no_grad();
        using Transformer model = Toys.Random(toy.Model, 5);
        long[] tokens = [.. Enumerable.Range(0, 12).Select(i => (long)(i * 37 % toy.Model.VocabularySize))];
        WorkingWeights weights = model.Cast(torch.ScalarType.Float32);
        torch.Tensor whole = model.Forward(weights, torch.tensor(tokens, [1, 12]));
        using var cache = new KvCache(model.Config, 1, 12, torch.ScalarType.Float32, model.Device);
        torch.Tensor last = model.Forward(weights, torch.tensor(tokens[..5], [1, 5]), cache);
        for (int i = 5; i < 12; i++)
        {
            last = model.Forward(weights, torch.tensor(tokens[i..(i + 1)], [1, 1]), cache);
        }

        double difference = (whole.narrow(1, 11, 1) - last).abs().max().ToSingle();
        Assert.True(difference < 1e-4, $"{difference}");
    }

    [Fact]
    public void A_reward_step_learns_to_tell_the_better_reply()
    {
        LanguageStage.Run(toy.Stage(2), Toy.Data, toy.Tokenizer, toy.Path_("body"), null, TimeProvider.System, CancellationToken.None);
        Comparison[] pairs = [.. Enumerable.Range(0, 16).Select(i => new Comparison([new("user", $"Question {i}")], "A short answer.", "No no no no no no no no.", "brief"))];
        StageConfig config = toy.Stage(25) with { MicroBatches = 1, Optimizer = new OptimizerOptions { MatrixRate = 0.005, VectorRate = 0.003 } };
        IReadOnlyList<double> losses = RewardStage.Run(config, toy.Tokenizer, pairs, toy.Path_("reward"), toy.Path_("body", "checkpoint.bin"), TimeProvider.System, CancellationToken.None);
        Assert.Equal(Math.Log(2), losses[0], 2); // The head starts at zero: every pair is a coin toss.
        Assert.True(losses[^1] < 0.3, $"{losses[^1]}");
        using var scorer = RewardModel.Load(toy.Path_("reward", "checkpoint.bin"));
        Assert.Equal(1.0, RewardStage.Accuracy(scorer, toy.Tokenizer, pairs)["all"]);
    }

    [Fact]
    public void Advantages_are_those_computed_by_hand()
    {
        // delta2 = 1 - 0.2 = 0.8; delta1 = 0.2 - 0.5 = -0.3; delta0 = 0.5 - 0.1 = 0.4; carried with lambda 0.5.
        (float[] advantages, float[] returns) = PpoStage.Advantages([0, 0, 1], [0.1f, 0.5f, 0.2f], 0.5);
        Assert.Equal([0.45, 0.1, 0.8], advantages.Select(a => Math.Round(a, 5)));
        Assert.Equal([0.55, 0.6, 1.0], returns.Select(r => Math.Round(r, 5)));
    }

    [Fact]
    public void A_ppo_update_makes_a_rewarded_reply_likelier_and_a_punished_one_less_likely()
    {
        using Transformer policy = Toys.Random(toy.Model, 6);
        using var value = new ScalarHead("value", policy.Config.Width, policy.Device);
        Dictionary<string, torch.Tensor> all = policy.Weights.Concat(value.Weights).ToDictionary(p => p.Key, p => p.Value);
        using var optimizer = new MuonOptimizer(all, new OptimizerOptions { MatrixRate = 0.001, VectorRate = 0.001 });
        int[] good = [1, 2, 3, 4, 5, 6], bad = [1, 2, 3, 9, 8, 7];
        (float[] goodOld, float[] badOld) = (Logs(good), Logs(bad));
        PpoStage.Rollout[] rollouts =
        [
            new(good, 3, 1, goodOld, goodOld, [0, 0, 0]) { Advantages = [1, 1, 1], Returns = [1, 1, 1] },
            new(bad, 3, -1, badOld, badOld, [0, 0, 0]) { Advantages = [-1, -1, -1], Returns = [-1, -1, -1] },
        ];
        StageConfig config = toy.Stage(1) with { Epochs = 3, BFloat16 = false };
        PpoStage.Update(config, policy, value, optimizer, rollouts, 1, new SeededRandom(1), 0);
        Assert.True(Logs(good).Sum() > goodOld.Sum());
        Assert.True(Logs(bad).Sum() < badOld.Sum());

        float[] Logs(int[] tokens)
        {
            using var scope = torch.NewDisposeScope();
            using IDisposable noGrad = torch.no_grad();
            WorkingWeights weights = policy.Cast(torch.ScalarType.Float32);
            torch.Tensor hidden = policy.Forward(weights, torch.tensor([.. tokens.Select(t => (long)t)], [1, tokens.Length]));
            torch.Tensor logs = torch.nn.functional.log_softmax(Transformer.Logits(weights, hidden), -1).squeeze(0);
            return [.. Enumerable.Range(2, 3).Select(t => logs[t][tokens[t + 1]].ToSingle())];
        }
    }

    [Fact]
    public void The_whole_recipe_runs_from_pretraining_to_ppo_and_the_table()
    {
        string run = toy.Path_("run");
        LanguageStage.Run(toy.Stage(8), Toy.Data, toy.Tokenizer, Path.Combine(run, "pretrain"), null, TimeProvider.System, CancellationToken.None);
        StageConfig tuned = toy.Stage(3) with { Mixture = new Mixture { AssistantOnly = true, MaxTokens = 256 } };
        LanguageStage.Run(tuned, Toy.Data, toy.Tokenizer, Path.Combine(run, "sft"), Path.Combine(run, "pretrain", "checkpoint.bin"), TimeProvider.System, CancellationToken.None);
        string sft = Path.Combine(run, "sft", "checkpoint.bin"), reward = Path.Combine(run, "reward", "checkpoint.bin");
        StageConfig small = toy.Stage(40) with { Samples = 4, ReplyTokens = 6 };
        Assert.Equal(40, CompareStage.Run(small, Toy.Data, toy.Tokenizer, Path.Combine(run, "compare"), sft).Scripted);
        IReadOnlyList<Comparison> pairs = CompareStage.Read(Path.Combine(run, "compare", "pairs.jsonl"));
        Assert.True(pairs.Count >= 36);
        RewardStage.Run(toy.Stage(2) with { MicroBatches = 1 }, toy.Tokenizer, pairs, Path.Combine(run, "reward"), sft, TimeProvider.System, CancellationToken.None);
        StageConfig ppo = toy.Stage(2) with { Samples = 4, ReplyTokens = 6, MicroBatches = 1 };
        Assert.Equal(2, PpoStage.Run(ppo, Toy.Data, toy.Tokenizer, Path.Combine(run, "ppo"), sft, reward, TimeProvider.System, CancellationToken.None).Count);
        string table = EvalStage.Run(toy.Stage(1) with { Samples = 3, ReplyTokens = 6 }, Toy.Data, toy.Tokenizer, run, CancellationToken.None);
        Assert.Contains("| pretrain | sft | ppo |", table, StringComparison.Ordinal);
        Assert.Contains("PPO against SFT", table, StringComparison.Ordinal);
    }

    [Fact]
    public void A_repeating_tail_counts_as_a_loop_and_a_varied_one_does_not()
    {
        Assert.True(EvalStage.Loops([.. Enumerable.Range(0, 200).Select(i => i % 7)]));
        Assert.False(EvalStage.Loops([.. Enumerable.Range(0, 200).Select(i => i * i % 211)]));
        Assert.False(EvalStage.Loops([1, 1, 1]));
    }
}

internal static class Toys
{
    /// <summary>A model whose every matrix is random: a fresh one's branches start at zero and would hide mistakes.</summary>
    public static Transformer Random(ModelConfig config, int seed)
    {
        var model = new Transformer(config, seed);
        using IDisposable noGrad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var generator = new torch.Generator((ulong)seed, torch.CPU);
        foreach ((string name, torch.Tensor weight) in model.Weights)
        {
            double scale = name == "token_embd.weight" ? 0.1 : 1 / Math.Sqrt(weight.shape[^1]);
            torch.Tensor values = torch.randn(weight.shape, generator: generator) * torch.tensor((float)scale);
            weight.copy_(weight.dim() == 1 ? values + torch.tensor(1f) : values);
        }

        return model;
    }
}
