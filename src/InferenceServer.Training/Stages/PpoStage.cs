// Reinforcement learning against the reward model: clipped policy objective, KL penalty to the SFT model, a value head
// and generalized advantage estimation. One thread plus workers inside an update.
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Tokenizer;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Stages;

public static class PpoStage
{
    private const int RolloutsAtOnce = 8;
    private const int RepliesAPrompt = 4;
    private const double ValueWeight = 0.1;
    private const double NoEndPenalty = 1.0;
    private const int LongestPrompt = 160;

    /// <summary>One sampled reply with all that an update needs; arrays run over its reply tokens.</summary>
    public sealed record Rollout(int[] Tokens, int PromptLength, double Score, float[] OldLogs, float[] ReferenceLogs, float[] Values)
    {
        public float[] Advantages { get; init; } = [];

        public float[] Returns { get; init; } = [];

        public int ReplyLength => Tokens.Length - PromptLength;
    }

    /// <summary>Runs the configured steps; resumes a checkpoint in <paramref name="folder"/>. Returns the mean reward score of each step.</summary>
    public static IReadOnlyList<double> Run(
        StageConfig config, string dataFolder, BpeTokenizer tokenizer, string folder, string sft, string reward, TimeProvider time, CancellationToken stop)
    {
        Directory.CreateDirectory(folder);
        set_num_threads(1);
        string path = Path.Combine(folder, "checkpoint.bin");
        using Transformer reference = Commands.LoadModel(sft);
        using Transformer policy = Commands.LoadModel(File.Exists(path) ? path : sft);
        using var value = new ScalarHead("value", policy.Config.Width, policy.Device);
        using var scorer = RewardModel.Load(reward);
        Dictionary<string, Tensor> all = policy.Weights.Concat(value.Weights).ToDictionary(p => p.Key, p => p.Value, StringComparer.Ordinal);
        using var optimizer = new MuonOptimizer(all, config.Optimizer);
        RunState state = new() { Model = policy.Config, RandomState = (ulong)config.Seed };
        if (File.Exists(path))
        {
            Checkpoint.CopyPresent(path, value.Weights);
            state = Checkpoint.Restore(path, optimizer);
        }

        var grammar = Grammar.Read(dataFolder);
        var progress = new Progress(folder, state.Step, time, "reward", "kl", "loss");
        List<double> rewards = [];
        while (state.Step < config.Steps && !stop.IsCancellationRequested)
        {
            var random = new SeededRandom(state.RandomState);
            Rollout[] rollouts = Collect(config, grammar, tokenizer, random, policy, reference, value, scorer);
            double loss = Update(config, policy, value, optimizer, rollouts, config.RateFactor(state.Step), random, tokenizer.EndOfTextId);
            double kl = rollouts.SelectMany(r => r.OldLogs.Zip(r.ReferenceLogs, (o, f) => (double)(o - f))).Average();
            rewards.Add(rollouts.Average(r => r.Score));
            state = state with { Step = state.Step + 1, Tokens = state.Tokens + rollouts.Sum(r => r.Tokens.Length), Updates = optimizer.Updates, RandomState = random.State };
            progress.Report(state.Step, config.Steps, state.Tokens, rewards[^1], kl, loss);
            if (state.Step % 10 == 0)
            {
                Checkpoint.Save(path, state, all, optimizer);
            }
        }

        Checkpoint.Save(path, state, all, optimizer);
        progress.Plot();
        return rewards;
    }

    /// <summary>Generalized advantage estimation without discount: rewards and values by token, the last value after the end is zero.</summary>
    public static (float[] Advantages, float[] Returns) Advantages(double[] rewards, float[] values, double lambda)
    {
        var advantages = new float[rewards.Length];
        double carried = 0;
        for (int t = rewards.Length - 1; t >= 0; t--)
        {
            double next = t + 1 < values.Length ? values[t + 1] : 0;
            carried = rewards[t] + next - values[t] + (lambda * carried);
            advantages[t] = (float)carried;
        }

        return (advantages, [.. advantages.Zip(values, (a, v) => a + v)]);
    }

    /// <summary>One update (each epoch, each group of rollouts); returns the last loss.</summary>
    public static double Update(
        StageConfig config, Transformer policy, ScalarHead value, MuonOptimizer optimizer, Rollout[] rollouts, double rateFactor, SeededRandom random, int padding)
    {
        double last = 0;
        ScalarType type = config.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
        for (int epoch = 0; epoch < config.Epochs; epoch++)
        {
            List<Rollout> order = [.. rollouts];
            random.Shuffle(order);
            foreach (Rollout[] group in order.Chunk(RolloutsAtOnce * config.MicroBatches))
            {
                Rollout[][] parts = [.. group.Chunk(RolloutsAtOnce)];
                int tokens = group.Sum(r => r.ReplyLength);
                last = GradientPass.Run(policy, value.Weights, parts.Length, config.Workers, type, 1.0 / tokens,
                    (i, weights) => Loss(config, policy, value, weights, parts[i], padding)).Sum();
                optimizer.Step(rateFactor);
            }
        }

        return last;
    }

    private static Tensor Loss(StageConfig config, Transformer policy, ScalarHead value, WorkingWeights weights, Rollout[] part, int padding)
    {
        (Tensor logs, Tensor values) = Evaluate(policy, value, weights, part, padding);
        Tensor advantages = Flat(part, r => r.Advantages), returns = Flat(part, r => r.Returns);
        Tensor ratio = (logs - Flat(part, r => r.OldLogs)).exp();
        Tensor clipped = minimum(maximum(ratio, tensor((float)(1 - config.ClipRange))), tensor((float)(1 + config.ClipRange)));
        Tensor objective = minimum(ratio * advantages, clipped * advantages).sum();
        Tensor error = values - returns;
        return (error * error).sum() * tensor((float)ValueWeight) - objective;
    }

