using InferenceServer.Llama;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>Short ways to decode in tests.</summary>
internal static class Decoding
{
    /// <summary>Decodes tokens from a position on and returns the logits after the last.</summary>
    public static float[] Feed(this LlamaContext context, int sequence, ReadOnlySpan<int> tokens, int start)
    {
        using var batch = new LlamaBatch(context.BatchSize);
        float[] logits = [];
        for (int done = 0; done < tokens.Length;)
        {
            int count = Math.Min(context.BatchSize, tokens.Length - done);
            batch.Clear();
            for (int i = 0; i < count; i++)
                batch.Add(tokens[done + i], start + done + i, sequence, done + i == tokens.Length - 1);
            Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
            done += count;
            if (done == tokens.Length)
                logits = context.Logits(count - 1).ToArray();
        }

        return logits;
    }

    /// <summary>Continues greedily after <paramref name="logits"/> and returns the tokens taken.</summary>
    public static int[] Greedy(this LlamaContext context, int sequence, float[] logits, int position, int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = ArgMax(logits);
            logits = context.Feed(sequence, [tokens[i]], position + i);
        }

        return tokens;
    }

    /// <summary>Decodes one token that wants an output and returns its row.</summary>
    public static int Decode1(this LlamaContext context, int sequence, int token, int position)
    {
        using var batch = new LlamaBatch(1);
        int row = batch.Add(token, position, sequence, true);
        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        return row;
    }

    public static int ArgMax(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
            best = logits[i] > logits[best] ? i : best;
        return best;
    }

    public static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        float largest = 0;
        for (int i = 0; i < expected.Length; i++)
            largest = Math.Max(largest, Math.Abs(expected[i] - actual[i]));
        Assert.True(largest <= tolerance, $"logits differ by {largest}");
    }
}
