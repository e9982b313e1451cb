// Ghosts: hashes of prefixes that were cached and left every tier, so that a miss can say whether more memory would have helped. Decode
// thread only. A hash that collides costs a wrong word in a report, nothing else.

namespace InferenceServer.Engine.Cache;

internal sealed class EvictedPrefixes
{
    /// <summary>The oldest are forgotten: 200 KB at most.</summary>
    private const int MostPrefixes = 8192;

    private readonly HashSet<ulong> _hashes = [];
    private readonly Queue<ulong> _oldestFirst = new();

    public static ulong Extend(ulong hash, ReadOnlySpan<int> tokens)
    {
        foreach (int token in tokens)
            hash = Extend(hash, token);
        return hash;
    }

    public void Add(ulong hash)
    {
        if (!_hashes.Add(hash))
            return;
        _oldestFirst.Enqueue(hash);
        if (_oldestFirst.Count > MostPrefixes)
            _hashes.Remove(_oldestFirst.Dequeue());
    }

    /// <summary>Whether a prefix that goes on with some of these tokens was evicted.</summary>
    public bool ContainsLonger(ulong hash, ReadOnlySpan<int> tokens)
    {
        if (_hashes.Count == 0)
            return false;
        foreach (int token in tokens)
        {
            hash = Extend(hash, token);
            if (_hashes.Contains(hash))
                return true;
        }
        return false;
    }

    private static ulong Extend(ulong hash, int token)
    {
        hash = (hash ^ (uint)token) * 0x9E3779B97F4A7C15;
        return hash ^ (hash >> 32);
    }
}
