using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Engine.Sampling;

public sealed class TokenMaskTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(130)]
    [InlineData(1000)]
    public void A_mask_agrees_with_a_set_of_tokens_through_random_operations(int vocabulary)
    {
        Random random = new(vocabulary);
        TokenMask mask = new(vocabulary), other = new(vocabulary);
        HashSet<int> set = [], otherSet = [];
        for (int step = 0; step < 2000; step++)
        {
            int token = random.Next(vocabulary);
            switch (random.Next(40))
            {
                case 0:
                    mask.ClearAll();
                    set.Clear();
                    break;
                case 1:
                    mask.SetAll();
                    set.UnionWith(Enumerable.Range(0, vocabulary));
                    break;
                case 2:
                    mask.And(other);
                    set.IntersectWith(otherSet);
                    break;
                case 3:
                    mask.Or(other);
                    set.UnionWith(otherSet);
                    break;
                case 4:
                    other.CopyFrom(mask);
                    otherSet = [.. set];
                    break;
                case < 25:
                    mask.Allow(token);
                    set.Add(token);
                    break;
                default:
                    mask.Forbid(token);
                    set.Remove(token);
                    break;
            }
            Assert.Equal(set.Count, mask.Count);
            Assert.Equal(set.Contains(token), mask.IsAllowed(token));
            Assert.Equal(set.Count == 0 ? null : set.Min(), mask.FirstAllowed);
        }
    }

    [Theory]
    [InlineData(5)]
    [InlineData(64)]
    [InlineData(200)]
    [InlineData(1031)]
    public void Applying_a_mask_touches_the_forbidden_logits_and_no_other(int vocabulary)
    {
        Random random = new(vocabulary);
        foreach (double share in new[] { 0, 0.01, 0.5, 0.99, 1 })
        {
            TokenMask mask = new(vocabulary);
            float[] logits = new float[vocabulary], expected = new float[vocabulary];
            for (int token = 0; token < vocabulary; token++)
            {
                logits[token] = expected[token] = token;
                if (random.NextDouble() < share)
                    mask.Allow(token);
                else
                    expected[token] = float.NegativeInfinity;
            }
            mask.Apply(logits);
            Assert.Equal(expected, logits);
        }
    }

    [Fact]
    public void Tokens_and_masks_of_another_vocabulary_are_refused()
    {
        TokenMask mask = new(100);
        Assert.Throws<ArgumentOutOfRangeException>(() => mask.Allow(100));
        Assert.Throws<ArgumentOutOfRangeException>(() => mask.Forbid(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => mask.IsAllowed(101));
        Assert.Throws<ArgumentException>(() => mask.And(new TokenMask(101)));
        Assert.Throws<ArgumentException>(() => mask.Apply(new float[99]));
    }
}
