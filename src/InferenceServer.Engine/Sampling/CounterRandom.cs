// The sampler's random numbers: a pure function of (seed, position), with no state to save, restore or roll back. Any thread.

namespace InferenceServer.Engine.Sampling;

/// <summary>Counter-based random numbers: preemption, replays, speculation and batching cannot change what a position draws.</summary>
internal static class CounterRandom
{
    /// <summary>A number in [0, 1) with 53 random bits.</summary>
    /// <param name="draw">Tells apart the numbers that one position needs.</param>
    public static double Uniform(ulong seed, ulong position, ulong draw)
    {
        // The seed is hashed first: seeds 1, 2, 3 must not give one stream shifted by one.
        ulong bits = Mix(Mix(Mix(seed) + position) + draw);
        return (bits >> 11) * (1.0 / (1UL << 53));
    }

    /// <summary>SplitMix64's finalizer: every input bit flips about half of the output bits.</summary>
    private static ulong Mix(ulong z)
    {
        z += 0x9E3779B97F4A7C15UL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
