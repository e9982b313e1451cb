using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Engine.Sampling;

/// <summary>Guards Mirostat against its definition, written the slow way in double precision, with the sampler's own random numbers: token by token the same.</summary>
public sealed class MirostatTests
{
    private const ulong Seed = 7;

    /// <summary>The number of a position that a truncated draw uses.</summary>
    private const ulong NumberOfDraw = 8;

    public static TheoryData<int, float, float, float, int> Cases => new()
    {
        { 1, 3, 0.1f, 1, 700 }, { 1, 5, 0.5f, 0.7f, 5000 }, { 1, 1, 1, 1.5f, 64 }, { 2, 3, 0.1f, 1, 700 }, { 2, 5, 0.5f, 0.7f, 5000 }, { 2, 0.5f, 1, 1.5f, 64 },
        { 1, 0, 1, 1, 30 }, { 2, 0, 1, 1, 30 }, { 1, 4, 0.2f, 1, 1 }, { 2, 4, 0.2f, 1, 1 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_token_is_the_definitions(int version, float tau, float eta, float temperature, int vocabulary)
    {
        Random random = new(vocabulary);
        Sampler sampler = new(Options(version, tau, eta, temperature), [], vocabulary, 0);
        Reference reference = new(version, tau, eta, temperature, vocabulary);
        for (int position = 0; position < 300; position++)
        {
            float[] logits = Normal(random, vocabulary);
            int token = sampler.Sample((float[])logits.Clone()).Token;
            Assert.Equal(reference.Draw(logits, position), token);
            sampler.Accept(token);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Only_what_was_drawn_and_joined_the_reply_steers(int version)
    {
        const int Vocabulary = 700;
        Random random = new(version);
        Sampler sampler = new(Options(version, 3, 0.7f, 1), [], Vocabulary, 0);
        Reference reference = new(version, 3, 0.7f, 1, Vocabulary);
        for (int position = 0; position < 100; position++)
        {
            float[] logits = Normal(random, Vocabulary);
            if (position % 5 == 4)
            {
                // A grammar's token, after a draw that came to nothing.
                int other = (sampler.Sample(Normal(random, Vocabulary)).Token + 1) % Vocabulary;
                sampler.Accept(other);
                continue;
            }
            sampler.Sample(Normal(random, Vocabulary));
            int token = sampler.Sample((float[])logits.Clone()).Token;
            Assert.Equal(reference.Draw(logits, position), token);
            sampler.Accept(token);
        }
    }

    [Theory]
    [InlineData(1, 12)]
    [InlineData(1, 350)]
    [InlineData(2, 12)]
    [InlineData(2, 350)]
    public void Within_a_mask_the_allowed_tokens_are_all_there_are(int version, int allowed)
    {
        const int Vocabulary = 700;
        Random random = new(version);
        Sampler sampler = new(Options(version, 2, 0.3f, 1), [], Vocabulary, 0);
        Reference reference = new(version, 2, 0.3f, 1, Vocabulary);
        for (int position = 0; position < 100; position++)
        {
            float[] logits = Normal(random, Vocabulary);
            TokenMask mask = new(Vocabulary);
            while (mask.Count < allowed)
                mask.Allow(random.Next(Vocabulary));
            int token = sampler.Sample((float[])logits.Clone(), mask).Token;
            Assert.Equal(reference.Draw([.. logits.Select((logit, i) => mask.IsAllowed(i) ? logit : float.NegativeInfinity)], position), token);
            sampler.Accept(token);
        }
    }

    [Fact]
    public void It_stands_in_the_place_of_penalties_and_truncations_and_zero_stays_greedy()
    {
        const int Vocabulary = 700;
        SamplingOptions plain = Options(2, 3, 0.1f, 0.8f);
        SamplingOptions all = plain with
        {
            TopK = 1,
            TopP = 0.1f,
            MinP = 0.9f,
            TypicalP = 0.1f,
            TopNSigma = 0.1f,
            XtcProbability = 1,
            DynamicTemperatureRange = 1,
            PresencePenalty = 2,
            FrequencyPenalty = 2,
            RepetitionPenalty = 5,
            Dry = new DryOptions(5, 2, 0, -1),
        };
        Sampler one = new(plain, [1, 2, 3], Vocabulary, 0), other = new(all, [1, 2, 3], Vocabulary, 0);
        Random random = new(3);
        for (int position = 0; position < 50; position++)
        {
            float[] logits = Normal(random, Vocabulary);
            int token = one.Sample((float[])logits.Clone()).Token;
            Assert.Equal(token, other.Sample((float[])logits.Clone()).Token);
            one.Accept(token);
            other.Accept(token);
            Assert.Equal(Array.IndexOf(logits, logits.Max()), new Sampler(plain with { Temperature = 0 }, [], Vocabulary, 0).Sample(logits).Token);
        }
    }

    [Theory]
    [InlineData(1, 1.5f)]
    [InlineData(2, 1.5f)]
    [InlineData(2, 4f)]
    public void Surprise_is_steered_to_the_target(int version, float tau)
    {
        const int Vocabulary = 2000;
        Random random = new(1);
        Sampler sampler = new(Options(version, tau, 0.1f, 1), [], Vocabulary, 0);
        Reference reference = new(version, tau, 0.1f, 1, Vocabulary);
        double sum = 0;
        for (int position = 0; position < 1000; position++)
        {
            float[] logits = Normal(random, Vocabulary);
            sampler.Accept(sampler.Sample((float[])logits.Clone()).Token);
            reference.Draw(logits, position);
            sum += reference.Surprise;
        }
        Assert.InRange(sum / 1000, tau - 0.2, tau + 0.2);
    }

    private static SamplingOptions Options(int version, float tau, float eta, float temperature) =>
        new() { Mirostat = version, MirostatTau = tau, MirostatEta = eta, Temperature = temperature, Seed = Seed };

    private static float[] Normal(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)(2 * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];

    private sealed class Reference(int version, double tau, double eta, double temperature, int vocabulary)
    {
        private double _mu = 2 * tau;

        public double Surprise { get; private set; }

        public int Draw(float[] logits, int position)
        {
            List<(int Token, double P)> sorted = [.. Normalise(logits.Select((logit, token) => (token, Math.Exp(logit / temperature)))).Where(entry => entry.P > 0).OrderByDescending(entry => entry.P).ThenBy(entry => entry.Token)];
            List<(int Token, double P)> kept = version == 1 ? sorted[..Math.Clamp(Count(sorted), 1, sorted.Count)] : [.. sorted.TakeWhile(entry => -Math.Log2(entry.P) <= _mu)];
            if (kept.Count == 0)
                kept = [sorted[0]];
            kept = [.. Normalise(kept).OrderBy(entry => entry.Token)];
            double left = CounterRandom.Uniform(Seed, (ulong)position, NumberOfDraw);
            (int Token, double P) drawn = kept.FirstOrDefault(entry => (left -= entry.P) < 0, kept[^1]);
            Surprise = -Math.Log2(drawn.P);
            _mu -= eta * (Surprise - tau);
            return drawn.Token;
        }

        private int Count(List<(int Token, double P)> sorted)
        {
            double products = 0, squares = 0;
            for (int i = 0; i < 99 && i < sorted.Count - 1; i++)
            {
                double t = Math.Log((i + 2.0) / (i + 1)), b = Math.Log(sorted[i].P / sorted[i + 1].P);
                products += t * b;
                squares += t * t;
            }
            double s = products / squares, epsilon = s - 1;
            double k = Math.Pow(epsilon * Math.Pow(2, _mu) / (1 - Math.Pow(vocabulary, -epsilon)), 1 / s);
            return double.IsNaN(k) ? 1 : (int)Math.Min(k, vocabulary);
        }

        private static IEnumerable<(int Token, double P)> Normalise(IEnumerable<(int Token, double P)> weights)
        {
            List<(int Token, double P)> all = [.. weights];
            double sum = all.Sum(entry => entry.P);
            return all.Select(entry => (entry.Token, entry.P / sum));
        }
    }
}
