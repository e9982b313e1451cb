// Entries that nobody runs on: finding and forgetting them. Decode thread only.

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>The longest prefix of <paramref name="tokens"/> that any tier holds and that one can go on from. Changes nothing.</summary>
    public PrefixMatch Match(string namespaceKey, ReadOnlySpan<int> tokens) => _tree.Match(namespaceKey, tokens);

    /// <summary>Forgets the entry that ends at this node, in all tiers, as far as no running sequence uses it.</summary>
    public void Forget(PrefixNode node)
    {
        while (!node.IsRoot && node is { Pins: 0, Sessions: null, Children.Count: 0, Parent: not null })
        {
            PrefixNode parent = node.Parent!;
            if (node.Saved is { } saved)
                _saved.Release(node, saved);
            if (node.IsResident)
                EvictLeaf(node, save: false);
            else
                _saved.Drop(node, isEviction: false);
            node = parent;
        }
    }

    /// <summary>After the native memory was cleared: nothing is resident any more. Sequences must have been reset before.</summary>
    public void ForgetResident()
    {
        PendingOps.Clear();
        Host.FailPending();
        foreach (PrefixNode root in Roots.Values.ToArray())
            ForgetResident(root);
        _saved.Settle();
    }

    private void ForgetResident(PrefixNode node)
    {
        foreach (PrefixNode child in node.Children.Values.ToArray())
            ForgetResident(child);
        if (node.IsRoot || !node.IsResident)
            return;
        _pool.Forget(node);
        if (node.Saved is null)
            _saved.DropSubtree(node);
    }

    private void Unpin(PrefixNode? node)
    {
        for (; node is not null; node = node.Parent)
            if (--node.Pins == 0)
            {
                Ledger.Unpin(node.Length);
                _tree.RemoveIfEmptyRoot(node);
            }
    }
}
