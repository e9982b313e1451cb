// The passes over a row of logits, vectorised. Pure functions of their spans: any thread, no state.
// A row is walked in blocks of 512 floats (2 KB), so that a second look at a block is served by the L1 cache and the row is read from memory once.
// The loops are compiled at full optimisation at once: the first tokens after start must not wait for the JIT's tiers.
// Always: NaN counts as minus infinity, and of equal logits the lowest token wins.

using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace InferenceServer.Engine.Sampling;

internal static class LogitKernels
{
    public const int BlockSize = 512;

    public static int BlockCount(int length) => (length + BlockSize - 1) / BlockSize;

    /// <summary>Writes each block's largest logit and returns the row's; negative infinity where there is no number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float BlockMaxima(ReadOnlySpan<float> row, Span<float> maxima)
    {
        float rowMax = float.NegativeInfinity;
        for (int block = 0; block < maxima.Length; block++)
        {
            float max = Max(Block(row, block));
            maxima[block] = max;
            rowMax = max > rowMax ? max : rowMax;
        }
        return rowMax;
    }

    /// <summary>Block maxima, and per block the sum of exp((logit - row's max) * scale); <paramref name="total"/> is the sum over the row.</summary>
    /// <param name="scale">1 / temperature.</param>
    /// <returns>The row's largest logit. When it is not finite the sums are meaningless.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float BlockSums(ReadOnlySpan<float> row, float scale, Span<float> maxima, Span<double> sums, out double total)
    {
        float rowMax = float.NegativeInfinity;
        for (int block = 0; block < maxima.Length; block++)
        {
            ReadOnlySpan<float> part = Block(row, block);
            float max = Max(part);
            maxima[block] = max;
            rowMax = max > rowMax ? max : rowMax;
            // Relative to the block's own maximum, as the row's is not known yet; a block far below the best so far weighs nothing.
            sums[block] = (max - rowMax) * scale > VectorExp.SmallestExponent ? SumExp(part, max, scale, float.NegativeInfinity) : 0;
        }

        total = 0;
        for (int block = 0; block < maxima.Length; block++)
        {
            if (sums[block] > 0)
                sums[block] *= Math.Exp(((double)maxima[block] - rowMax) * scale);
            total += sums[block];
        }
        return rowMax;
    }

    /// <summary>The lowest token whose logit equals the row's maximum.</summary>
    public static int IndexOfMaximum(ReadOnlySpan<float> row, ReadOnlySpan<float> maxima, float rowMax)
    {
        int block = 0;
        while (maxima[block] != rowMax)
            block++;
        return block * BlockSize + IndexOf(Block(row, block), rowMax);
    }

    /// <summary>The token at which the running sum of exp((logit - rowMax) * scale) first exceeds <paramref name="target"/>.</summary>
    /// <param name="target">In [0, total) of <see cref="BlockSums"/>.</param>
    public static int IndexOfCumulative(ReadOnlySpan<float> row, ReadOnlySpan<double> sums, float rowMax, float scale, double target)
    {
        int chosen = 0;
        for (int block = 0; block < sums.Length; block++)
        {
            if (sums[block] <= 0)
                continue;
            chosen = block; // Rounding may leave the target just beyond the last block that weighs anything.
            if (target < sums[block])
                break;
            target -= sums[block];
        }

        Span<float> weights = stackalloc float[BlockSize];
        ReadOnlySpan<float> part = Block(row, chosen);
        weights = weights[..part.Length];
        Exp(part, rowMax, scale, weights);
        return chosen * BlockSize + IndexOfCumulative(weights, target);
    }

