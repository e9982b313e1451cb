// Idle entries: what nobody uses may still cost, where every row's attention walks all used cells of a shared pool. Decode thread only.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>Attention walks the pool's used part in steps of so many cells (llama_kv_cache::get_n_kv): fewer idle ones do not show in a step's time.</summary>
    private const int FreeIdleCells = 256;

    private long _computedRows;

    /// <summary>So many rows were computed; entries that were idle for long make room.</summary>
    public void CountRows(int rows) => _computedRows += rows;

    /// <summary>Moves out what has been idle for longer than it is worth: any number of saved entries, and as many tokens of others as one step may save.</summary>
    public void TrimIdle()
    {
        if (!_sharesCells)
            return;
        int left = _savedTokensPerStep;
        while (Ledger.Cached > FreeIdleCells && OldestIdle() is { } leaf)
        {
            if (leaf.Saved is null && CanSave)
            {
                if (leaf.Length > left && left < _savedTokensPerStep)
                    return;
                if (leaf.Length > _savedTokensPerStep)
                    Split(leaf, leaf.Length - _savedTokensPerStep);
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
        if (!_sharesCells || !_residency.UnloadsAtRest || Ledger.Cached <= FreeIdleCells)
            return;
        long before = _clock;
        foreach (Sequence sequence in arrivals)
            if (MatchPath(Root(sequence.NamespaceKey), sequence.Tokens[..^1]) is [.., PrefixNode last])
                Touch(last);
        for (int id = 0; id < _leafOfId.Length; id++)
            while (_leafOfId[id] is { Pins: 0, Saved: not null } leaf && leaf.LastUse <= before)
                EvictLeaf(leaf, save: true);
    }

    /// <summary>With nothing else to do: saves an entry that is only in the pool, so that evicting it later is free. False when there is none.</summary>
    /// <param name="unloadWritten">Entries that are on disk may leave host memory for it.</param>
    public bool SaveOneIdle(bool unloadWritten = false)
    {
        // Where a save just failed, trying again at once would fail again, for ever: not before the cache has been used.
        if (!_sharesCells || !_savesEvicted || _host.BudgetBytes == 0 || _clockAtFailedSave == _clock)
            return false;
        foreach (PrefixNode? leaf in _leafOfId)
            for (PrefixNode? node = leaf; node is { IsRoot: false, Pins: 0 }; node = node.Parent)
            {
                if (node.Saved is not null)
                    continue;
                if (node.Length > _savedTokensPerStep)
                    Split(node, node.Length - _savedTokensPerStep);
                if (unloadWritten)
                    UnloadWritten(_host.BytesOf(node));
                if (!_host.TryReserveWithinBudget(node))
                    return false;
                PlanSave(node, DonorOf(node));
                return true;
            }
        return false;
    }

    private PrefixNode? OldestIdle()
    {
        PrefixNode? oldest = null;
        foreach (PrefixNode? leaf in _leafOfId)
            if (leaf is { Pins: 0 } && _computedRows - leaf.LastUseRows > _residency.RowsUntilLeaving(leaf.Saved is not null, CanSave) && (oldest is null || leaf.LastUseRows < oldest.LastUseRows))
                oldest = leaf;
        return oldest;
    }

    private bool CanSave => _savesEvicted && _host.BudgetBytes > 0;
}
