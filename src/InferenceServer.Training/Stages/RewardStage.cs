// Learns to score replies from comparisons (Bradley-Terry): the SFT model's body with one number read at the last token.
// One thread plus workers inside a step.
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Tokenizer;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Stages;

public static class RewardStage
{
    private const int PairsAtOnce = 8;

    /// <summary>Trains for the configured steps; resumes a checkpoint in <paramref name="folder"/>. Returns the loss of each step run.</summary>
    public static IReadOnlyList<double> Run(
        StageConfig config, BpeTokenizer tokenizer, IReadOnlyList<Comparison> pairs, string folder, string from, TimeProvider time, CancellationToken stop)
    {
        Directory.CreateDirectory(folder);
        set_num_threads(1);
        string path = Path.Combine(folder, "checkpoint.bin");
        using var scorer = RewardModel.Load(File.Exists(path) ? path : from);
        Dictionary<string, Tensor> all = scorer.AllWeights();
        using var optimizer = new MuonOptimizer(all, config.Optimizer);
        RunState state = new() { Model = scorer.Body.Config, RandomState = (ulong)config.Seed };
        if (File.Exists(path))
        {
            state = Checkpoint.Restore(path, optimizer);
        }

        var progress = new Progress(folder, state.Step, time, "loss", "accuracy");
        List<double> losses = [];
        long saveAt = time.GetTimestamp();
        ScalarType type = config.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
        while (state.Step < config.Steps && !stop.IsCancellationRequested)
        {
            var random = new SeededRandom(state.RandomState);
            // Similar lengths together: less padding.
            Comparison[] drawn = [.. Enumerable.Range(0, config.MicroBatches * PairsAtOnce).Select(_ => random.Pick(pairs))];
            Comparison[][] parts = [.. drawn.OrderBy(p => p.Prompt.Sum(m => m.Text.Length) + Math.Max(p.Chosen.Length, p.Rejected.Length)).Chunk(PairsAtOnce)];
            var right = new int[parts.Length];
            double[] loss = GradientPass.Run(scorer.Body, scorer.Head.Weights, parts.Length, config.Workers, type, 1.0 / parts.Length, (i, weights) =>
            {
                Tensor scores = scorer.Score(weights, [.. parts[i].SelectMany(p => new[] { Encode(tokenizer, p, p.Chosen), Encode(tokenizer, p, p.Rejected) })], tokenizer.EndOfTextId);
                Tensor margin = scores.view(-1, 2).select(1, 0) - scores.view(-1, 2).select(1, 1);
                right[i] = margin.data<float>().Count(m => m > 0);
                return -nn.functional.logsigmoid(margin).mean();
            });
            optimizer.Step(config.RateFactor(state.Step));
            losses.Add(loss.Sum());
            state = state with { Step = state.Step + 1, Updates = optimizer.Updates, RandomState = random.State };
            progress.Report(state.Step, config.Steps, state.Step * parts.Length * PairsAtOnce, loss.Sum(), (double)right.Sum() / (parts.Length * PairsAtOnce));
            if (time.GetElapsedTime(saveAt).TotalSeconds >= config.CheckpointSeconds)
            {
                Checkpoint.Save(path, state, all, optimizer);
                saveAt = time.GetTimestamp();
            }
        }

        Checkpoint.Save(path, state, all, optimizer);
        progress.Plot();
        return losses;
    }

    /// <summary>Share of pairs whose better reply scores higher, by kind and over all ("all").</summary>
    public static IReadOnlyDictionary<string, double> Accuracy(RewardModel scorer, BpeTokenizer tokenizer, IReadOnlyList<Comparison> pairs)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        List<(string Kind, bool Right)> results = [];
        WorkingWeights weights = scorer.Cast(ScalarType.BFloat16);
        foreach (Comparison[] part in pairs.Chunk(PairsAtOnce))
        {
            using DisposeScope local = NewDisposeScope();
            float[] scores = scorer.Score(weights, [.. part.SelectMany(p => new[] { Encode(tokenizer, p, p.Chosen), Encode(tokenizer, p, p.Rejected) })], tokenizer.EndOfTextId).data<float>().ToArray();
            results.AddRange(part.Select((p, i) => (p.Kind, scores[2 * i] > scores[(2 * i) + 1])));
        }

        return results.Select(r => ("all", r.Right)).Concat(results).GroupBy(r => r.Item1, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.Average(r => r.Item2 ? 1.0 : 0.0), StringComparer.Ordinal);
    }

    private static int[] Encode(BpeTokenizer tokenizer, Comparison pair, string reply) =>
        [.. ChatFormat.EncodePrompt(tokenizer, pair.Prompt), .. tokenizer.Encode(reply), tokenizer.MessageEndId];
}

/// <summary>A body and the head that reads a reply's score at its last token.</summary>
public sealed class RewardModel : IDisposable
{
    private RewardModel(Transformer body, ScalarHead head) => (Body, Head) = (body, head);

    public Transformer Body { get; }

    public ScalarHead Head { get; }

    /// <summary>From a reward checkpoint, or from a language model's with a fresh head.</summary>
    public static RewardModel Load(string path)
    {
        Transformer body = Commands.LoadModel(path);
        var head = new ScalarHead("reward", body.Config.Width, body.Device);
        Checkpoint.CopyPresent(path, head.Weights);
        return new RewardModel(body, head);
    }

    public Dictionary<string, Tensor> AllWeights() =>
        Body.Weights.Concat(Head.Weights).ToDictionary(p => p.Key, p => p.Value, StringComparer.Ordinal);

    public WorkingWeights Cast(ScalarType type) => Body.Cast(type, Head.Weights);

    /// <summary>Scores [rows] of token rows of any lengths; the last token of each is where it is read.</summary>
    public Tensor Score(WorkingWeights weights, int[][] rows, int padding)
    {
        // Rows longer than the context lose their beginning, never their reply.
        rows = [.. rows.Select(r => r.Length <= Body.Config.ContextLength ? r : r[^Body.Config.ContextLength..])];
        int length = rows.Max(r => r.Length);
        long[] tokens = [.. rows.SelectMany(r => r.Select(t => (long)t).Concat(Enumerable.Repeat((long)padding, length - r.Length)))];
        long[] last = [.. rows.Select((r, i) => ((long)i * length) + r.Length - 1)];
        Tensor hidden = Body.Forward(weights, tensor(tokens, [rows.Length, length]).to(Body.Device));
        return Head.Read(weights, hidden.reshape(-1, Body.Config.Width).index_select(0, tensor(last).to(Body.Device)));
    }

    public void Dispose()
    {
        Body.Dispose();
        Head.Dispose();
    }
}
