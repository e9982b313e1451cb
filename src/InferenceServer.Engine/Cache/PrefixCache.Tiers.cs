// Between the pool and the tiers below it: evicting and restoring. Decode thread only.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
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

    /// <summary>Goes on restoring what the sequence found at its admission, with a new step's allowance.</summary>
    public void ContinueRestore(Sequence sequence)
    {
        List<PrefixNode> path = _tree.Path(sequence.Node!, sequence.ReusableTokens);
        if (path.Count > 0)
            _saved.Touch(path[^1]);
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
            if (leaf is { Pins: 0 } && (oldest is null || SavedPrefixes.EvictionRank(leaf) < SavedPrefixes.EvictionRank(oldest)))
                oldest = leaf;
        if (oldest is null)
            return false;
        if (CanSave && oldest.Saved is null && oldest.Length > _savedTokensPerStep)
            PrefixTree.Split(oldest, oldest.Length - _savedTokensPerStep);
        EvictLeaf(oldest, save: true);
        return true;
    }

    private void EvictLeaf(PrefixNode leaf, bool save)
    {
        if (save && _savesEvicted && leaf.Saved is null && Host.TryReserve(leaf))
            _pool.Save(leaf, leaf.Saved!.Memory!);
        _pool.Vacate(leaf);
        EvictedTokens += leaf.Length;
        if (leaf.Saved is null)
            _saved.DropSubtree(leaf, isEviction: save);
        _saved.Trim();
    }
}
