using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Engine.Sampling;

public sealed class SamplerTests
{
    private const float Nothing = float.NegativeInfinity;

    /// <summary>Not multiples of a vector, one block, just over one block, many blocks.</summary>
    public static TheoryData<int> VocabularySizes => [1, 2, 7, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1000, 4099, 20011];

    [Theory]
    [MemberData(nameof(VocabularySizes))]
    public void Greedy_takes_the_first_of_the_largest_wherever_it_stands(int vocabulary)
    {
        Random random = new(vocabulary);
        for (int round = 0; round < 20; round++)
        {
            float[] logits = Normal(random, vocabulary, 2);
            int first = random.Next(vocabulary), second = random.Next(first, vocabulary);
            logits[first] = logits[second] = 50;
            Assert.Equal(first, Sample(SamplingOptions.Greedy, logits));
        }
    }

    [Fact]
    public void Equal_logits_give_the_lowest_token_and_zero_equals_minus_zero()
    {
        Assert.Equal(0, Sample(SamplingOptions.Greedy, new float[3000]));
        Assert.Equal(0, Sample(SamplingOptions.Greedy, [-0f, 0f, -1]));
        Assert.Equal(1, Sample(new SamplingOptions { TopK = 1 }, [-1, -0f, 0f]));
    }

    [Theory]
    [InlineData(0f, 0, 1f)]
    [InlineData(1f, 0, 1f)]
    [InlineData(1f, 3, 1f)]
    [InlineData(1f, 0, 0.7f)]
    public void NaN_and_minus_infinity_are_never_drawn(float temperature, int topK, float topP)
    {
        float[] logits = new float[2000];
        Array.Fill(logits, float.NaN);
        for (int i = 0; i < logits.Length; i += 3)
            logits[i] = Nothing;
        logits[700] = -5;
        logits[1999] = -6;
        for (ulong seed = 0; seed < 50; seed++)
        {
            SamplingOptions options = new() { Temperature = temperature, TopK = topK, TopP = topP, Seed = seed };
            Assert.Contains(Sample(options, logits), new[] { 700, 1999 });
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void A_row_without_any_number_is_a_named_error_on_every_path(float broken)
    {
        float[] logits = new float[1500];
        Array.Fill(logits, broken);
        TokenMask few = new(1500), all = new(1500);
        few.Allow(3);
        all.SetAll();
        foreach (SamplingOptions options in new SamplingOptions[]
                 {
                     SamplingOptions.Greedy, new(), new() { TopK = 5 }, new() { TopP = 0.5f }, new() { MinP = 0.1f },
                     new() { TypicalP = 0.5f }, new() { TopLogprobs = 3 },
                 })
        {
            foreach (TokenMask? mask in new[] { null, few, all, new TokenMask(1500) })
                Assert.Throws<NoTokenToSampleException>(() => new Sampler(options, [], 1500, 1).Sample((float[])logits.Clone(), mask));
        }
    }

    [Fact]
    public void Plus_infinity_is_taken_and_not_turned_into_NaN()
    {
        float[] logits = Normal(new Random(1), 3000, 1);
        logits[1234] = float.PositiveInfinity;
        TokenMask few = new(3000);
        few.Allow(1234);
        few.Allow(5);
        foreach (SamplingOptions options in new SamplingOptions[]
                 { SamplingOptions.Greedy, new(), new() { TopK = 5 }, new() { TopP = 0.5f }, new() { TypicalP = 0.5f }, new() { TopLogprobs = 2 } })
        {
            Assert.Equal(1234, Sample(options, logits));
            SampledToken masked = new Sampler(options, [], 3000, 1).Sample((float[])logits.Clone(), few);
            Assert.Equal(1234, masked.Token);
            Assert.True(masked.Logprobs is null or { Logprob: 0 });
        }
    }

    [Theory]
    [InlineData(1f, 0, 1f, 0f, 1f)]
    [InlineData(0.6f, 0, 1f, 0f, 1f)]
    [InlineData(1.7f, 0, 1f, 0f, 1f)]
    [InlineData(1f, 5, 1f, 0f, 1f)]
    [InlineData(1f, 0, 0.8f, 0f, 1f)]
    [InlineData(1f, 0, 0.2f, 0f, 1f)]
    [InlineData(1f, 0, 1f, 0.1f, 1f)]
    [InlineData(1f, 0, 0.9f, 0.05f, 1f)]
    [InlineData(1f, 0, 1f, 0f, 0.6f)]
    [InlineData(1.2f, 20, 0.9f, 0.02f, 0.9f)]
    public void Draws_follow_the_exact_distribution(float temperature, int topK, float topP, float minP, float typicalP)
    {
        const int Draws = 40_000;
        float[] logits = Normal(new Random(11), 700, 1.5);
        logits[650] = 6;
        logits[3] = 5.5f;
        SamplingOptions options = new() { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, TypicalP = typicalP, Seed = 5 };
        double[] expected = NaiveSampling.Probabilities(logits, options, out double closestCall);
        Assert.True(closestCall > 1e-6, "choose other logits: the reference itself is undecided");

        int[] counts = new int[logits.Length];
        Sampler sampler = new(options, [], logits.Length, 0);
        for (int i = 0; i < Draws; i++)
        {
            int token = sampler.Sample(logits).Token;
            counts[token]++;
            sampler.Accept(token);
        }
        AssertChiSquare(expected, counts, Draws);
    }

    // Probabilities 0.4, 0.3, 0.2 and 0.1 among thousands that have none.
    private static float[] FourTokens()
    {
        float[] logits = new float[5000];
        Array.Fill(logits, float.NegativeInfinity);
        (int Token, double Probability)[] tokens = [(17, 0.4), (2100, 0.3), (4000, 0.2), (4999, 0.1)];
        foreach ((int token, double probability) in tokens)
            logits[token] = (float)Math.Log(probability);
        return logits;
    }

    [Theory]
    [InlineData(1f, 0.15f, 0, 0, 2 / 3.0, 1 / 3.0)] // of three that are likely the least likely stays
    [InlineData(0.5f, 0.15f, 0.2, 0.15, 0.1 + (1 / 3.0), 0.05 + (1 / 6.0))] // in half of the draws
    [InlineData(1f, 0.35f, 0.4, 0.3, 0.2, 0.1)] // one alone is never excluded
    [InlineData(1f, 0.6f, 0.4, 0.3, 0.2, 0.1)] // none is that likely
    public void Xtc_excludes_all_but_the_least_likely_of_the_likely_as_often_as_it_is_told(float probability, float threshold, double first, double second, double third, double fourth)
    {
        const int Draws = 20_000;
        float[] logits = FourTokens();
        Sampler sampler = new(new() { XtcProbability = probability, XtcThreshold = threshold, Seed = 3 }, [], logits.Length, 0);
        Dictionary<int, int> counts = new() { [17] = 0, [2100] = 0, [4000] = 0, [4999] = 0 };
        for (int i = 0; i < Draws; i++)
        {
            int token = sampler.Sample(logits).Token;
            counts[token]++;
            sampler.Accept(token);
        }
        AssertChiSquare([first, second, third, fourth], [.. counts.Values], Draws);
    }

    [Theory]
    [InlineData(0, 700)]
    [InlineData(1.5f, 60)]
    [InlineData(3f, 700)]
    public void Top_n_sigma_keeps_what_is_near_the_largest_logit_at_any_temperature(float sigmas, int most)
    {
        float[] logits = Normal(new Random(11), 700, 1.5);
        double mean = logits.Average(), deviation = Math.Sqrt(logits.Average(logit => Math.Pow(logit - mean, 2)));
        HashSet<int> kept = [.. Enumerable.Range(0, logits.Length).Where(token => sigmas == 0 || logits[token] >= logits.Max() - (sigmas * deviation))];
        foreach (float temperature in (float[])[0.7f, 2])
        {
            Sampler sampler = new(new() { Temperature = temperature, TopNSigma = sigmas, Seed = 5 }, [], logits.Length, 0);
            HashSet<int> drawn = [];
            for (int i = 0; i < 5_000; i++)
            {
                int token = sampler.Sample(logits).Token;
                drawn.Add(token);
                sampler.Accept(token);
            }
            Assert.Subset(kept, drawn);
            Assert.InRange(kept.Count, 2, most);
            if (sigmas > 0 && temperature == 2)
                Assert.True(drawn.Count >= Math.Min(kept.Count, 50) * 0.9, $"{drawn.Count} of {kept.Count}");
        }
    }

    [Theory]
    [InlineData(1f, 0.5f, 1f, 1f, 0)]
    [InlineData(0.8f, 2f, 1f, 1f, 0)] // as far as 0 below
    [InlineData(1f, 0.5f, 2.5f, 0.9f, 0)]
    [InlineData(1.2f, 0.9f, 0.5f, 1f, 20)]
    public void A_dynamic_temperature_follows_the_entropy_of_what_is_left(float temperature, float range, float exponent, float topP, int topK)
    {
        const int Draws = 20_000;
        float[] logits = Normal(new Random(11), 300, 1.5);
        SamplingOptions options = new() { Temperature = temperature, DynamicTemperatureRange = range, DynamicTemperatureExponent = exponent, TopP = topP, TopK = topK, Seed = 5 };
        double[] expected = NaiveSampling.Probabilities(logits, options, out double closestCall), still = NaiveSampling.Probabilities(logits, options with { DynamicTemperatureRange = 0 }, out _);
        Assert.True(closestCall > 1e-6, "choose other logits: the reference itself is undecided");
        Assert.True(Math.Abs(expected.Max() - still.Max()) > 0.01, "choose other options: nothing would change");
        int[] counts = new int[logits.Length];
        Sampler sampler = new(options, [], logits.Length, 0);
        for (int i = 0; i < Draws; i++)
        {
            int token = sampler.Sample(logits).Token;
            counts[token]++;
            sampler.Accept(token);
        }
        AssertChiSquare(expected, counts, Draws);
        Assert.Equal(Sample(SamplingOptions.Greedy, logits), Sample(options with { Temperature = 0 }, logits));
    }

    [Theory]
    [InlineData(300)]
    [InlineData(5000)]
    public void A_sparse_and_a_dense_mask_give_the_distribution_of_the_allowed_tokens(int vocabulary)
    {
        const int Draws = 20_000;
        Random random = new(3);
        float[] logits = Normal(random, vocabulary, 1);
        foreach (int allowed in new[] { 12, vocabulary / 2 })
        {
            TokenMask mask = new(vocabulary);
            while (mask.Count < allowed)
                mask.Allow(random.Next(vocabulary));
            float[] masked = logits.Select((logit, i) => mask.IsAllowed(i) ? logit : Nothing).ToArray();
            SamplingOptions options = new() { Seed = 9, TopP = 0.95f };
            double[] expected = NaiveSampling.Probabilities(masked, options, out _);
            int[] counts = new int[vocabulary];
            Sampler sampler = new(options, [], vocabulary, 0);
            for (int i = 0; i < Draws; i++)
            {
                int token = sampler.Sample((float[])logits.Clone(), mask).Token;
                counts[token]++;
                sampler.Accept(token);
            }
            AssertChiSquare(expected, counts, Draws);
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1f)]
    [InlineData(2f)]
    public void With_all_but_one_masked_only_that_one_is_drawn(float temperature)
    {
        const int Vocabulary = 1003;
        float[] logits = Normal(new Random(8), Vocabulary, 5);
        for (int token = 0; token < Vocabulary; token += 59)
        {
            TokenMask mask = new(Vocabulary);
            mask.Allow(token);
            logits[token] = -1e30f;
            SamplingOptions options = new() { Temperature = temperature, TopP = 0.3f, Seed = 1 };
            Assert.Equal(token, new Sampler(options, [], Vocabulary, 0).Sample((float[])logits.Clone(), mask).Token);
        }
    }

    [Fact]
    public void Every_truncation_keeps_exactly_the_tokens_that_the_naive_reference_keeps()
    {
        int seed = 20260;
        Random random = new(seed);
        for (int round = 0; round < 120; round++)
        {
            int vocabulary = random.Next(2) == 0 ? random.Next(2, 60) : random.Next(500, 3000);
            float[] logits = Normal(random, vocabulary, random.NextDouble() * 4 + 0.05);
            if (random.Next(3) == 0)
            {
                for (int i = 0; i < vocabulary; i++)
                    logits[i] = MathF.Round(logits[i] * 4) / 4; // Many ties.
            }
            SamplingOptions options = new()
            {
                Temperature = 0.3f + 1.5f * random.NextSingle(),
                TopK = random.Next(3) == 0 ? random.Next(1, vocabulary + 3) : 0,
                TopP = random.Next(2) == 0 ? random.NextSingle() : 1,
                MinP = random.Next(3) == 0 ? random.NextSingle() * 0.5f : 0,
                TypicalP = random.Next(4) == 0 ? random.NextSingle() : 1,
            };
            double[] expected = NaiveSampling.Probabilities(logits, options, out double closestCall);
            if (closestCall < 1e-5)
                continue;
            Sampler sampler = new(options with { Seed = (ulong)round }, [], vocabulary, 0);
            HashSet<int> drawn = [];
            for (int i = 0; i < 400; i++)
            {
                int token = sampler.Sample(logits).Token;
                drawn.Add(token);
                Assert.True(expected[token] > 0, $"seed {seed}, round {round}: drew {token}, which the reference drops; {options}");
                sampler.Accept(token);
            }
            for (int token = 0; token < vocabulary; token++)
                Assert.True(expected[token] < 0.06 || drawn.Contains(token), $"seed {seed}, round {round}: never drew {token}; {options}");
        }
    }

    [Theory]
    [InlineData(1e-30f)]
    [InlineData(1e-5f)]
    [InlineData(0.01f)]
    public void A_very_cold_temperature_is_greedy(float temperature)
    {
        float[] logits = Normal(new Random(4), 5000, 3);
        int best = Sample(SamplingOptions.Greedy, logits);
        logits[best] += 1;
        for (ulong seed = 0; seed < 20; seed++)
        {
            Assert.Equal(best, Sample(new SamplingOptions { Temperature = temperature, Seed = seed }, logits));
            Assert.Equal(best, Sample(new SamplingOptions { Temperature = temperature, TopP = 0.9f, MinP = 0.1f, Seed = seed }, logits));
        }
    }

    [Fact]
    public void A_very_hot_temperature_is_uniform_and_finite_giants_do_not_overflow()
    {
        float[] logits = [float.MaxValue, float.MinValue, float.MaxValue];
        int[] counts = new int[3];
        Sampler sampler = new(new SamplingOptions { Temperature = 1e30f, Seed = 1 }, [], 3, 0);
        float[] plain = [0, 5, 10];
        for (int i = 0; i < 3000; i++)
        {
            counts[sampler.Sample(plain).Token]++;
            sampler.Accept(0);
        }
        AssertChiSquare([1 / 3.0, 1 / 3.0, 1 / 3.0], counts, 3000);
        for (ulong seed = 0; seed < 20; seed++)
            Assert.NotEqual(1, Sample(new SamplingOptions { Seed = seed, TopP = 0.99f }, logits));
    }

    [Fact]
    public void Penalties_change_the_logits_by_the_documented_amounts()
    {
        SamplingOptions options = new()
        { Temperature = 0, RepetitionPenalty = 2, FrequencyPenalty = 0.5f, PresencePenalty = 0.25f, LogitBias = [new(5, 1.5f), new(0, -100)] };
        Sampler sampler = new(options, [1, 2, 2], 8, 0);
        sampler.Accept(2);
        sampler.Accept(3);
        sampler.Accept(3);
        float[] logits = [4, 4, 4, -4, 4, 4, -1, 0];
        Assert.Equal(5, sampler.Sample(logits).Token);
        Assert.Equal([-96, 2, 2 - 0.5f - 0.25f, -8 - 1f - 0.25f, 4, 5.5f, -1, 0], logits);
    }

    [Fact]
    public void The_prompt_counts_for_repetition_but_not_for_presence_or_frequency()
    {
        Sampler sampler = new(new SamplingOptions { Temperature = 0, FrequencyPenalty = 2, PresencePenalty = 2 }, [0, 0, 0], 2, 0);
        Assert.Equal(0, sampler.Sample([1, 0.5f]).Token);
        sampler.Accept(0);
        Assert.Equal(1, sampler.Sample([1, 0.5f]).Token);
    }

    [Fact]
    public void The_same_seed_gives_the_same_tokens_whatever_else_is_sampled_between()
    {
        float[] logits = Normal(new Random(2), 3000, 1);
        SamplingOptions options = new() { Seed = 77, TopP = 0.9f };
        List<int> alone = Run(new Sampler(options, [], 3000, 1), null);
        List<int> interleaved = Run(new Sampler(options, [], 3000, 2), new Sampler(options with { Seed = 78 }, [], 3000, 3));
        List<int> other = Run(new Sampler(options with { Seed = 78 }, [], 3000, 4), null);
        Assert.Equal(alone, interleaved);
        Assert.NotEqual(alone, other);

        List<int> Run(Sampler sampler, Sampler? noise)
        {
            List<int> tokens = [];
            for (int i = 0; i < 30; i++)
            {
                for (int again = 0; again < i % 3; again++)
                {
                    noise?.Sample(logits);
                    if (noise is not null)
                        sampler.Sample(logits); // Not accepted: a draft's row that is thrown away.
                }
                int token = sampler.Sample(logits).Token;
                sampler.Accept(token);
                tokens.Add(token);
            }
            return tokens;
        }
    }

    [Fact]
    public void A_resumed_sequence_draws_what_the_uninterrupted_one_would()
    {
        float[] logits = Normal(new Random(6), 2000, 1);
        SamplingOptions options = new() { Seed = 3, FrequencyPenalty = 0.3f };
        Sampler first = new(options, [], 2000, 0);
        List<int> tokens = [];
        for (int i = 0; i < 20; i++)
        {
            tokens.Add(first.Sample((float[])logits.Clone()).Token);
            first.Accept(tokens[^1]);
        }
        Sampler resumed = new(options, [], 2000, 0);
        foreach (int token in tokens.Take(12))
            resumed.Accept(token);
        for (int i = 12; i < 20; i++)
        {
            Assert.Equal(tokens[i], resumed.Sample((float[])logits.Clone()).Token);
            resumed.Accept(tokens[i]);
        }
    }

    [Fact]
    public void Without_a_seed_the_fallback_decides()
    {
        float[] logits = new float[100_000];
        HashSet<int> drawn = [];
        for (ulong seed = 0; seed < 50; seed++)
            drawn.Add(new Sampler(SamplingOptions.Default, [], logits.Length, seed).Sample(logits).Token);
        Assert.True(drawn.Count >= 48, "neighbouring seeds must draw unrelated tokens");
    }

    [Fact]
    public void Logprobs_are_of_the_untouched_row_best_first()
    {
        float[] logits = Normal(new Random(12), 12_345, 2);
        double max = logits.Max(), normaliser = max + Math.Log(logits.Sum(v => Math.Exp(v - max)));
        int[] best = Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(20).ToArray();
        SamplingOptions options = new() { Temperature = 0, TopLogprobs = 20, LogitBias = [new(best[0], -50), new(77, 60)], PresencePenalty = 1 };
        SampledToken sampled = new Sampler(options, [], logits.Length, 0).Sample((float[])logits.Clone());
        Assert.Equal(77, sampled.Token);
        Assert.Equal(77, sampled.Logprobs!.Token);
        Assert.Equal(logits[77] - normaliser, sampled.Logprobs.Logprob, 4);
        Assert.Equal(best, sampled.Logprobs.Top.Select(t => t.Token));
        Assert.All(sampled.Logprobs.Top, t => Assert.Equal(logits[t.Token] - normaliser, t.Logprob, 4));

        Assert.Empty(new Sampler(options with { TopLogprobs = 0 }, [], logits.Length, 0).Sample((float[])logits.Clone()).Logprobs!.Top);
        Assert.Null(new Sampler(options with { TopLogprobs = null }, [], logits.Length, 0).Sample((float[])logits.Clone()).Logprobs);
    }

    [Fact]
    public void Fewer_tokens_than_asked_for_give_fewer_logprobs_and_none_is_minus_infinity()
    {
        SampledToken sampled = new Sampler(new SamplingOptions { Temperature = 0, TopLogprobs = 5 }, [], 4, 0).Sample([1, Nothing, float.NaN, -50_000]);
        Assert.Equal([0, 3], sampled.Logprobs!.Top.Select(t => t.Token));
        Assert.Equal(Sampler.LowestLogprob, sampled.Logprobs.Top[1].Logprob);
    }

    [Fact]
    public void Sampling_allocates_nothing_once_warm()
    {
        const int Vocabulary = 20_000;
        float[] logits = Normal(new Random(1), Vocabulary, 2), work = new float[Vocabulary];
        TokenMask sparse = new(Vocabulary);
        sparse.Allow(5);
        foreach (SamplingOptions options in new SamplingOptions[]
                 {
                     SamplingOptions.Greedy, new(), new() { TopP = 0.9f }, new() { TopK = 40, MinP = 0.1f }, new() { TypicalP = 0.9f },
                     new() { PresencePenalty = 1, LogitBias = [new(1, 1)] },
                 })
        {
            Sampler sampler = new(options, [], Vocabulary, 1);
            sampler.Accept(1);
            for (int i = 0; i < 5; i++)
                Draw();
            // What the runtime allocates once, when it swaps a method's code, is not the sampler's: what is allocated in every round is.
            long least = Enumerable.Range(0, 3).Min(_ =>
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < 50; i++)
                    Draw();
                return GC.GetAllocatedBytesForCurrentThread() - before;
            });
            Assert.True(least == 0, $"{least} bytes in 50 draws with {options}");

            void Draw()
            {
                logits.CopyTo(work, 0);
                sampler.Sample(work);
                sampler.Sample(work, sparse);
            }
        }
    }

