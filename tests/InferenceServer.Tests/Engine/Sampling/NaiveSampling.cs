using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Engine.Sampling;

/// <summary>The sampler's definition, written the slow and obvious way in double precision: full sorts, no bounds, no vectors.</summary>
internal static class NaiveSampling
{
    /// <summary>The probability of each token under the options' temperature and truncations.</summary>
    /// <param name="closestCall">The smallest relative distance by which any truncation decided; near 0 the float sampler may decide otherwise.</param>
    public static double[] Probabilities(ReadOnlySpan<float> logits, SamplingOptions options, out double closestCall)
    {
        double[] x = new double[logits.Length];
        for (int i = 0; i < x.Length; i++)
            x[i] = float.IsNaN(logits[i]) ? double.NegativeInfinity : options.DynamicTemperatureRange > 0 ? logits[i] : logits[i] / (double)options.Temperature;
        closestCall = 1;
        bool[] kept = new bool[x.Length];
        for (int i = 0; i < kept.Length; i++)
            kept[i] = !double.IsNegativeInfinity(x[i]);

        double[] keys = (double[])x.Clone();
        if (options.TopK > 0)
            KeepFirst(kept, Ranked(kept, keys).Take(options.TopK));
        if (options.TypicalP < 1)
        {
            double[] p = Softmax(x, kept);
            double entropy = p.Where(v => v > 0).Sum(v => -v * Math.Log(v));
            double[] closeness = p.Select(v => v > 0 ? -Math.Abs(-Math.Log(v) - entropy) : double.NegativeInfinity).ToArray();
            KeepMass(kept, Ranked(kept, closeness), p, options.TypicalP, ref closestCall);
        }
        if (options.TopP < 1)
        {
            double[] p = Softmax(x, kept);
            KeepMass(kept, Ranked(kept, keys), p, options.TopP, ref closestCall);
        }
        if (options.MinP > 0)
        {
            double[] p = Softmax(x, kept);
            double least = options.MinP * p.Max();
            for (int i = 0; i < kept.Length; i++)
            {
                if (kept[i])
                    closestCall = Math.Min(closestCall, Math.Abs(p[i] / least - 1));
                kept[i] &= p[i] >= least;
            }
        }
        return Softmax(options.DynamicTemperatureRange > 0 ? [.. x.Select(v => v / DynamicTemperature(Softmax(x, kept), kept.Count(k => k), options))] : x, kept);
    }

    private static double DynamicTemperature(double[] p, int left, SamplingOptions options)
    {
        double share = left < 2 ? 0 : p.Where(v => v > 0).Sum(v => -v * Math.Log(v)) / Math.Log(left);
        double least = Math.Max(0, options.Temperature - options.DynamicTemperatureRange), most = options.Temperature + options.DynamicTemperatureRange;
        return least + ((most - least) * Math.Pow(share, options.DynamicTemperatureExponent));
    }

    private static List<int> Ranked(bool[] kept, double[] keys) =>
        Enumerable.Range(0, kept.Length).Where(i => kept[i]).OrderByDescending(i => keys[i]).ThenBy(i => i).ToList();

    private static void KeepFirst(bool[] kept, IEnumerable<int> chosen)
    {
        HashSet<int> set = [.. chosen];
        for (int i = 0; i < kept.Length; i++)
            kept[i] &= set.Contains(i);
    }

    private static void KeepMass(bool[] kept, List<int> ranked, double[] p, double share, ref double closestCall)
    {
        double sum = 0;
        int count = 0;
        foreach (int i in ranked)
        {
            sum += p[i];
            count++;
            closestCall = Math.Min(closestCall, Math.Abs(sum - share));
            if (sum >= share)
                break;
        }
        KeepFirst(kept, ranked.Take(count));
    }

    private static double[] Softmax(double[] x, bool[] kept)
    {
        double max = double.NegativeInfinity, sum = 0;
        for (int i = 0; i < x.Length; i++)
            max = kept[i] ? Math.Max(max, x[i]) : max;
        double[] p = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
            sum += p[i] = kept[i] ? Math.Exp(x[i] - max) : 0;
        for (int i = 0; i < x.Length; i++)
            p[i] /= sum;
        return p;
    }
}