    /// <summary>The sum of exp((logit - rowMax) * scale) over the tokens that rank before <paramref name="token"/>: larger logits, and equal ones of lower tokens.</summary>
    public static double SumBefore(ReadOnlySpan<float> row, ReadOnlySpan<float> maxima, float rowMax, float scale, int token)
    {
        float logit = row[token], above = MathF.BitIncrement(logit);
        int own = token / BlockSize;
        double sum = 0;
        for (int block = 0; block < maxima.Length; block++)
        {
            if (maxima[block] < logit)
                continue;
            ReadOnlySpan<float> part = Block(row, block);
            if (block == own)
            {
                int index = token - own * BlockSize;
                sum += SumExp(part[..index], rowMax, scale, logit) + SumExp(part[index..], rowMax, scale, above);
            }
            else
            {
                sum += SumExp(part, rowMax, scale, block < own ? logit : above);
            }
        }
        return sum;
    }

    /// <summary>The index at which the running sum first exceeds the target; the last positive weight where rounding keeps the sum below it.</summary>
    public static int IndexOfCumulative(ReadOnlySpan<float> weights, double target)
    {
        double sum = 0;
        int last = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            sum += weights[i];
            if (sum > target)
                return i;
            if (weights[i] > 0)
                last = i;
        }
        return last;
    }

    /// <summary>weights[i] = exp((logits[i] - max) * scale); zero for NaN and where that underflows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Exp(ReadOnlySpan<float> logits, float max, float scale, Span<float> weights)
    {
        int done;
        if (Vector512.IsHardwareAccelerated)
        {
            ReadOnlySpan<Vector512<float>> lanes = MemoryMarshal.Cast<float, Vector512<float>>(logits);
            Span<Vector512<float>> results = MemoryMarshal.Cast<float, Vector512<float>>(weights)[..lanes.Length];
            for (int i = 0; i < lanes.Length; i++)
                results[i] = VectorExp.Exp((lanes[i] - Vector512.Create(max)) * scale);
            done = lanes.Length * Vector512<float>.Count;
        }
        else
        {
            ReadOnlySpan<Vector<float>> lanes = MemoryMarshal.Cast<float, Vector<float>>(logits);
            Span<Vector<float>> results = MemoryMarshal.Cast<float, Vector<float>>(weights)[..lanes.Length];
            for (int i = 0; i < lanes.Length; i++)
                results[i] = VectorExp.Exp((lanes[i] - Vector.Create(max)) * scale);
            done = lanes.Length * Vector<float>.Count;
        }
        for (int i = done; i < logits.Length; i++)
            weights[i] = VectorExp.Exp((logits[i] - max) * scale);
    }

    /// <summary>Collects, in token order, the tokens whose logit is at least <paramref name="threshold"/>, reading only blocks that hold one.</summary>
    /// <param name="threshold">Above negative infinity.</param>
    /// <returns>How many were collected.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Gather(ReadOnlySpan<float> row, ReadOnlySpan<float> maxima, float threshold, Span<int> tokens, Span<float> logits)
    {
        int count = 0;
        Vector512<float> thresholdLanes = Vector512.Create(threshold);
        for (int block = 0; block < maxima.Length; block++)
        {
            if (!(maxima[block] >= threshold))
                continue;
            ReadOnlySpan<float> part = Block(row, block);
            int first = block * BlockSize;
            ReadOnlySpan<Vector512<float>> lanes = MemoryMarshal.Cast<float, Vector512<float>>(part);
            for (int i = 0; i < lanes.Length; i++)
            {
                ulong hits = Vector512.GreaterThanOrEqual(lanes[i], thresholdLanes).ExtractMostSignificantBits();
                for (; hits != 0; hits &= hits - 1)
                {
                    int index = i * Vector512<float>.Count + BitOperations.TrailingZeroCount(hits);
                    tokens[count] = first + index;
                    logits[count++] = part[index];
                }
            }
            for (int i = lanes.Length * Vector512<float>.Count; i < part.Length; i++)
            {
                if (part[i] >= threshold)
                {
                    tokens[count] = first + i;
                    logits[count++] = part[i];
                }
            }
        }
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Max(ReadOnlySpan<float> values)
    {
        ReadOnlySpan<Vector512<float>> lanes = MemoryMarshal.Cast<float, Vector512<float>>(values);
        Vector512<float> lowest = Vector512.Create(float.NegativeInfinity);
        Vector512<float> a = lowest, b = lowest, c = lowest, d = lowest;
        int i = 0;
        for (; i + 3 < lanes.Length; i += 4)
        {
            a = Larger(lanes[i], a);
            b = Larger(lanes[i + 1], b);
            c = Larger(lanes[i + 2], c);
            d = Larger(lanes[i + 3], d);
        }
        for (; i < lanes.Length; i++)
            a = Larger(lanes[i], a);
        a = Larger(Larger(a, b), Larger(c, d));

        float max = HorizontalMax(a);
        for (i *= Vector512<float>.Count; i < values.Length; i++)
            max = values[i] > max ? values[i] : max;
        return max;
    }

    private static ReadOnlySpan<float> Block(ReadOnlySpan<float> row, int block)
    {
        int start = block * BlockSize;
        return row.Slice(start, Math.Min(BlockSize, row.Length - start));
    }

    private static int IndexOf(ReadOnlySpan<float> values, float value)
    {
        int i = 0;
        while (values[i] != value)
            i++;
        return i;
    }

    /// <summary>The sum of exp((value - max) * scale) over values of at least <paramref name="threshold"/>; of all for minus infinity.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double SumExp(ReadOnlySpan<float> values, float max, float scale, float threshold)
    {
        // A lane adds at most 128 terms, so float is exact enough within a block; blocks are added in double.
        double total;
        int done;
        if (Vector512.IsHardwareAccelerated)
        {
            ReadOnlySpan<Vector512<float>> lanes = MemoryMarshal.Cast<float, Vector512<float>>(values);
            Vector512<float> sum = Vector512<float>.Zero, least = Vector512.Create(threshold);
            for (int i = 0; i < lanes.Length; i++)
                sum += Vector512.GreaterThanOrEqual(lanes[i], least) & VectorExp.Exp((lanes[i] - Vector512.Create(max)) * scale);
            total = Vector512.Sum(sum);
            done = lanes.Length * Vector512<float>.Count;
        }
        else
        {
            ReadOnlySpan<Vector<float>> lanes = MemoryMarshal.Cast<float, Vector<float>>(values);
            Vector<float> sum = Vector<float>.Zero, least = Vector.Create(threshold);
            for (int i = 0; i < lanes.Length; i++)
                sum += Vector.AsVectorSingle(Vector.GreaterThanOrEqual(lanes[i], least)) & VectorExp.Exp((lanes[i] - Vector.Create(max)) * scale);
            total = Vector.Sum(sum);
            done = lanes.Length * Vector<float>.Count;
        }
        for (int i = done; i < values.Length; i++)
            total += values[i] >= threshold ? VectorExp.Exp((values[i] - max) * scale) : 0;
        return total;
    }

    /// <summary>The candidate where it is greater, else the best so far: a NaN candidate never compares greater.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Larger(Vector512<float> candidate, Vector512<float> best) =>
        Vector512.ConditionalSelect(Vector512.GreaterThan(candidate, best), candidate, best);

    private static float HorizontalMax(Vector512<float> lanes)
    {
        // No lane is NaN here, so the order of operands does not matter.
        Vector256<float> half = Vector256.MaxNative(lanes.GetLower(), lanes.GetUpper());
        Vector128<float> quarter = Vector128.MaxNative(half.GetLower(), half.GetUpper());
        quarter = Vector128.MaxNative(quarter, Vector128.Shuffle(quarter, Vector128.Create(2, 3, 0, 1)));
        quarter = Vector128.MaxNative(quarter, Vector128.Shuffle(quarter, Vector128.Create(1, 0, 3, 2)));
        return quarter.ToScalar();
    }
}
