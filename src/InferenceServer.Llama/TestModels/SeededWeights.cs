// Random weights that are the same everywhere and always for the same seed.
using System.Numerics;

using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama.TestModels;

/// <summary>
/// Declares tensors and later fills them, each from its own stream of random numbers (seed and name), so that adding one changes no other.
/// </summary>
internal sealed class SeededWeights(GgufWriter writer, int seed, GgufTensorType matrixType)
{
    private const int ChunkElements = 1 << 13;

    private readonly List<(string Name, long Count, Func<long, float> ScaleAt, bool IsRandom)> _pending = [];

    /// <summary>Total number of weights declared.</summary>
    public long Count { get; private set; }

    /// <summary>A matrix of <paramref name="rows"/> rows of <paramref name="columns"/> values, uniform with the given standard deviation.</summary>
    public void Matrix(string name, long columns, long rows, float deviation, GgufTensorType? type = null)
    {
        writer.Declare(name, type ?? matrixType, columns, rows);
        Remember(name, columns * rows, _ => deviation, isRandom: true);
    }

    /// <summary>As many such matrices, in one tensor.</summary>
    public void Matrices(string name, long columns, long rows, long count, float deviation)
    {
        writer.Declare(name, matrixType, columns, rows, count);
        Remember(name, columns * rows * count, _ => deviation, isRandom: true);
    }

    /// <summary>A matrix whose rows are scaled each by its own factor.</summary>
    public void ScaledRows(string name, long columns, long rows, Func<long, float> deviationOfRow)
    {
        writer.Declare(name, matrixType, columns, rows);
        Remember(name, columns * rows, index => deviationOfRow(index / columns), isRandom: true);
    }

    /// <summary>A vector with the same value everywhere.</summary>
    public void Constant(string name, float value, params long[] shape)
    {
        writer.Declare(name, GgufTensorType.F32, shape);
        Remember(name, shape.Aggregate(1L, (product, extent) => product * extent), _ => value, isRandom: false);
    }

    /// <summary>A vector of random values in 32-bit floats.</summary>
    public void Vector(string name, float deviation, params long[] shape)
    {
        writer.Declare(name, GgufTensorType.F32, shape);
        Remember(name, shape.Aggregate(1L, (product, extent) => product * extent), _ => deviation, isRandom: true);
    }

    /// <summary>Computes and writes every tensor declared so far.</summary>
    public void Fill(IProgress<double>? progress, CancellationToken cancellationToken)
    {
        float[] chunk = new float[ChunkElements];
        long done = 0;
        foreach ((string name, long count, Func<long, float> scaleAt, bool isRandom) in _pending)
        {
            ulong state = Hash(name) ^ (ulong)seed * 0x9E3779B97F4A7C15;
            for (long start = 0; start < count; start += ChunkElements)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Span<float> values = chunk.AsSpan(0, (int)Math.Min(ChunkElements, count - start));
                for (int i = 0; i < values.Length; i++)
                    values[i] = scaleAt(start + i) * (isRandom ? Uniform(ref state) : 1);

                writer.Append(values);
                done += values.Length;
                progress?.Report((double)done / Count);
            }
        }

        _pending.Clear();
    }

    private void Remember(string name, long count, Func<long, float> scaleAt, bool isRandom)
    {
        _pending.Add((name, count, scaleAt, isRandom));
        Count += count;
    }

    /// <summary>Uniform with mean 0 and standard deviation 1 (SplitMix64).</summary>
    private static float Uniform(ref ulong state)
    {
        state += 0x9E3779B97F4A7C15;
        ulong z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        z ^= z >> 31;
        const float SquareRootOfThree = 1.7320508f;
        return ((z >> 40) * (2f / (1 << 24)) - 1) * SquareRootOfThree;
    }

    private static ulong Hash(string name)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name)
            hash = BitOperations.RotateLeft((hash ^ c) * 1099511628211, 7);
        return hash;
    }
}
