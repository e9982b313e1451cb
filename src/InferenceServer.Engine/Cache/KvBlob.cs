// KV state of the positions [Start, End) of some sequence, outside the pool.

namespace InferenceServer.Engine.Cache;

internal enum KvBlobState
{
    /// <summary>A Save operation is planned; no bytes yet.</summary>
    Pending,
    InMemory,

    /// <summary>Could not be saved or read; whatever refers to it is forgotten.</summary>
    Failed,
}

/// <summary>Saved KV state. Nodes that were split share one blob; it is dropped with its last reference.</summary>
internal sealed class KvBlob(int start, int end)
{
    private volatile KvBlobState _state = KvBlobState.Pending;

    public int Start { get; } = start;

    public int End { get; } = end;

    public int References { get; set; }

    /// <summary>Set before <see cref="State"/> says <see cref="KvBlobState.InMemory"/>; read only then.</summary>
    public byte[]? Data { get; private set; }

    public KvBlobState State => _state;

    public void Fill(byte[] data)
    {
        Data = data;
        _state = KvBlobState.InMemory;
    }

    public void Fail()
    {
        Data = null;
        _state = KvBlobState.Failed;
    }
}
