// exp() for weights of logits, in the two vector widths that pay: 512 bits where the processor has them, else whatever Vector<T> is.
// (Vector512 emulated on AVX2 took twelve times as long as either. 152k weights on one Zen 5 core: 32 us with 512 bits, 53 us with 256.)

using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace InferenceServer.Engine.Sampling;

/// <summary>e^x for x at most 0, within 3e-7 of the value; exactly 0 for NaN and below <see cref="SmallestExponent"/>.</summary>
/// <remarks>e^x = 2^n * e^r with n = round(x / ln 2) and |r| at most ln 2 / 2; e^r is its Taylor sum to the sixth power.</remarks>
internal static class VectorExp
{
    /// <summary>Below this exponent exp() underflows a float (2^-126 = e^-87.3); such weights count as zero.</summary>
    public const float SmallestExponent = -87;

    private const float Log2E = 1.44269504f;

    // ln 2 is subtracted in two parts, the first short enough that n times it is exact.
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    /// <summary>1.5 * 2^23: adding it rounds to an integer that stands in the low mantissa bits.</summary>
    private const float RoundingShift = 12582912f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        Vector512<float> shifted = Vector512.MultiplyAddEstimate(x, Vector512.Create(Log2E), Vector512.Create(RoundingShift));
        Vector512<float> n = shifted - Vector512.Create(RoundingShift);
        Vector512<float> r = Vector512.MultiplyAddEstimate(n, Vector512.Create(-Ln2High), x);
        r = Vector512.MultiplyAddEstimate(n, Vector512.Create(-Ln2Low), r);
        Vector512<float> power = Vector512.MultiplyAddEstimate(r, Vector512.Create(1f / 720), Vector512.Create(1f / 120));
        power = Vector512.MultiplyAddEstimate(power, r, Vector512.Create(1f / 24));
        power = Vector512.MultiplyAddEstimate(power, r, Vector512.Create(1f / 6));
        power = Vector512.MultiplyAddEstimate(power, r, Vector512.Create(0.5f));
        power = Vector512.MultiplyAddEstimate(power, r, Vector512<float>.One);
        power = Vector512.MultiplyAddEstimate(power, r, Vector512<float>.One);
        Vector512<float> scaled = (power.AsInt32() + Vector512.ShiftLeft(shifted.AsInt32(), 23)).AsSingle();
        return Vector512.GreaterThan(x, Vector512.Create(SmallestExponent)) & scaled;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Exp(Vector<float> x)
    {
        Vector<float> shifted = Vector.MultiplyAddEstimate(x, Vector.Create(Log2E), Vector.Create(RoundingShift));
        Vector<float> n = shifted - Vector.Create(RoundingShift);
        Vector<float> r = Vector.MultiplyAddEstimate(n, Vector.Create(-Ln2High), x);
        r = Vector.MultiplyAddEstimate(n, Vector.Create(-Ln2Low), r);
        Vector<float> power = Vector.MultiplyAddEstimate(r, Vector.Create(1f / 720), Vector.Create(1f / 120));
        power = Vector.MultiplyAddEstimate(power, r, Vector.Create(1f / 24));
        power = Vector.MultiplyAddEstimate(power, r, Vector.Create(1f / 6));
        power = Vector.MultiplyAddEstimate(power, r, Vector.Create(0.5f));
        power = Vector.MultiplyAddEstimate(power, r, Vector<float>.One);
        power = Vector.MultiplyAddEstimate(power, r, Vector<float>.One);
        Vector<float> scaled = Vector.AsVectorSingle(Vector.AsVectorInt32(power) + Vector.ShiftLeft(Vector.AsVectorInt32(shifted), 23));
        return Vector.AsVectorSingle(Vector.GreaterThan(x, Vector.Create(SmallestExponent))) & scaled;
    }

    /// <summary>The same for what is left over at the end of a span.</summary>
    public static float Exp(float x) => x > SmallestExponent ? MathF.Exp(x) : 0;
}
