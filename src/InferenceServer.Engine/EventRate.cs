namespace InferenceServer.Engine;

/// <summary>How many events a second there were over the last half minute, in buckets of one second. One thread.</summary>
internal sealed class EventRate(TimeProvider time)
{
    private const int Seconds = 30;

    private readonly int[] _buckets = new int[Seconds];
    private readonly long _start = time.GetTimestamp();
    private long _newest;

    public void Count(int events, long now)
    {
        long second = Advance(now);
        _buckets[second % Seconds] += events;
    }

    public double PerSecond(long now)
    {
        long second = Advance(now);
        return (double)_buckets.Sum() / Math.Clamp(second, 1, Seconds);
    }

    private long Advance(long now)
    {
        long second = (long)time.GetElapsedTime(_start, now).TotalSeconds;
        for (long passed = Math.Max(_newest + 1, second - Seconds + 1); passed <= second; passed++)
            _buckets[passed % Seconds] = 0;
        _newest = Math.Max(_newest, second);
        return second;
    }
}