    [Fact]
    public void Options_and_tokens_out_of_range_are_refused_by_name()
    {
        Refuses(new() { Temperature = float.NaN }, "Temperature");
        Refuses(new() { Temperature = -1 }, "Temperature");
        Refuses(new() { TopK = -1 }, "TopK");
        Refuses(new() { TopP = 1.1f }, "TopP");
        Refuses(new() { MinP = float.NaN }, "MinP");
        Refuses(new() { TypicalP = -0.1f }, "TypicalP");
        Refuses(new() { TopNSigma = -1 }, "TopNSigma");
        Refuses(new() { XtcProbability = 1.1f }, "XtcProbability");
        Refuses(new() { XtcThreshold = float.NaN }, "XtcThreshold");
        Refuses(new() { DynamicTemperatureRange = -1 }, "DynamicTemperatureRange");
        Refuses(new() { DynamicTemperatureExponent = 0 }, "DynamicTemperatureExponent");
        Refuses(new() { Mirostat = 3 }, "Mirostat");
        Refuses(new() { MirostatTau = float.NaN }, "MirostatTau");
        Refuses(new() { MirostatEta = -1 }, "MirostatEta");
        Refuses(new() { RepetitionPenalty = 0 }, "RepetitionPenalty");
        Refuses(new() { TopLogprobs = 21 }, "TopLogprobs");
        Refuses(new() { LogitBias = [new(10, 1)] }, "LogitBias");
        Refuses(new() { LogitBias = [new(1, float.NaN)] }, "LogitBias");
        Assert.Throws<ArgumentOutOfRangeException>(() => new Sampler(new(), [3, 10], 10, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Sampler(new(), [], 10, 0).Accept(-1));
        Assert.Throws<ArgumentException>(() => new Sampler(new(), [], 10, 0).Sample(new float[9]));
        Assert.Throws<ArgumentException>(() => new Sampler(new(), [], 10, 0).Sample(new float[10], new TokenMask(11)));

        static void Refuses(SamplingOptions options, string name) =>
            Assert.Contains(name, Assert.ThrowsAny<ArgumentException>(() => new Sampler(options, [], 10, 0)).Message, StringComparison.Ordinal);
    }

    private static int Sample(SamplingOptions options, float[] logits) =>
        new Sampler(options, [], logits.Length, 1).Sample((float[])logits.Clone()).Token;

    private static float[] Normal(Random random, int count, double deviation)
    {
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (float)(deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    /// <summary>Cells of fewer than 5 expected draws are pooled; the bound is five standard deviations above the mean of chi-square.</summary>
    private static void AssertChiSquare(double[] expected, int[] counts, int draws)
    {
        double statistic = 0, pooledExpected = 0, pooledCount = 0;
        int cells = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.False(expected[i] == 0 && counts[i] > 0, $"token {i} cannot occur but was drawn {counts[i]} times");
            if (expected[i] * draws < 5)
            {
                pooledExpected += expected[i] * draws;
                pooledCount += counts[i];
                continue;
            }
            statistic += Math.Pow(counts[i] - expected[i] * draws, 2) / (expected[i] * draws);
            cells++;
        }
        if (pooledExpected >= 5)
        {
            statistic += Math.Pow(pooledCount - pooledExpected, 2) / pooledExpected;
            cells++;
        }
        int freedom = Math.Max(1, cells - 1);
        double bound = freedom + 5 * Math.Sqrt(2.0 * freedom);
        Assert.True(statistic <= bound, $"chi-square {statistic:F1} over {freedom} degrees of freedom, bound {bound:F1}");
    }
}