    private static Rollout[] Collect(
        StageConfig config, Grammar grammar, BpeTokenizer tokenizer, SeededRandom random, Transformer policy, Transformer reference, ScalarHead value, RewardModel scorer)
    {
        var dialogues = new DialogueGenerator(grammar, random.NextBits());
        List<int[]> prompts = [];
        while (prompts.Count < config.Samples)
        {
            Dialogue dialogue = dialogues.Next();
            int[] prompt = ChatFormat.EncodePrompt(tokenizer, dialogue.Messages.Take(dialogue.Messages.Count - 1));
            if (prompt.Length <= LongestPrompt)
            {
                prompts.AddRange(Enumerable.Repeat(prompt, Math.Min(RepliesAPrompt, config.Samples - prompts.Count)));
            }
        }

        IReadOnlyList<Reply> replies = new ReplySampler(policy, tokenizer.MessageEndId, random, config.Workers).Sample(prompts, config.ReplyTokens, 1.0);
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        WorkingWeights policyWeights = policy.Cast(ScalarType.BFloat16, value.Weights), referenceWeights = reference.Cast(ScalarType.BFloat16), scorerWeights = scorer.Cast(ScalarType.BFloat16);
        List<(int[] Prompt, Rollout Rollout)> scored = [];
        foreach (Reply[] part in replies.OrderBy(r => r.Prompt.Length + r.Tokens.Length).Chunk(RolloutsAtOnce))
        {
            using DisposeScope local = NewDisposeScope();
            Rollout[] bare = [.. part.Select(r => new Rollout([.. r.Prompt, .. r.Tokens], r.Prompt.Length, 0, [], [], []))];
            (Tensor logs, Tensor values) = Evaluate(policy, value, policyWeights, bare, tokenizer.EndOfTextId);
            (Tensor referenceLogs, _) = Evaluate(reference, null, referenceWeights, bare, tokenizer.EndOfTextId);
            float[] scores = scorer.Score(scorerWeights, [.. bare.Select(b => b.Tokens)], tokenizer.EndOfTextId).data<float>().ToArray();
            float[] old = logs.data<float>().ToArray(), known = referenceLogs.data<float>().ToArray(), worth = values.data<float>().ToArray();
            for (int i = 0, at = 0; i < bare.Length; at += bare[i].ReplyLength, i++)
            {
                Range own = at..(at + bare[i].ReplyLength);
                double score = scores[i] - (part[i].Ended ? 0 : NoEndPenalty);
                scored.Add((part[i].Prompt, bare[i] with { Score = score, OldLogs = old[own], ReferenceLogs = known[own], Values = worth[own] }));
            }
        }

        // Against the mean of its prompt's replies: what is easy to answer well earns a reply nothing, and the value head
        // has only the rest to learn.
        return Whiten([.. scored.GroupBy(s => s.Prompt).SelectMany(same =>
        {
            double mean = same.Average(s => s.Rollout.Score);
            return same.Select(s => WithAdvantages(config, s.Rollout, s.Rollout.Score - mean));
        })]);
    }

    private static Rollout WithAdvantages(StageConfig config, Rollout rollout, double earned)
    {
        double[] rewards = [.. rollout.OldLogs.Zip(rollout.ReferenceLogs, (o, f) => -config.KlPenalty * (o - f))];
        rewards[^1] += earned;
        (float[] advantages, float[] returns) = Advantages(rewards, rollout.Values, config.Lambda);
        return rollout with { Advantages = advantages, Returns = returns };
    }

    private static Rollout[] Whiten(List<Rollout> rollouts)
    {
        float[] all = [.. rollouts.SelectMany(r => r.Advantages)];
        double mean = all.Average(), deviation = Math.Sqrt(all.Average(a => (a - mean) * (a - mean))) + 1e-6;
        return [.. rollouts.Select(r => r with { Advantages = [.. r.Advantages.Select(a => (float)((a - mean) / deviation))] })];
    }

    // Log-probabilities and values of all reply tokens, row after row: both [tokens].
    private static (Tensor Logs, Tensor Values) Evaluate(Transformer model, ScalarHead? value, WorkingWeights weights, Rollout[] part, int padding)
    {
        int length = part.Max(r => r.Tokens.Length);
        long[] tokens = [.. part.SelectMany(r => r.Tokens.Select(t => (long)t).Concat(Enumerable.Repeat((long)padding, length - r.Tokens.Length)))];
        long[] places = [.. part.SelectMany((r, i) => Enumerable.Range(r.PromptLength - 1, r.ReplyLength).Select(t => ((long)i * length) + t))];
        long[] targets = [.. part.SelectMany(r => r.Tokens.Skip(r.PromptLength).Select(t => (long)t))];
        Tensor hidden = model.Forward(weights, tensor(tokens, [part.Length, length]).to(model.Device)).reshape(-1, model.Config.Width)
            .index_select(0, tensor(places).to(model.Device));
        Tensor logs = nn.functional.log_softmax(Transformer.Logits(weights, hidden).to(ScalarType.Float32), -1)
            .gather(1, tensor(targets, [targets.Length, 1]).to(model.Device)).squeeze(1);
        return (logs, value is null ? zeros_like(logs) : value.Read(weights, hidden.detach()));
    }

    private static Tensor Flat(Rollout[] part, Func<Rollout, float[]> values) => tensor((float[])[.. part.SelectMany(values)]);
}
