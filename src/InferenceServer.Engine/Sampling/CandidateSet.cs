// The few tokens that a truncation or a mask leaves of a row, and the truncations themselves. Lives for one Sample call on the sampling thread;
// its buffers are borrowed from the shared pool. Always: candidates stand in token order, so ties and the final pick do not depend on how they were found.

using System.Buffers;
using System.Numerics;

namespace InferenceServer.Engine.Sampling;

internal ref struct CandidateSet
{
    /// <summary>Up to here sorting beats a histogram and its clearing.</summary>
    private const int SortDirectly = 512;

    /// <summary>4,096 buckets leave about a hundred of 152k normally distributed logits in the bucket of the cut.</summary>
    private const int Buckets = 4096;

    private readonly int[] _tokens;
    private readonly float[] _logits;
    private readonly float[] _weights;
    private float _max;
    private float _scale;

    private CandidateSet(int capacity)
    {
        _tokens = ArrayPool<int>.Shared.Rent(capacity);
        _logits = ArrayPool<float>.Shared.Rent(capacity);
        _weights = ArrayPool<float>.Shared.Rent(capacity);
    }

    public int Count { get; private set; }

    private readonly ReadOnlySpan<float> Logits => _logits.AsSpan(0, Count);

    private readonly Span<float> Weights => _weights.AsSpan(0, Count);

    /// <summary>The tokens of a row whose logit is at least <paramref name="threshold"/>, never one of negative infinity or NaN.</summary>
    public static CandidateSet FromRow(ReadOnlySpan<float> row, ReadOnlySpan<float> maxima, float threshold)
    {
        CandidateSet set = new(row.Length);
        set.Count = LogitKernels.Gather(row, maxima, MathF.Max(threshold, float.MinValue), set._tokens, set._logits);
        return set;
    }

    /// <summary>The tokens that a mask allows, less those of negative infinity or NaN.</summary>
    public static CandidateSet FromMask(ReadOnlySpan<float> row, TokenMask mask, int allowedCount)
    {
        CandidateSet set = new(allowedCount);
        int count = 0;
        ReadOnlySpan<ulong> words = mask.Words;
        for (int word = 0; word < words.Length; word++)
        {
            for (ulong bits = words[word]; bits != 0; bits &= bits - 1)
            {
                int token = word * 64 + BitOperations.TrailingZeroCount(bits);
                if (!(row[token] >= float.MinValue))
                    continue;
                set._tokens[count] = token;
                set._logits[count++] = row[token];
            }
        }
        set.Count = count;
        return set;
    }

    public readonly void Dispose()
    {
        ArrayPool<int>.Shared.Return(_tokens);
        ArrayPool<float>.Shared.Return(_logits);
        ArrayPool<float>.Shared.Return(_weights);
    }

    /// <summary>The token of the largest logit, the lowest of equals.</summary>
    public readonly int Best()
    {
        int best = 0;
        for (int i = 1; i < Count; i++)
        {
            if (_logits[i] > _logits[best])
                best = i;
        }
        return _tokens[best];
    }

    public readonly float MaxLogit() => LogitKernels.Max(Logits);

    /// <summary>Keeps the k largest logits.</summary>
    public void KeepTop(int k)
    {
        if (k < Count)
            Keep(Logits, FindCut(Logits, default, k));
    }

    /// <summary>Computes each candidate's unnormalised probability, exp((logit - max) * scale).</summary>
    /// <param name="max">The largest logit of all.</param>
    /// <param name="scale">1 / temperature.</param>
    public void Weigh(float max, float scale)
    {
        _max = max;
        _scale = scale;
        LogitKernels.Exp(Logits, max, scale, Weights);
    }

    /// <summary>Keeps the fewest of the most likely whose weights reach <paramref name="mass"/>; all when they do not.</summary>
    public void KeepMass(double mass) => Keep(Logits, FindCut(Logits, Weights, mass));

    /// <summary>Keeps the tokens whose surprise is nearest to the entropy, the fewest that reach this share of the weight.</summary>
    public void KeepTypical(float share)
    {
        // Surprise less entropy is (mean of x) - x for x = log weight: the normaliser cancels.
        double total = 0, weighted = 0;
        for (int i = 0; i < Count; i++)
        {
            total += _weights[i];
            weighted += _weights[i] * (double)Exponent(i);
        }
        float mean = (float)(weighted / total);

        float[] closeness = ArrayPool<float>.Shared.Rent(Count);
        for (int i = 0; i < Count; i++)
            closeness[i] = -MathF.Abs(Exponent(i) - mean);
        Keep(closeness, FindCut(closeness.AsSpan(0, Count), Weights, share * total));
        ArrayPool<float>.Shared.Return(closeness);
    }

    /// <summary>Keeps the tokens at least <paramref name="share"/> as likely as the most likely candidate.</summary>
    public void KeepLikely(float share)
    {
        float max = MaxLogit(), lowest = MathF.Log(share);
        int kept = 0;
        for (int i = 0; i < Count; i++)
        {
            if ((_logits[i] - max) * _scale >= lowest)
                Move(i, kept++);
        }
        Count = kept;
    }

    /// <summary>Keeps the logits that are at least this large.</summary>
    public void KeepFrom(float lowest)
    {
        int kept = 0;
        for (int i = 0; i < Count; i++)
        {
            if (_logits[i] >= lowest)
                Move(i, kept++);
        }
        Count = kept;
    }

    /// <summary>Of the candidates that have at least this share of the weight, drops all but the least likely, of equals the last.</summary>
    public void ExcludeLikely(float share)
    {
        double least = share * TotalWeight();
        int stays = -1;
        for (int i = 0; i < Count; i++)
        {
            if (_weights[i] >= least && (stays < 0 || _weights[i] <= _weights[stays]))
                stays = i;
        }
        int kept = 0;
        for (int i = 0; i < Count; i++)
        {
            if (_weights[i] < least || i == stays)
                Move(i, kept++);
        }
        Count = kept;
    }

    /// <summary>The entropy of the weights as a share of the most that so many candidates can have.</summary>
    public readonly double EntropyShare()
    {
        if (Count < 2)
            return 0;
        double total = 0, weighted = 0;
        for (int i = 0; i < Count; i++)
        {
            total += _weights[i];
            weighted += _weights[i] * (double)Exponent(i);
        }
        return Math.Clamp((Math.Log(total) - (weighted / total)) / Math.Log(Count), 0, 1);
    }

    public readonly double TotalWeight()
    {
        double total = 0;
        foreach (float weight in Weights)
            total += weight;
        return total;
    }

    /// <summary>The candidate at this share, in [0, 1), of the total weight in token order.</summary>
    public readonly int Pick(double uniform) => Pick(uniform, out _);

    /// <param name="weight">The picked candidate's.</param>
    public readonly int Pick(double uniform, out float weight)
    {
        int picked = LogitKernels.IndexOfCumulative(Weights, uniform * TotalWeight());
        weight = _weights[picked];
        return _tokens[picked];
    }

    /// <summary>Writes the candidates with the largest logits, best first, and returns how many there were.</summary>
    public readonly int CopyBest(Span<(int Token, float Logit)> best)
    {
        ulong[] order = ArrayPool<ulong>.Shared.Rent(Count);
        for (int i = 0; i < Count; i++)
            order[i] = SortKey(_logits[i], i);
        order.AsSpan(0, Count).Sort();
        int count = Math.Min(best.Length, Count);
        for (int i = 0; i < count; i++)
        {
            int index = (int)(uint)order[i];
            best[i] = (_tokens[index], _logits[index]);
        }
        ArrayPool<ulong>.Shared.Return(order);
        return count;
    }

    private readonly float Exponent(int i) => (_logits[i] - _max) * _scale;

    /// <summary>The last sort key to keep so that the weights of all keys up to it reach the target; every key when they never do.</summary>
    /// <param name="weights">Empty counts each candidate as one.</param>
    private static ulong FindCut(ReadOnlySpan<float> keys, ReadOnlySpan<float> weights, double target)
    {
        double sum = 0;
        ulong[] order = ArrayPool<ulong>.Shared.Rent(keys.Length);
        int members = keys.Length <= SortDirectly ? SortKeys(keys, order) : SortKeysOfCrossingBucket(keys, weights, target, order, out sum);
        Span<ulong> sorted = order.AsSpan(0, members);
        sorted.Sort();
        // Where rounding keeps the sum below the target, all that were sorted stay; worse buckets stay only if the target is beyond every weight.
        ulong cut = members == 0 ? ulong.MaxValue : sorted[^1];
        foreach (ulong key in sorted)
        {
            sum += weights.IsEmpty ? 1 : weights[(int)(uint)key];
            if (sum < target)
                continue;
            cut = key;
            break;
        }
        ArrayPool<ulong>.Shared.Return(order);
        return cut;
    }

    private static int SortKeys(ReadOnlySpan<float> keys, Span<ulong> order)
    {
        for (int i = 0; i < keys.Length; i++)
            order[i] = SortKey(keys[i], i);
        return keys.Length;
    }

    /// <summary>Sums the weights by key range, so that only the range in which the target is reached needs sorting.</summary>
    /// <param name="above">The weight of all keys better than that range.</param>
    private static int SortKeysOfCrossingBucket(
        ReadOnlySpan<float> keys, ReadOnlySpan<float> weights, double target, Span<ulong> order, out double above)
    {
        float high = LogitKernels.Max(keys), low = high;
        foreach (float key in keys)
            low = key < low ? key : low;
        // A range too small to divide puts everything in bucket 0: still right, only sorted in full.
        float perBucket = high - low > 1e-30f ? (Buckets - 1) / (high - low) : 0;

        double[] sums = ArrayPool<double>.Shared.Rent(Buckets);
        sums.AsSpan(0, Buckets).Clear();
        for (int i = 0; i < keys.Length; i++)
            sums[(int)((high - keys[i]) * perBucket)] += weights.IsEmpty ? 1 : weights[i];

        above = 0;
        int crossing = 0;
        while (crossing < Buckets - 1 && above + sums[crossing] < target)
            above += sums[crossing++];
        ArrayPool<double>.Shared.Return(sums);

        int count = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            if ((int)((high - keys[i]) * perBucket) == crossing)
                order[count++] = SortKey(keys[i], i);
        }
        return count;
    }

    /// <summary>Ascending order of these is descending order of keys, and ascending position among equals.</summary>
    private static ulong SortKey(float key, int position)
    {
        uint bits = BitConverter.SingleToUInt32Bits(key + 0f); // + 0 turns -0 into 0: they are equal.
        uint descending = (bits & 0x80000000) != 0 ? bits : bits ^ 0x7FFFFFFF;
        return (ulong)descending << 32 | (uint)position;
    }

    private void Keep(ReadOnlySpan<float> keys, ulong cut)
    {
        if (cut == ulong.MaxValue)
            return;
        int kept = 0;
        // keys may be the logits that Move compacts: index i is read before anything lands on it, as kept <= i.
        for (int i = 0; i < Count; i++)
        {
            if (SortKey(keys[i], i) <= cut)
                Move(i, kept++);
        }
        Count = kept;
    }

    private readonly void Move(int from, int to)
    {
        _tokens[to] = _tokens[from];
        _logits[to] = _logits[from];
        _weights[to] = _weights[from];
    }
}
