// Entries that nobody runs on: forgetting them, and in which order they were used. Decode thread only.

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
                ReleaseSaved(node, saved);
            if (node.IsResident)
                EvictLeaf(node, save: false);
            else
                Detach(node, isEviction: false);
            node = parent;
        }
    }

    /// <summary>After the native memory was cleared: nothing is resident any more. Sequences must have been reset before.</summary>
    public void ForgetResident()
    {
        PendingOps.Clear();
        _host.FailPending();
        foreach (PrefixNode root in Roots.Values.ToArray())
            ForgetResident(root);
        SettleHostTier();
    }

    private void ForgetResident(PrefixNode node)
    {
        foreach (PrefixNode child in node.Children.Values.ToArray())
            ForgetResident(child);
        if (node.IsRoot || !node.IsResident)
            return;
        _pool.Forget(node);
        if (node.Saved is null)
            DetachSubtree(node);
    }

    /// <param name="isEviction">It made room: a later miss may say so. Not what a client had dropped.</param>
    private void DetachSubtree(PrefixNode node, bool isEviction = true)
    {
        foreach (PrefixNode child in node.Children.Values.ToArray())
            DetachSubtree(child, isEviction);
        Detach(node, isEviction);
    }

    private void Detach(PrefixNode node, bool isEviction)
    {
        if (node.Saved is { } saved)
            ReleaseSaved(node, saved);
        if (node.Checkpoint is { } checkpoint)
            ReleaseSaved(node, checkpoint);
        Sessions.MoveUp(node);
        if (isEviction)
            _evicted.Add(node.PrefixHash);
        _tree.Remove(node);
    }

    /// <summary>Deepest first, so that ancestors are always more recent than what hangs below them.</summary>
    private void Touch(PrefixNode? node)
    {
        for (; node is { IsRoot: false }; node = node.Parent)
        {
            _tree.Stamp(node);
            if (node.Saved is not { } state)
                continue;
            state.LastUse = node.LastUse;
            _host.Touch(state);
        }
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
