// What the tiers below the pool hold of a piece of the tree, or a checkpoint: bytes in host memory, a file, or both. Decode thread only.

namespace InferenceServer.Engine.Cache;

/// <summary>
/// The KV state of positions <c>[Start, End)</c>, saved together. Nodes that were split share it; it goes with the last of them. A checkpoint,
/// the partial state after all tokens before End, has Start == End and belongs to the one node that ends there.
/// Always: every node of <see cref="Nodes"/> lies within the range (ends at the checkpoint) and refers back to it.
/// </summary>
internal sealed class SavedState(int start, ReadOnlyMemory<int> tokens)
{
    public int Start { get; } = start;

    public int End => Start + Tokens.Length;

    public bool IsCheckpoint => Tokens.IsEmpty;

    public ReadOnlyMemory<int> Tokens { get; } = tokens;

    public List<PrefixNode> Nodes { get; } = [];

    /// <summary>Null while the state is on disk only.</summary>
    public KvBlob? Memory { get; set; }

    /// <summary>Where this stands in the host tier, and what it takes there; a load reserves its room before the bytes come.</summary>
    public LinkedListNode<SavedState>? HostEntry { get; set; }

    public long HostBytes { get; set; }

    /// <summary>Null while the state is not on disk.</summary>
    public DiskFile? File { get; set; }

    public bool IsWriting { get; set; }

    public bool IsLoading { get; set; }

    /// <summary>Read from disk and not used since: the next restore is the disk's merit.</summary>
    public bool CameFromDisk { get; set; }

    /// <summary>As <see cref="PrefixNode.LastUse"/>, of the node used last; below zero for what an earlier run left.</summary>
    public long LastUse { get; set; }

    /// <summary>Some tier below the pool has it, or will.</summary>
    public bool IsUsable => Memory is { } blob ? blob.State != KvBlobState.Failed : File is not null || IsWriting;

    /// <summary>It can be restored in the next step.</summary>
    public bool IsReady => Memory is { State: not KvBlobState.Failed };
}

/// <summary>A file of the disk tier.</summary>
/// <param name="Name">Within the tier's folder.</param>
/// <param name="Bytes">All of it, header included.</param>
/// <param name="PayloadBytes">What it takes in host memory.</param>
internal sealed record DiskFile(string Name, long Bytes, long PayloadBytes);
