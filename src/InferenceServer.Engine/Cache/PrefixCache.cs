// The prefix cache: a radix tree of tokens over sequence ids of one KV pool, with host and disk tiers below it.
// Decode thread only. Changes to the native memory leave as KvOps, in order. Always:
//   - the ledger balances and every id has one owner (CacheInvariants checks all of it);
//   - what a running sequence uses is pinned, and a pinned node is never evicted;
//   - no entry is found from another namespace: each has its own root.

using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>Restoring fewer tokens than this costs more than computing them (a restore takes a step of its own).</summary>
    private const int MinRestoreTokens = 16;

    private readonly Dictionary<string, PrefixNode> _roots = new(StringComparer.Ordinal);
    private readonly PrefixNode?[] _leafOfId;
    private readonly bool _sharesCells;
    private readonly HostTier _host;
    private long _clock;

    /// <param name="cells">Cells of the pool.</param>
    /// <param name="sequenceIds">Ids of the native memory; where cells are shared the last is for saving and restoring.</param>
    /// <param name="sharesCells">A cell can carry several ids (kv_unified). Otherwise copies are real and duplicates stay.</param>
    /// <param name="host">Where evicted entries go.</param>
    public PrefixCache(int cells, int sequenceIds, bool sharesCells, HostTier host)
    {
        Ledger = new CellLedger(cells);
        Ids = new SequenceIdPool(sequenceIds, reserveScratch: sharesCells);
        _leafOfId = new PrefixNode?[sequenceIds];
        _sharesCells = sharesCells;
        _host = host;
    }

    public CellLedger Ledger { get; }

    public SequenceIdPool Ids { get; }

    public HostTier Host => _host;

    public SessionTable Sessions { get; } = new();

    /// <summary>Operations for the next step, in order; the plan takes them over.</summary>
    public List<KvOp> PendingOps { get; } = [];

    public long EvictedTokens { get; private set; }

    public IReadOnlyDictionary<string, PrefixNode> Roots => _roots;

    public int LeafCount
    {
        get
        {
            int count = 0;
            foreach (PrefixNode? leaf in _leafOfId)
                count += leaf is null ? 0 : 1;
            return count;
        }
    }

    public PrefixNode? LeafOf(int id) => _leafOfId[id];

    /// <summary>The longest prefix of <paramref name="tokens"/> that any tier holds. Changes nothing.</summary>
    public PrefixMatch Match(string cacheNamespace, ReadOnlySpan<int> tokens)
    {
        if (!_roots.TryGetValue(cacheNamespace, out PrefixNode? node))
            return default;
        int depth = 0, resident = 0, pinned = 0;
        while (depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child))
        {
            if (!IsUsable(child))
                break;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            depth += common;
            if (child.IsResident)
                resident = depth;
            if (child.Pins > 0)
                pinned = depth;
            if (common < child.Length)
                break;
            node = child;
        }
        return new PrefixMatch(pinned, resident, depth);
    }

    /// <summary>
    /// Gives the sequence an id that holds the longest cached prefix of its tokens (all but the last: its logits are needed), restoring it
    /// from lower tiers, and pins that prefix. False, with nothing changed, when no id can be had.
    /// </summary>
    public bool TryBegin(Sequence sequence)
    {
        ReadOnlySpan<int> tokens = sequence.Tokens[..^1];
        PrefixNode root = Root(sequence.Request.CacheNamespace);
        List<PrefixNode> path = MatchPath(root, tokens);
        // Most recent first, so that room made below is not made at the expense of the path itself.
        Touch(path.Count > 0 ? path[^1] : root);
        PrefixNode resident = root;
        int restoreFrom = 0;
        for (; restoreFrom < path.Count && path[restoreFrom].IsResident; restoreFrom++)
            resident = path[restoreFrom];

        bool takeOver = resident.Holder != PrefixNode.NoHolder && resident.Pins == 0;
        Pin(resident);
        // One eviction may not free an id: the parent can inherit it.
        while (!takeOver && Ids.FreeCount == 0)
            if (!EvictOne())
            {
                Unpin(resident);
                return false;
            }
        sequence.Node = resident;
        sequence.Published = resident.End;
        if (takeOver)
        {
            sequence.KvId = resident.Holder;
            Ids.Transfer(sequence.KvId, SequenceIdOwner.Leaf, SequenceIdOwner.Running);
            _leafOfId[sequence.KvId] = null;
        }
        else
        {
            sequence.KvId = Ids.Rent();
            if (resident.End > 0)
                PendingOps.Add(KvOp.Copy(DonorOf(resident), sequence.KvId, 0, resident.End));
        }
        int restored = RestorePath(sequence, path, restoreFrom);
        sequence.Computed = sequence.Published;
        sequence.HostTokens = restored;
        return true;
    }

    /// <summary>Makes the tokens up to <paramref name="end"/>, all computed, part of the tree; duplicates of what it holds are freed.</summary>
    public void Publish(Sequence sequence, int end)
    {
        ReadOnlySpan<int> tokens = sequence.Tokens[..end];
        PrefixNode node = sequence.Node!;
        while (sequence.Published < end)
        {
            int position = sequence.Published;
            if (!node.Children.TryGetValue(tokens[position], out PrefixNode? child))
            {
                child = new PrefixNode(node, tokens[position..].ToArray(), position) { Pins = 1 };
                node.Children.Add(tokens[position], child);
                Ledger.PublishPrivate(child.Length);
                MakeResident(child, sequence.KvId);
            }
            else
            {
                int common = child.Tokens.Span.CommonPrefixLength(tokens[position..]);
                if (common < child.Length)
                    child = Split(child, common);
                child.Pins++;
                if (child.IsResident)
                {
                    Deduplicate(sequence, child);
                    if (child.Pins == 1)
                        Ledger.Pin(child.Length);
                }
                else
                {
                    Ledger.PublishPrivate(child.Length);
                    MakeResident(child, sequence.KvId);
                }
            }
            node = child;
            sequence.Node = node;
            sequence.Published = node.End;
        }
        Touch(node);
    }

    /// <summary>The sequence no longer runs: all it computed stays in the tree, and its id passes to its leaf or is freed.</summary>
    public void Release(Sequence sequence)
    {
        if (sequence.Node is null)
            return;
        Publish(sequence, sequence.Computed);
        PrefixNode node = sequence.Node;
        if (node.Holder == sequence.KvId)
        {
            Sessions.Move(sequence.Request, node);
            Ids.Transfer(sequence.KvId, SequenceIdOwner.Running, SequenceIdOwner.Leaf);
            _leafOfId[sequence.KvId] = node;
        }
        else
        {
            if (!node.IsRoot)
                Sessions.Move(sequence.Request, node);
            PendingOps.Add(KvOp.Remove(sequence.KvId, 0));
            Ids.Release(sequence.KvId);
        }
        Detach(sequence);
    }

    /// <summary>The native memory was lost: the sequence holds nothing any more. <see cref="ForgetResident()"/> follows.</summary>
    public void Abandon(Sequence sequence, int privateCells)
    {
        if (sequence.Node is not { } node)
            return;
        if (node.Holder == sequence.KvId)
            node.Holder = PrefixNode.NoHolder;
        Ids.Release(sequence.KvId);
        Ledger.FreePrivate(privateCells);
        Detach(sequence);
    }

    /// <summary>Takes back computed but unpublished tokens from <paramref name="start"/> on: rejected drafts.</summary>
    public void Discard(Sequence sequence, int start, int end)
    {
        if (start < sequence.Published)
            throw new InvalidOperationException("Published tokens cannot be discarded.");
        PendingOps.Add(KvOp.Remove(sequence.KvId, start, end));
        Ledger.FreePrivate(end - start);
    }

    /// <summary>Evicts least recently used leaves until that many cells are free; false when pinned and private cells leave too few.</summary>
    public bool EnsureFree(int cells)
    {
        while (Ledger.Free < cells)
            if (!EvictOne())
                return false;
        return true;
    }

    /// <summary>Forgets the entry that ends at this node, in all tiers, as far as no running sequence uses it.</summary>
    public void Forget(PrefixNode node)
    {
        while (!node.IsRoot && node.Pins == 0 && node.Children.Count == 0)
        {
            PrefixNode parent = node.Parent!;
            if (node.IsResident)
                EvictLeaf(node, save: false);
            else
                Detach(node);
            if (parent.Session is not null)
                return;
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
    }

    /// <summary>After a step: takes in the sizes of what was saved, and drops nodes whose blob could not be saved or read.</summary>
    public void SettleHostTier()
    {
        if (!_host.HasUnsettled)
            return;
        foreach (PrefixNode node in _host.Settle())
            if (node.IsResident)
                _host.Release(node);
            else if (node.Parent is not null)
                DetachSubtree(node);
        TrimHostTier();
    }

    private static bool IsUsable(PrefixNode node) => node.IsResident || node.Blob is { State: not KvBlobState.Failed };

    private PrefixNode Root(string cacheNamespace)
    {
        if (!_roots.TryGetValue(cacheNamespace, out PrefixNode? root))
            _roots.Add(cacheNamespace, root = new PrefixNode(null, default, 0) { IsResident = true, Namespace = cacheNamespace });
        return root;
    }

    /// <summary>The nodes from below the root to the end of the match, the last one split there.</summary>
    private List<PrefixNode> MatchPath(PrefixNode node, ReadOnlySpan<int> tokens)
    {
        List<PrefixNode> path = [];
        int depth = 0;
        while (depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child))
        {
            if (!IsUsable(child))
                break;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            if (common < child.Length)
                child = Split(child, common);
            path.Add(child);
            depth += common;
            node = child;
        }
        return path;
    }

    /// <summary>Brings the path's nodes from host memory into the pool, as far as cells can be had. Returns the tokens restored.</summary>
    private int RestorePath(Sequence sequence, List<PrefixNode> path, int from)
    {
        int wanted = path.Count > from ? path[^1].End - sequence.Published : 0;
        if (wanted < MinRestoreTokens)
            return 0;
        int restored = 0;
        for (int first = from; first < path.Count;)
        {
            // Making room may have dropped a node of the path from the host tier.
            if (path[first].Blob is not { } blob)
                break;
            int last = first;
            while (last + 1 < path.Count && path[last + 1].Blob == blob)
                last++;
            // The whole blob is written first, even when the path needs only a part of it.
            if (!EnsureFree(blob.End - blob.Start) || path[last].Blob != blob)
                break;
            PendingOps.Add(KvOp.Restore(blob, Ids.Scratch));
            PendingOps.Add(KvOp.Copy(Ids.Scratch, sequence.KvId, path[first].Start, path[last].End));
            PendingOps.Add(KvOp.Remove(Ids.Scratch, 0));
            for (; first <= last; first++)
            {
                PrefixNode node = path[first];
                Ledger.TakePrivate(node.Length);
                Ledger.PublishPrivate(node.Length);
                node.Pins++;
                MakeResident(node, sequence.KvId);
                sequence.Node = node;
                sequence.Published = node.End;
                restored += node.Length;
            }
        }
        return restored;
    }

    /// <summary>The node's cells are tagged by this running id from now on; its parent, no leaf any more, gives its id back.</summary>
    private void MakeResident(PrefixNode node, int holder)
    {
        PrefixNode parent = node.Parent!;
        node.IsResident = true;
        node.Holder = holder;
        parent.ResidentChildren++;
        if (parent.Holder == PrefixNode.NoHolder)
            return;
        if (Ids.OwnerOf(parent.Holder) == SequenceIdOwner.Leaf)
        {
            PendingOps.Add(KvOp.Remove(parent.Holder, 0));
            _leafOfId[parent.Holder] = null;
            Ids.Release(parent.Holder);
        }
        parent.Holder = PrefixNode.NoHolder;
    }

    /// <summary>The sequence computed what the tree already holds: its own cells go, and it tags the tree's.</summary>
    private void Deduplicate(Sequence sequence, PrefixNode shared)
    {
        Ledger.FreePrivate(shared.Length);
        if (!_sharesCells)
            return;
        PendingOps.Add(KvOp.Remove(sequence.KvId, shared.Start, shared.End));
        PendingOps.Add(KvOp.Copy(DonorOf(shared), sequence.KvId, shared.Start, shared.End));
    }

    /// <summary>Cuts a node in two after <paramref name="length"/> tokens and returns the upper part.</summary>
    private PrefixNode Split(PrefixNode node, int length)
    {
        PrefixNode parent = node.Parent!;
        PrefixNode upper = new(parent, node.Tokens[..length], node.Start)
        {
            IsResident = node.IsResident,
            ResidentChildren = node.IsResident ? 1 : 0,
            Pins = node.Pins,
            LastUse = node.LastUse,
            LastUseRows = node.LastUseRows,
        };
        parent.Children[node.Tokens.Span[0]] = upper;
        node.Parent = upper;
        node.Start += length;
        node.Tokens = node.Tokens[length..];
        upper.Children.Add(node.Tokens.Span[0], node);
        if (node.Blob is not null)
            _host.Share(node, upper);
        return upper;
    }

    /// <summary>Some id whose cells include this node's path.</summary>
    private static int DonorOf(PrefixNode node)
    {
        while (node.Holder == PrefixNode.NoHolder)
            node = FirstResidentChild(node);
        return node.Holder;
    }

    private static PrefixNode FirstResidentChild(PrefixNode node)
    {
        foreach (PrefixNode child in node.Children.Values)
            if (child.IsResident)
                return child;
        throw new InvalidOperationException("A resident node has neither a holder nor a resident child.");
    }

    private bool EvictOne()
    {
        PrefixNode? oldest = null;
        foreach (PrefixNode? leaf in _leafOfId)
            if (leaf is { Pins: 0 } && (oldest is null || EvictionRank(leaf) < EvictionRank(oldest)))
                oldest = leaf;
        if (oldest is null)
            return false;
        EvictLeaf(oldest, save: true);
        return true;
    }

    /// <summary>A session's newest turn counts as used this many uses later than it was, so one-off prompts go first.</summary>
    private const int SessionBonus = 1000;

    private static long EvictionRank(PrefixNode leaf) => leaf.LastUse + (leaf.Session is null ? 0 : SessionBonus);

    private void EvictLeaf(PrefixNode leaf, bool save)
    {
        int id = leaf.Holder;
        PrefixNode parent = leaf.Parent!;
        if (save && leaf.Blob is null && _host.TryReserve(leaf))
            PlanSave(leaf, id);
        leaf.IsResident = false;
        leaf.Holder = PrefixNode.NoHolder;
        parent.ResidentChildren--;
        _leafOfId[id] = null;
        Ledger.FreeCached(leaf.Length);
        EvictedTokens += leaf.Length;
        if (!parent.IsRoot && parent.ResidentChildren == 0 && parent.Holder == PrefixNode.NoHolder)
        {
            PendingOps.Add(KvOp.Remove(id, leaf.Start));
            parent.Holder = id;
            _leafOfId[id] = parent;
        }
        else
        {
            PendingOps.Add(KvOp.Remove(id, 0));
            Ids.Release(id);
        }
        if (leaf.Blob is null)
            DetachSubtree(leaf);
        TrimHostTier();
    }

    /// <summary>Only the node's own positions are saved: its ancestors have blobs of their own.</summary>
    private void PlanSave(PrefixNode node, int donor)
    {
        PendingOps.Add(KvOp.Copy(donor, Ids.Scratch, node.Start, node.End));
        PendingOps.Add(KvOp.Save(Ids.Scratch, node.Blob!));
        PendingOps.Add(KvOp.Remove(Ids.Scratch, 0));
    }

    private void TrimHostTier()
    {
        while (_host.NextOverBudget() is { } node)
            if (node.IsResident)
                _host.Release(node);
            else
                DetachSubtree(node);
    }

    private void Detach(Sequence sequence)
    {
        Unpin(sequence.Node);
        sequence.Node = null;
        sequence.KvId = PrefixNode.NoHolder;
        sequence.Published = 0;
        sequence.Computed = 0;
    }

    private void DetachSubtree(PrefixNode node)
    {
        foreach (PrefixNode child in node.Children.Values.ToArray())
            DetachSubtree(child);
        Detach(node);
    }

    private void Detach(PrefixNode node)
    {
        if (node.IsResident || node.Pins > 0)
            throw new InvalidOperationException("A resident or pinned node cannot leave the tree.");
        if (node.Blob is not null)
            _host.Release(node);
        node.Session?.Forget(node);
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
        if (!IsUsable(node))
            DetachSubtree(node);
    }

    /// <summary>Deepest first, so that ancestors are always more recent than what hangs below them.</summary>
    private void Touch(PrefixNode? node)
    {
        for (; node is { IsRoot: false }; node = node.Parent)
        {
            node.LastUse = ++_clock;
            node.LastUseRows = _decodedRows;
            _host.Touch(node);
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
