// Between the pool and the tiers below it: evicting, saving, restoring, and dropping what no tier has room for. Decode thread only.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>A session's newest turn counts as used this many uses later than it was, so one-off prompts go first.</summary>
    private const int SessionBonus = 1000;

    /// <summary>
    /// What is saved in one step, and what that costs to bring back, holds every stream up: a twentieth of the least inter-token target. Pieces are no
    /// smaller than what a copy's fixed cost is worth, and no larger than a restore should have to read for a part of it.
    /// </summary>
    private const double SaveSeconds = 0.0025;
    private const int LeastPiece = 64;
    private const int MostPiece = 2048;

    /// <summary>A restore spares its request more than it costs the others; in one step it may take less than half of the least inter-token target.</summary>
    private const double RestoreSeconds = 0.02;

    private readonly bool _savesEvicted;
    private readonly int _savedTokensPerStep;
    private readonly int _restoredTokensPerStep;
    private int _restoreLeft;

    private readonly List<SavedState> _justSaved = [];
    private readonly List<SavedState> _failed = [];
    private long _clockAtFailedSave = -1;

    /// <summary>After a step: takes in what was saved, and drops what could not be.</summary>
    public void SettleHostTier()
    {
        if (!_host.HasUnsettled)
            return;
        _host.Settle(_justSaved, _failed);
        if (_failed.Count > 0)
            _clockAtFailedSave = _tree.Clock;
        foreach (SavedState state in _failed)
        {
            _checkpointsFail |= state.IsCheckpoint;
            ForgetSaved(state);
        }
        foreach (SavedState state in _justSaved)
        {
            _checkpointsFail &= !state.IsCheckpoint;
            _disk?.WantWrite(state);
        }
        _failed.Clear();
        _justSaved.Clear();
        TrimHostTier();
    }

    /// <summary>The decoder would not take these states back: no tier keeps them, or the next attempt would fail in the same way.</summary>
    public void ForgetFailedRestores(IReadOnlyList<KvOp> ops)
    {
        foreach (KvOp op in ops)
            if (op is { Kind: KvOpKind.Restore or KvOpKind.RestoreCheckpoint, Blob.State: KvBlobState.Failed }
                && _host.LeastRecentFirst.FirstOrDefault(state => state.Memory == op.Blob) is { } state)
                ForgetSaved(state);
    }

    /// <summary>Goes on restoring what the sequence found at its admission, with a new step's allowance.</summary>
    public void ContinueRestore(Sequence sequence)
    {
        List<PrefixNode> path = _tree.Path(sequence.Node!, sequence.ReusableTokens);
        if (path.Count > 0)
            Touch(path[^1]);
        int from = 0;
        // What somebody else restored or computed meanwhile is shared.
        for (; from < path.Count && path[from].IsResident; from++)
            Join(sequence, path[from]);
        RestorePath(sequence, path, from);
        sequence.Computed = sequence.Published;
    }

    /// <summary>A new step may restore as much as the one before.</summary>
    public void RenewRestoreAllowance() => _restoreLeft = _restoredTokensPerStep;

    private void Join(Sequence sequence, PrefixNode resident)
    {
        _pool.PinOne(resident);
        _pool.Share(resident, sequence.KvId);
        sequence.Node = resident;
        sequence.Published = resident.End;
    }

    /// <summary>Brings the path's nodes from host memory into the pool, as far as cells can be had and the step's allowance goes; the sequence says whether more is to come.</summary>
    private void RestorePath(Sequence sequence, List<PrefixNode> path, int from)
    {
        sequence.RestoresOn = false;
        int wanted = path.Count > from ? path[^1].End - sequence.Published : 0;
        if (wanted < MinRestoreTokens)
            return;
        for (int first = from; first < path.Count;)
        {
            // A checkpoint stands for all tokens before it, so there all comes at once.
            if (_restoreLeft <= 0 && !NeedsCheckpoints)
            {
                sequence.RestoresOn = true;
                return;
            }
            // Making room may have dropped a node of the path from the host tier; or it is on disk, and was not waited for.
            if (path[first].Saved is not { IsReady: true, Memory: { } blob } state)
                break;
            int last = first;
            while (last + 1 < path.Count && path[last + 1].Saved == state)
                last++;
            // All of it is written first, even when the path needs only a part.
            if (!EnsureFree(state.End - state.Start) || path[last].Saved?.Memory != blob)
                break;
            Restores++;
            _restoreLeft -= state.End - state.Start;
            _pool.Restore(blob, sequence.KvId, path[first].Start, path[last].End);
            for (; first <= last; first++)
            {
                PrefixNode node = path[first];
                Ledger.TakePrivate(node.Length);
                Ledger.PublishPrivate(node.Length);
                node.Pins++;
                _pool.MakeResident(node, sequence.KvId);
                sequence.Node = node;
                sequence.Published = node.End;
                if (state.CameFromDisk)
                    sequence.DiskTokens += node.Length;
                else
                    sequence.HostTokens += node.Length;
            }
            state.CameFromDisk = false;
        }
    }

    private bool EvictOne()
    {
        PrefixNode? oldest = null;
        foreach (PrefixNode? leaf in _pool.Leaves)
            if (leaf is { Pins: 0 } && (oldest is null || EvictionRank(leaf) < EvictionRank(oldest)))
                oldest = leaf;
        if (oldest is null)
            return false;
        if (CanSave && oldest.Saved is null && oldest.Length > _savedTokensPerStep)
            PrefixTree.Split(oldest, oldest.Length - _savedTokensPerStep);
        EvictLeaf(oldest, save: true);
        return true;
    }

    private static long EvictionRank(PrefixNode leaf) => leaf.LastUse + (EndsNewestTurn(leaf) ? SessionBonus : 0);

    /// <summary>Of a state on disk: as in the pool, and what files below it build on goes after them.</summary>
    private static long EvictionRank(SavedState state)
    {
        long rank = state.LastUse;
        foreach (PrefixNode node in state.Nodes)
        {
            foreach (PrefixNode child in node.Children.Values)
                if (!state.IsCheckpoint && child.Saved is { File: not null } below && below != state)
                    return long.MaxValue;
            if (EndsNewestTurn(node))
                rank = state.LastUse + SessionBonus;
        }
        return rank;
    }

    private void EvictLeaf(PrefixNode leaf, bool save)
    {
        if (save && _savesEvicted && leaf.Saved is null && _host.TryReserve(leaf))
            _pool.Save(leaf, leaf.Saved!.Memory!);
        _pool.Vacate(leaf);
        EvictedTokens += leaf.Length;
        if (leaf.Saved is null)
            DetachSubtree(leaf, isEviction: save);
        TrimHostTier();
    }

    private void TrimHostTier()
    {
        while (_host.NextOverBudget() is { } state)
            DropMemory(state);
    }

    /// <summary>Makes room in host memory by giving up copies of what is on disk, least recently used first.</summary>
    private void UnloadWritten(long bytes)
    {
        foreach (SavedState state in _host.LeastRecentFirst.ToArray())
        {
            if (_host.UsedBytes + bytes <= _host.BudgetBytes)
                return;
            if (state is { File: not null, IsLoading: false })
                DropMemory(state);
        }
    }

    private void DropMemory(SavedState state)
    {
        _host.Remove(state);
        if (!state.IsUsable)
            ForgetSaved(state);
    }

    /// <summary>The node no longer refers to its saved state, which goes with the last reference.</summary>
    private void ReleaseSaved(PrefixNode node, SavedState state)
    {
        Unlink(node, state);
        state.Nodes.Remove(node);
        if (state.Nodes.Count > 0)
            return;
        _host.Remove(state);
        _disk?.Remove(state);
    }

    private static void Unlink(PrefixNode node, SavedState state)
    {
        if (node.Saved == state)
            node.Saved = null;
        else
            node.Checkpoint = null;
    }

    /// <summary>No tier below the pool has the state any more: what is not resident leaves the tree.</summary>
    private void ForgetSaved(SavedState state)
    {
        _host.Remove(state);
        _disk?.Remove(state);
        PrefixNode[] nodes = [.. state.Nodes];
        state.Nodes.Clear();
        foreach (PrefixNode node in nodes)
            Unlink(node, state);
        foreach (PrefixNode node in nodes)
            if (node is { IsResident: false, Saved: null, Parent: not null })
                DetachSubtree(node);
    }
}
