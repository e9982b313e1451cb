// The tree itself: cutting, pinning, forgetting. Decode thread only.

using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>What stands for a namespace in memory and in files: neither holds the name, which may be a secret.</summary>
    public static string NamespaceKey(string cacheNamespace) =>
        Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes($"InferenceServer cache namespace\0{cacheNamespace}")));

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
        foreach (PrefixNode root in _roots.Values.ToArray())
            ForgetResident(root);
        SettleHostTier();
    }

    private static bool IsUsable(PrefixNode node) => node.IsResident || node.Saved is { IsUsable: true };

    private PrefixNode Root(string namespaceKey)
    {
        if (!_roots.TryGetValue(namespaceKey, out PrefixNode? root))
            _roots.Add(namespaceKey, root = new PrefixNode(null, default, 0, BinaryPrimitives.ReadUInt64LittleEndian(Convert.FromHexString(namespaceKey))) { IsResident = true, Namespace = namespaceKey });
        return root;
    }

    /// <summary>Cuts a node in two after <paramref name="length"/> tokens and returns the upper part.</summary>
    private static PrefixNode Split(PrefixNode node, int length)
    {
        PrefixNode parent = node.Parent!;
        PrefixNode upper = new(parent, node.Tokens[..length], node.Start)
        {
            IsResident = node.IsResident,
            ResidentChildren = node.IsResident ? 1 : 0,
            Pins = node.Pins,
            LastUse = node.LastUse,
            LastUseRows = node.LastUseRows,
            Saved = node.Saved,
        };
        parent.Children[node.Tokens.Span[0]] = upper;
        node.Parent = upper;
        node.Start += length;
        node.Tokens = node.Tokens[length..];
        upper.Children.Add(node.Tokens.Span[0], node);
        node.Saved?.Nodes.Add(upper);
        return upper;
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
        if (node.IsResident || node.Pins > 0)
            throw new InvalidOperationException("A resident or pinned node cannot leave the tree.");
        if (node.Saved is { } saved)
            ReleaseSaved(node, saved);
        if (node.Checkpoint is { } checkpoint)
            ReleaseSaved(node, checkpoint);
        Sessions.MoveUp(node);
        if (isEviction)
            _evicted.Add(node.PrefixHash);
        node.Parent!.Children.Remove(node.Tokens.Span[0]);
        RemoveIfEmptyRoot(node.Parent);
        node.Parent = null;
    }

    private void ForgetResident(PrefixNode node)
    {
        foreach (PrefixNode child in node.Children.Values.ToArray())
            ForgetResident(child);
        if (node.IsRoot || !node.IsResident)
            return;
        if (node.Pins > 0)
            throw new InvalidOperationException("A running sequence still uses a node that is being forgotten.");
        if (node.Holder != PrefixNode.NoHolder)
        {
            _leafOfId[node.Holder] = null;
            Ids.Release(node.Holder);
            node.Holder = PrefixNode.NoHolder;
        }
        node.IsResident = false;
        node.Parent!.ResidentChildren--;
        Ledger.FreeCached(node.Length);
        if (node.Saved is null)
            DetachSubtree(node);
    }

    /// <summary>Deepest first, so that ancestors are always more recent than what hangs below them.</summary>
    private void Touch(PrefixNode? node)
    {
        for (; node is { IsRoot: false }; node = node.Parent)
        {
            node.LastUse = ++_clock;
            node.LastUseRows = _computedRows;
            if (node.Saved is not { } state)
                continue;
            state.LastUse = node.LastUse;
            _host.Touch(state);
        }
    }

    private void Pin(PrefixNode? node)
    {
        for (; node is not null; node = node.Parent)
            if (++node.Pins == 1)
                Ledger.Pin(node.Length);
    }

    private void Unpin(PrefixNode? node)
    {
        for (; node is not null; node = node.Parent)
            if (--node.Pins == 0)
            {
                Ledger.Unpin(node.Length);
                RemoveIfEmptyRoot(node);
            }
    }

    private void RemoveIfEmptyRoot(PrefixNode node)
    {
        if (node is { IsRoot: true, Pins: 0, Children.Count: 0 })
            _roots.Remove(node.Namespace!);
    }
}
