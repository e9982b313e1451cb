using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Engine.Sampling;

public sealed class LogitKernelsTests
{
    [Fact]
    public void Exp_is_within_a_millionth_over_its_whole_range_and_exactly_zero_below_it()
    {
        float[] x = new float[87_003], y = new float[x.Length];
        for (int i = 0; i < x.Length; i++)
            x[i] = -i / 1000f;
        LogitKernels.Exp(x, 0, 1, y);
        for (int i = 0; i < x.Length; i++)
        {
            double exact = Math.Exp(x[i]);
            if (x[i] > VectorExp.SmallestExponent)
                Assert.True(Math.Abs(y[i] - exact) <= 1e-6 * exact, $"exp({x[i]}) gave {y[i]}");
            else
                Assert.Equal(0, y[i]);
        }

        float[] odd = [float.NaN, float.NegativeInfinity, -1e30f, -88, 0], weights = new float[odd.Length];
        foreach (int padding in new[] { 0, 60 }) // Scalar tail alone, and inside vectors.
        {
            float[] padded = [.. odd, .. new float[padding]];
            weights = new float[padded.Length];
            LogitKernels.Exp(padded, 0, 1, weights);
            Assert.Equal([0, 0, 0, 0, 1], weights[..odd.Length]);
        }
    }

    [Fact]
    public void Sums_over_a_large_row_do_not_drift()
    {
        Random random = new(5);
        float[] row = new float[151_936];
        for (int i = 0; i < row.Length; i++)
            row[i] = random.NextSingle() * 30 - 20;
        float[] maxima = new float[LogitKernels.BlockCount(row.Length)];
        double[] sums = new double[maxima.Length];
        float max = LogitKernels.BlockSums(row, 0.7f, maxima, sums, out double total);
        Assert.Equal(row.Max(), max);
        double exact = row.Sum(v => Math.Exp((v - (double)max) * 0.7f));
        Assert.InRange(total / exact, 1 - 1e-6, 1 + 1e-6);
        Assert.InRange(sums.Sum() / exact, 1 - 1e-6, 1 + 1e-6);
    }

    [Fact]
    public void The_weight_before_a_token_counts_larger_logits_and_equal_ones_of_lower_tokens()
    {
        int seed = 99;
        Random random = new(seed);
        for (int round = 0; round < 50; round++)
        {
            float[] row = new float[random.Next(1, 3000)];
            for (int i = 0; i < row.Length; i++)
                row[i] = random.Next(40) / 4f; // Ties everywhere.
            float[] maxima = new float[LogitKernels.BlockCount(row.Length)];
            float max = LogitKernels.BlockMaxima(row, maxima);
            int token = random.Next(row.Length);
            double exact = Enumerable.Range(0, row.Length).Where(i => row[i] > row[token] || (row[i] == row[token] && i < token)).Sum(i => Math.Exp(row[i] - max));
            double sum = LogitKernels.SumBefore(row, maxima, max, 1, token);
            Assert.True(Math.Abs(sum - exact) <= 1e-5 * Math.Max(exact, 1e-5), $"seed {seed}, round {round}: {sum} for {exact}");
        }
    }
}
