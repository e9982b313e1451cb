// Samples replies for many prompts in lockstep over one KV cache: step t feeds token t of every row, from its prompt
// while that lasts and from its own reply after. Groups of prompts may run side by side; each has its own seed, so the
// replies do not depend on which was faster.
using InferenceServer.Training.Corpus;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Model;

/// <summary>A sampled reply: its tokens (with the end token when it ended) and the log-probability of each at temperature 1.</summary>
public sealed record Reply(int[] Prompt, int[] Tokens, float[] LogProbabilities, bool Ended);

public sealed class ReplySampler(Transformer model, int endToken, SeededRandom random, int workers = 1)
{
    private const int RowsAtOnce = 32;

    /// <param name="prompts">Token sequences, each ending where the reply begins.</param>
    /// <param name="maxTokens">Longest reply.</param>
    /// <param name="temperature">0 takes the likeliest token.</param>
    /// <param name="forced">When true, the end token is never drawn (to look for loops).</param>
    public IReadOnlyList<Reply> Sample(IReadOnlyList<int[]> prompts, int maxTokens, double temperature, bool forced = false)
    {
        // Similar lengths together: a row idles while a shorter prompt of its group is already answering.
        int[] order = [.. Enumerable.Range(0, prompts.Count).OrderBy(i => prompts[i].Length)];
        var replies = new Reply[prompts.Count];
        (int[] Rows, ulong Seed)[] groups = [.. order.Chunk(RowsAtOnce).Select(rows => (rows, random.NextBits()))];
        Parallel.ForEach(groups, new ParallelOptions { MaxDegreeOfParallelism = workers }, part =>
        {
            int[] group = part.Rows;
            Reply[] some = SampleGroup([.. group.Select(i => prompts[i])], maxTokens, temperature, forced, new SeededRandom(part.Seed));
            for (int i = 0; i < group.Length; i++)
            {
                replies[group[i]] = some[i];
            }
        });

        return replies;
    }

    private Reply[] SampleGroup(int[][] prompts, int maxTokens, double temperature, bool forced, SeededRandom draws)
    {
        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        int rows = prompts.Length, shortest = prompts.Min(p => p.Length);
        int capacity = Math.Min(prompts.Max(p => p.Length) + maxTokens, model.Config.ContextLength);
        WorkingWeights weights = model.Cast(ScalarType.BFloat16);
        using var cache = new KvCache(model.Config, rows, capacity, ScalarType.BFloat16, model.Device);
        List<int>[] replies = [.. prompts.Select(_ => new List<int>())];
        List<float>[] logs = [.. prompts.Select(_ => new List<float>())];
        var ended = new bool[rows];
        long[] input = [.. prompts.SelectMany(p => p.Take(shortest)).Select(t => (long)t)];
        int time = shortest;
        for (int position = shortest; ; position++)
        {
            using DisposeScope step = NewDisposeScope();
            Tensor hidden = model.Forward(weights, tensor(input, [rows, time]), cache);
            Tensor logits = Transformer.Logits(weights, hidden.narrow(1, time - 1, 1).squeeze(1)).to(ScalarType.Float32);
            float[] scores = logits.data<float>().ToArray();
            input = new long[rows];
            time = 1;
            for (int row = 0; row < rows; row++)
            {
                if (position < prompts[row].Length)
                {
                    input[row] = prompts[row][position];
                }
                else if (!ended[row] && replies[row].Count < maxTokens)
                {
                    Span<float> own = scores.AsSpan(row * model.Config.VocabularySize, model.Config.VocabularySize);
                    if (forced)
                    {
                        own[endToken] = float.NegativeInfinity;
                    }

                    (int token, float log) = Draw(own, temperature, draws);
                    replies[row].Add(token);
                    logs[row].Add(log);
                    ended[row] = token == endToken;
                    input[row] = token;
                }
            }

            bool done = Enumerable.Range(0, rows).All(r => position >= prompts[r].Length && (ended[r] || replies[r].Count >= maxTokens));
            if (done || position >= capacity)
            {
                return [.. Enumerable.Range(0, rows).Select(r => new Reply(prompts[r], [.. replies[r]], [.. logs[r]], ended[r]))];
            }
        }
    }

    private static (int Token, float LogProbability) Draw(Span<float> scores, double temperature, SeededRandom draws)
    {
        float largest = float.NegativeInfinity;
        int likeliest = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (scores[i] > largest)
            {
                (largest, likeliest) = (scores[i], i);
            }
        }

        double sum = 0, heated = 0;
        foreach (float score in scores)
        {
            sum += Math.Exp(score - largest);
            heated += temperature > 0 ? Math.Exp((score - largest) / temperature) : 0;
        }

        int token = likeliest;
        if (temperature > 0)
        {
            double at = draws.NextDouble() * heated;
            for (int i = 0; i < scores.Length && at >= 0; i++)
            {
                double share = Math.Exp((scores[i] - largest) / temperature);
                at -= share;
                token = share > 0 ? i : token;
            }
        }

        return (token, (float)(scores[token] - largest - Math.Log(sum)));
    }
}
