// LoRA adapters as the engine has them: loaded and freed on the decode thread, counted by whoever uses them. Any thread.

using System.Globalization;
using InferenceServer.Llama;

namespace InferenceServer.Engine;

/// <summary>An adapter that an engine holds: until its owner has released it, and the last request with it has ended.</summary>
public sealed class EngineAdapter
{
    private readonly Action<EngineAdapter> _unused;
    private int _uses = 1;
    private int _released;

    /// <param name="native">Null where nothing computes with it.</param>
    /// <param name="unused">Called once, by whoever used it last.</param>
    internal EngineAdapter(LlamaAdapterFile file, LlamaAdapter? native, Action<EngineAdapter> unused) => (File, Native, _unused) = (file, native, unused);

    public LlamaAdapterFile File { get; }

    internal LlamaAdapter? Native { get; }

    /// <summary>Requests that were submitted with it go on; no other can be.</summary>
    public void Release()
    {
        if (Interlocked.Exchange(ref _released, 1) == 0)
            EndUse();
    }

    /// <summary>False once nobody holds it any more.</summary>
    internal bool TryUse()
    {
        for (int uses = Volatile.Read(ref _uses); uses > 0;)
        {
            int seen = Interlocked.CompareExchange(ref _uses, uses + 1, uses);
            if (seen == uses)
                return true;
            uses = seen;
        }
        return false;
    }

    internal void EndUse()
    {
        if (Interlocked.Decrement(ref _uses) == 0)
            _unused(this);
    }
}

/// <summary>An adapter that a request names has left the engine meanwhile.</summary>
public sealed class AdapterRemovedException() : Exception("A LoRA adapter of this request was removed before it began.");

/// <summary>The adapters that a request is computed with, each with its scale. A step computes one such set, and a cache entry belongs to one.</summary>
public sealed class AdapterSet : IEquatable<AdapterSet>
{
    private readonly (EngineAdapter Adapter, float Scale)[] _adapters;

    private AdapterSet((EngineAdapter, float)[] adapters)
    {
        _adapters = adapters;
        Key = string.Join(' ', adapters.Select(static a => string.Create(CultureInfo.InvariantCulture, $"{a.Item1.File.Identity}*{a.Item2:R}")));
    }

    /// <summary>The model as it is.</summary>
    public static AdapterSet None { get; } = new([]);

    /// <summary>Equal where the same files count equally, in this run and in others; empty for none.</summary>
    public string Key { get; }

    internal IReadOnlyList<(EngineAdapter Adapter, float Scale)> Adapters => _adapters;

    /// <summary>What has no scale does not count, and the order does not matter.</summary>
    /// <exception cref="ArgumentException">More than <see cref="LlamaAdapter.MostAtOnce"/> count, or one of them twice.</exception>
    public static AdapterSet Of(IEnumerable<(EngineAdapter Adapter, float Scale)> adapters)
    {
        (EngineAdapter Adapter, float Scale)[] counting =
            [.. adapters.Where(static a => a.Scale != 0).OrderBy(static a => a.Adapter.File.Identity, StringComparer.Ordinal).ThenBy(static a => a.Scale)];
        if (counting.Length > LlamaAdapter.MostAtOnce || counting.DistinctBy(static a => a.Adapter).Count() < counting.Length)
            throw new ArgumentException($"A set holds each adapter once, and at most {LlamaAdapter.MostAtOnce} of them.", nameof(adapters));
        return counting.Length == 0 ? None : new AdapterSet(counting);
    }

    /// <summary>The same adapters, not only equal ones: those of one set are held while any request of it runs.</summary>
    public bool Equals(AdapterSet? other) => ReferenceEquals(this, other) || (other is not null && _adapters.AsSpan().SequenceEqual(other._adapters));

    public override bool Equals(object? obj) => Equals(obj as AdapterSet);

    public override int GetHashCode() => Key.GetHashCode(StringComparison.Ordinal);

    /// <summary>Holds them all, or none: false where one has left the engine.</summary>
    internal bool TryUse()
    {
        for (int i = 0; i < _adapters.Length; i++)
            if (!_adapters[i].Adapter.TryUse())
            {
                EndUse(i);
                return false;
            }
        return true;
    }

    internal void EndUse() => EndUse(_adapters.Length);

    private void EndUse(int count)
    {
        for (int i = 0; i < count; i++)
            _adapters[i].Adapter.EndUse();
    }
}
