using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Engine.Sampling;

public sealed class DryPenaltyTests
{
    private static readonly HashSet<int> Breaker = [9];

    private static float[] Penalties(DryOptions options, int[] prompt, int[] reply, int vocabulary = 10)
    {
        DryPenalty dry = new(options, prompt);
        foreach (int token in reply)
            dry.Accept(token);
        float[] logits = new float[vocabulary];
        dry.Apply(logits);
        return [.. logits.Select(logit => -logit)];
    }

    [Fact]
    public void A_token_that_would_go_on_with_a_repetition_is_held_back_by_its_length()
    {
        DryOptions options = new(1, 2, 2, -1) { Breakers = Breaker };
        Assert.Equal([0, 0, 0, 0, 2, 0, 0, 0, 0, 0], Penalties(options, [1, 2, 3, 4, 5], [1, 2, 3]));
        Assert.Equal([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], Penalties(options, [1, 2, 3, 4, 5], [1, 2]));
        Assert.Equal(new float[10], Penalties(options, [1, 2, 3, 4, 5], [1]));
        // Nothing is a repetition across a breaker, and a breaker is never held back.
        Assert.Equal(new float[10], Penalties(options, [1, 9, 3, 4, 5], [1, 9, 3]));
        Assert.Equal(new float[10], Penalties(options, [1, 2, 9], [1, 2]));
        // What lies too far back is forgotten.
        Assert.Equal(new float[10], Penalties(options with { LastTokens = 4 }, [1, 2, 3, 4, 5], [1, 2, 3]));
    }

    [Fact]
    public void A_repetition_without_end_costs_a_number()
    {
        float[] penalties = Penalties(new(5, 4, 0, -1) { Breakers = Breaker }, [.. Enumerable.Repeat(3, 5_000)], []);
        Assert.True(float.IsFinite(penalties[3]) && penalties[3] > 1e30f, $"{penalties[3]}");
    }

    [Fact]
    public void It_finds_what_comparing_every_place_finds()
    {
        Random random = new(42);
        for (int round = 0; round < 2_000; round++)
        {
            int[] tokens = [.. Enumerable.Range(0, random.Next(60)).Select(_ => random.Next(4) == 0 ? 9 - random.Next(2) : random.Next(3))];
            DryOptions options = new(0.5f, 1.5f, random.Next(4), random.Next(3) == 0 ? random.Next(40) : -1) { Breakers = Breaker };
            float[] expected = new float[10];
            int[] window = options.LastTokens < 0 ? tokens : tokens[^Math.Min(options.LastTokens, tokens.Length)..];
            for (int next = 1; next < window.Length; next++)
            {
                int length = 0;
                while (length < next && window[next - 1 - length] == window[^(length + 1)] && !Breaker.Contains(window[^(length + 1)]))
                    length++;
                if (length >= Math.Max(options.AllowedLength, 1) && !Breaker.Contains(window[next]))
                    expected[window[next]] = Math.Max(expected[window[next]], 0.5f * MathF.Pow(1.5f, length - options.AllowedLength));
            }
            float[] found = Penalties(options, tokens[..(tokens.Length / 2)], tokens[(tokens.Length / 2)..]);
            Assert.True(expected.Zip(found).All(pair => MathF.Abs(pair.First - pair.Second) < 1e-3f), $"round {round}: {string.Join(' ', tokens)} with {options}: {string.Join(' ', found)} and not {string.Join(' ', expected)}");
        }
    }
}
