// Idle entries: what nobody uses may still cost, where every row's attention walks all used cells of a shared pool. Decode thread only.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>Attention walks the pool's used part in steps of so many cells (llama_kv_cache::get_n_kv): fewer idle ones do not show in a step's time.</summary>
    private const int FreeIdleCells = 256;

    /// <summary>Moves out what has been idle for longer than it is worth: any number of saved entries, and as many tokens of others as one step may save.</summary>
    public void TrimIdle()
    {
        if (!_pool.SharesCells)
            return;
        int left = _savedTokensPerStep;
        while (Ledger.Cached > FreeIdleCells && OldestIdle() is { } leaf)
        {
            if (leaf.Saved is null && CanSave)
            {
                if (leaf.Length > left && left < _savedTokensPerStep)
                    return;
                if (leaf.Length > _savedTokensPerStep)
                    PrefixTree.Split(leaf, leaf.Length - _savedTokensPerStep);
                left -= leaf.Length;
            }
            EvictLeaf(leaf, save: true);
        }
    }

    /// <summary>
    /// Work begins after a rest: entries that are saved and that none of these requests continues leave the pool, so that new cells lie at its
    /// front. Attention walks all cells up to the last used one.
    /// </summary>
    public void UnloadIdle(IEnumerable<Sequence> arrivals)
    {
        if (!_pool.SharesCells || !_residency.UnloadsAtRest || Ledger.Cached <= FreeIdleCells)
            return;
        long before = _tree.Clock;
        foreach (Sequence sequence in arrivals)
            if (_tree.Path(_tree.Root(sequence.NamespaceKey), sequence.Tokens[..^1]) is [.., PrefixNode last])
                _saved.Touch(last);
        for (int id = 0; id < _pool.Leaves.Count; id++)
            while (_pool.Leaves[id] is { Pins: 0, Saved: not null } leaf && leaf.LastUse <= before)
                EvictLeaf(leaf, save: true);
    }

    /// <summary>With nothing else to do: saves an entry that is only in the pool, so that evicting it later is free. False when there is none.</summary>
    /// <param name="unloadWritten">Entries that are on disk may leave host memory for it.</param>
    public bool SaveOneIdle(bool unloadWritten = false)
    {
        if (!_pool.SharesCells || !_savesEvicted || Host.BudgetBytes == 0 || _saved.JustFailedToSave)
            return false;
        foreach (PrefixNode? leaf in _pool.Leaves)
        {
            // From the root down: what is saved of a prompt's end is of no use to a restart while its beginning is not.
            PrefixNode? first = null;
            for (PrefixNode? node = leaf; node is { IsRoot: false, Pins: 0 }; node = node.Parent)
                first = node.Saved is null ? node : first;
            if (first is null)
                continue;
            if (first.Length > _savedTokensPerStep)
                first = PrefixTree.Split(first, _savedTokensPerStep);
            if (unloadWritten)
                _saved.UnloadWritten(Host.BytesOf(first));
            if (!Host.TryReserveWithinBudget(first))
                return false;
            _pool.Save(first, first.Saved!.Memory!);
            return true;
        }
        return false;
    }

    private PrefixNode? OldestIdle()
    {
        PrefixNode? oldest = null;
        foreach (PrefixNode? leaf in _pool.Leaves)
            if (leaf is { Pins: 0 } && _tree.ComputedRows - leaf.LastUseRows > _residency.RowsUntilLeaving(leaf.Saved is not null, CanSave) && (oldest is null || leaf.LastUseRows < oldest.LastUseRows))
                oldest = leaf;
        return oldest;
    }

    private bool CanSave => _savesEvicted && Host.BudgetBytes > 0;
}
