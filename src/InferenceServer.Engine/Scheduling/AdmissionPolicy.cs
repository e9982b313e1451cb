// In which order waiting requests are admitted. Decode thread only.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Scheduling;

/// <summary>
/// Higher class first; a class is the request's priority, raised by one for every <see cref="AgeingSeconds"/> it waits, so nothing starves.
/// Within a class the key served least often goes first, then the longest cached prefix, then the earliest arrival.
/// </summary>
internal sealed class AdmissionPolicy(TimeProvider time)
{
    /// <summary>A flex request overtakes fresh priority requests after twice this long.</summary>
    public const double AgeingSeconds = 10;

    /// <summary>Keys come from clients, so their number is bounded; forgetting counts only makes old keys equal to new ones.</summary>
    private const int MaxKeys = 4096;

    private readonly Dictionary<string, long> _servedByKey = new(StringComparer.Ordinal);

    /// <summary>What <see cref="Compare"/> needs to know of a waiting request, computed once a step.</summary>
    internal readonly record struct Rank(int Class, long Served, int CachedTokens, ulong Ordinal) : IComparable<Rank>
    {
        public int CompareTo(Rank other)
        {
            int order = other.Class.CompareTo(Class);
            if (order == 0)
                order = Served.CompareTo(other.Served);
            if (order == 0)
                order = other.CachedTokens.CompareTo(CachedTokens);
            return order != 0 ? order : Ordinal.CompareTo(other.Ordinal);
        }
    }

    public Rank RankOf(Sequence sequence, int cachedTokens, long now) => new(
        (int)sequence.Request.Priority + (int)(time.GetElapsedTime(sequence.Arrival, now).TotalSeconds / AgeingSeconds),
        _servedByKey.GetValueOrDefault(sequence.Request.FairnessKey),
        cachedTokens,
        sequence.Ordinal);

    /// <summary>Counts an admission for the request's key. A key that was away does not get a backlog: it starts level with the least served.</summary>
    public void Served(Sequence sequence, IReadOnlyCollection<Sequence> waiting)
    {
        if (_servedByKey.Count >= MaxKeys)
            _servedByKey.Clear();
        string key = sequence.Request.FairnessKey;
        long floor = long.MaxValue;
        foreach (Sequence other in waiting)
            floor = Math.Min(floor, _servedByKey.GetValueOrDefault(other.Request.FairnessKey));
        long served = _servedByKey.GetValueOrDefault(key);
        _servedByKey[key] = (floor == long.MaxValue ? served : Math.Max(served, floor)) + 1;
    }
}
