namespace InferenceServer.Models;

internal static class VectorMath
{
    /// <summary>The first numbers of a vector, scaled so that its length is 1. A vector of zeros stays one.</summary>
    public static float[] Normalized(ReadOnlySpan<float> vector, int dimensions)
    {
        float[] result = vector[..dimensions].ToArray();
        // In double: a vector of large numbers has squares that are too large for a float.
        double squares = 0;
        foreach (float value in result)
            squares += (double)value * value;
        if (squares > 0)
        {
            double scale = 1 / Math.Sqrt(squares);
            for (int i = 0; i < result.Length; i++)
                result[i] = (float)(result[i] * scale);
        }

        return result;
    }
}
