// KV state of the positions [Start, End) of some sequence, outside the pool; of a checkpoint, which ends at End, Start == End.

namespace InferenceServer.Engine.Cache;

internal enum KvBlobState
{
    /// <summary>A Save operation is planned; no bytes yet.</summary>
    Pending,
    InMemory,

    /// <summary>Could not be saved, or the decoder would not take it back; whatever refers to it is forgotten.</summary>
    Failed,
}

/// <summary>Saved KV state in host memory. Its bytes never change once filled, so the decoder and the disk thread read them without asking.</summary>
internal sealed class KvBlob(int start, int end)
{
    private volatile KvBlobState _state = KvBlobState.Pending;

    public int Start { get; } = start;

    public int End { get; } = end;

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
