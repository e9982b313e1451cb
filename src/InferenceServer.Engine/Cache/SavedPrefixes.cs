// What the tiers below the pool hold of the tree: host memory, and files by DiskPrefixes. Decode thread only.
// Always: what no tier has is not in the tree.

namespace InferenceServer.Engine.Cache;

internal sealed class SavedPrefixes(PrefixTree tree, HostTier host, DiskTier? disk, SessionTable sessions)
{
    /// <summary>A session's newest turn counts as used this many uses later than it was, so one-off prompts go first.</summary>
    private const int SessionBonus = 1000;

    private readonly EvictedPrefixes _evicted = new();
    private readonly List<SavedState> _justSaved = [];
    private readonly List<SavedState> _failed = [];
    private long _clockAtFailedSave = -1;

    /// <summary>The newest checkpoint could not be saved. A running sequence may need its own back at once, so none publishes until one that ended could.</summary>
    public bool CheckpointsFail { get; private set; }

    public HostTier Host => host;

    public DiskTier? Disk => disk;

    /// <summary>A save just failed, and the cache has not been used since: trying again at once would fail again, for ever.</summary>
    public bool JustFailedToSave => _clockAtFailedSave == tree.Clock;

    /// <summary>A longer part of these tokens was known once, and made room for others.</summary>
    /// <param name="prefixHash">Of the tokens before them.</param>
    public bool WasEvicted(ulong prefixHash, ReadOnlySpan<int> tokens) => _evicted.ContainsLonger(prefixHash, tokens);

    /// <summary>After a step: takes in what was saved, and drops what could not be.</summary>
    public void Settle()
    {
        if (!host.HasUnsettled)
            return;
        host.Settle(_justSaved, _failed);
        if (_failed.Count > 0)
            _clockAtFailedSave = tree.Clock;
        foreach (SavedState state in _failed)
        {
            CheckpointsFail |= state.IsCheckpoint;
            Forget(state);
        }
        foreach (SavedState state in _justSaved)
        {
            CheckpointsFail &= !state.IsCheckpoint;
            disk?.WantWrite(state);
        }
        _failed.Clear();
        _justSaved.Clear();
        Trim();
    }

    /// <summary>The decoder would not take these states back: no tier keeps them, or the next attempt would fail in the same way.</summary>
    public void ForgetFailedRestores(IReadOnlyList<KvOp> ops)
    {
        foreach (KvOp op in ops)
            if (op is { Kind: KvOpKind.Restore or KvOpKind.RestoreCheckpoint, Blob.State: KvBlobState.Failed }
                && host.LeastRecentFirst.FirstOrDefault(state => state.Memory == op.Blob) is { } state)
                Forget(state);
    }

    /// <summary>The node and all below it leave the tree.</summary>
    /// <param name="isEviction">It made room: a later miss may say so. Not what a client had dropped.</param>
    public void DropSubtree(PrefixNode node, bool isEviction = true)
    {
        foreach (PrefixNode child in node.Children.Values.ToArray())
            DropSubtree(child, isEviction);
        Drop(node, isEviction);
    }

    /// <summary>The node, which has no children, leaves the tree.</summary>
    public void Drop(PrefixNode node, bool isEviction)
    {
        if (node.Saved is { } saved)
            Release(node, saved);
        if (node.Checkpoint is { } checkpoint)
            Release(node, checkpoint);
        sessions.MoveUp(node);
        if (isEviction)
            _evicted.Add(node.PrefixHash);
        tree.Remove(node);
    }

    /// <summary>Deepest first, so that ancestors are always more recent than what hangs below them.</summary>
    public void Touch(PrefixNode? node)
    {
        for (; node is { IsRoot: false }; node = node.Parent)
        {
            tree.Stamp(node);
            if (node.Saved is not { } state)
                continue;
            state.LastUse = node.LastUse;
            host.Touch(state);
        }
    }

    /// <summary>Only the checkpoint that was used counts as used: those before it serve only who turns away there.</summary>
    public void TouchCheckpoint(PrefixNode node)
    {
        if (node.Checkpoint is not { } checkpoint)
            return;
        checkpoint.LastUse = node.LastUse;
        host.Touch(checkpoint);
    }

    /// <summary>The lowest is evicted first.</summary>
    public static long EvictionRank(PrefixNode leaf) => leaf.LastUse + (SessionTable.EndsNewest(leaf) ? SessionBonus : 0);

    /// <summary>Of a state on disk: as in the pool, and what files below it build on goes after them.</summary>
    public static long EvictionRank(SavedState state)
    {
        long rank = state.LastUse;
        foreach (PrefixNode node in state.Nodes)
        {
            foreach (PrefixNode child in node.Children.Values)
                if (!state.IsCheckpoint && child.Saved is { File: not null } below && below != state)
                    return long.MaxValue;
            if (SessionTable.EndsNewest(node))
                rank = state.LastUse + SessionBonus;
        }
        return rank;
    }

    /// <summary>Drops the least recently used states until host memory's budget holds.</summary>
    public void Trim()
    {
        while (host.NextOverBudget() is { } state)
            DropMemory(state);
    }

    /// <summary>Makes room in host memory by giving up copies of what is on disk, least recently used first.</summary>
    public void UnloadWritten(long bytes)
    {
        foreach (SavedState state in host.LeastRecentFirst.ToArray())
        {
            if (host.UsedBytes + bytes <= host.BudgetBytes)
                return;
            if (state is { File: not null, IsLoading: false })
                DropMemory(state);
        }
    }

    private void DropMemory(SavedState state)
    {
        host.Remove(state);
        if (!state.IsUsable)
            Forget(state);
    }

    /// <summary>The node no longer refers to its saved state, which goes with the last reference.</summary>
    public void Release(PrefixNode node, SavedState state)
    {
        Unlink(node, state);
        state.Nodes.Remove(node);
        if (state.Nodes.Count > 0)
            return;
        host.Remove(state);
        disk?.Remove(state);
    }

    private static void Unlink(PrefixNode node, SavedState state)
    {
        if (node.Saved == state)
            node.Saved = null;
        else
            node.Checkpoint = null;
    }

    /// <summary>No tier below the pool has the state any more: what is not resident leaves the tree.</summary>
    public void Forget(SavedState state)
    {
        host.Remove(state);
        disk?.Remove(state);
        PrefixNode[] nodes = [.. state.Nodes];
        state.Nodes.Clear();
        foreach (PrefixNode node in nodes)
            Unlink(node, state);
        foreach (PrefixNode node in nodes)
            if (node is { IsResident: false, Saved: null, Parent: not null })
                DropSubtree(node);
    }
}
