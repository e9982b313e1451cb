// The pool of cells and the sequence ids that tag them, and what is to change in the native memory, as data. Decode thread only. It knows nothing of tiers.
// Always: the ledger balances; every id has one owner; a resident node without resident children has a holder, the id that tags its path.

using InferenceServer.Engine.Decoding;

namespace InferenceServer.Engine.Cache;

internal sealed class KvPool
{
    private readonly PrefixNode?[] _leafOfId;

    /// <param name="limits">Where cells are shared the last sequence id is for saving and restoring; else copies are real and duplicates stay.</param>
    public KvPool(DecoderLimits limits)
    {
        Ledger = new CellLedger(limits.Cells);
        Ids = new SequenceIdPool(limits.SequenceIds, reserveScratch: limits.SharesCells, limits.DrawnIds);
        SharesCells = limits.SharesCells;
        _leafOfId = new PrefixNode?[limits.SequenceIds];
    }

    public CellLedger Ledger { get; }

    public SequenceIdPool Ids { get; }

    /// <summary>A cell can carry several ids (kv_unified).</summary>
    public bool SharesCells { get; }

    /// <summary>Operations for the next step, in order; the plan takes them over.</summary>
    public List<KvOp> PendingOps { get; } = [];

    /// <summary>By id, null where none owns it.</summary>
    public IReadOnlyList<PrefixNode?> Leaves => _leafOfId;

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

    /// <summary>An id for a running sequence that holds this node's path: the leaf's own where nobody uses it, else a free one, of which there must be one.</summary>
    /// <param name="drawn">Prefer one whose tokens the device draws; without this it never is one.</param>
    public int RentFor(PrefixNode resident, bool takeOver, bool drawn = false)
    {
        if (takeOver)
        {
            int own = resident.Holder;
            Ids.Transfer(own, SequenceIdOwner.Leaf, SequenceIdOwner.Running);
            _leafOfId[own] = null;
            return own;
        }
        int id = Rent(drawn);
        if (resident.End > 0)
            PendingOps.Add(KvOp.Copy(DonorOf(resident), id, 0, resident.End));
        return id;
    }

    /// <summary>A running sequence goes on under an id of the other kind; there must be a free one.</summary>
    /// <param name="end">The node that the sequence's published tokens end at.</param>
    /// <returns>The new id; the old one where it had to stay: all that the device draws for are running.</returns>
    public int Move(int id, PrefixNode end, bool drawn)
    {
        int to = Rent(drawn);
        if (Ids.IsDrawn(to) != drawn)
        {
            Ids.Release(to);
            return id;
        }
        MoveCells(id, to);
        if (end.Holder == id)
            end.Holder = to;
        return to;
    }

    /// <summary>An id of the wanted kind, for which a leaf may have to change over to the other; of those that the device draws for, one of the other where all run.</summary>
    private int Rent(bool drawn)
    {
        if (!Ids.HasFree(drawn) && Ids.LeafId(drawn) is { } held)
        {
            PrefixNode leaf = _leafOfId[held]!;
            int to = Ids.Rent(!drawn, SequenceIdOwner.Leaf);
            MoveCells(held, to);
            (_leafOfId[held], _leafOfId[to], leaf.Holder) = (null, leaf, to);
        }
        return Ids.Rent(drawn && Ids.HasFree(drawn));
    }

    private void MoveCells(int from, int to)
    {
        PendingOps.Add(KvOp.Copy(from, to, 0, KvOp.ToEnd));
        PendingOps.Add(KvOp.Remove(from, 0));
        Ids.Release(from);
    }

    /// <summary>A running sequence's id, whose cells are all published, passes to the leaf that it ends at, or is freed.</summary>
    public void GiveBack(int id, PrefixNode end)
    {
        if (end.Holder == id)
        {
            Ids.Transfer(id, SequenceIdOwner.Running, SequenceIdOwner.Leaf);
            _leafOfId[id] = end;
            return;
        }
        PendingOps.Add(KvOp.Remove(id, 0));
        Ids.Release(id);
    }

    /// <summary>The node's cells are tagged by this running id from now on; its parent, no leaf any more, gives its id back.</summary>
    public void MakeResident(PrefixNode node, int holder)
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

    /// <summary>A running id tags the node's cells, too.</summary>
    public void Share(PrefixNode resident, int id) => PendingOps.Add(KvOp.Copy(DonorOf(resident), id, resident.Start, resident.End));

    /// <summary>A running sequence gives computed but unpublished cells back.</summary>
    public void Discard(int id, int start, int end)
    {
        PendingOps.Add(KvOp.Remove(id, start, end));
        Ledger.FreePrivate(end - start);
    }

    /// <summary>A leaf's cells are freed. Its parent becomes the leaf and keeps the id where it has no other child; else the id is freed with them.</summary>
    public void Vacate(PrefixNode leaf)
    {
        int id = leaf.Holder;
        PrefixNode parent = leaf.Parent!;
        leaf.IsResident = false;
        leaf.Holder = PrefixNode.NoHolder;
        parent.ResidentChildren--;
        _leafOfId[id] = null;
        Ledger.FreeCached(leaf.Length);
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
    }

    /// <summary>The native memory was lost with the node's cells; its children are forgotten already.</summary>
    public void Forget(PrefixNode node)
    {
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
    }

    /// <summary>Only the node's own positions are saved: its ancestors have states of their own.</summary>
    public void Save(PrefixNode node, KvBlob into)
    {
        PendingOps.Add(KvOp.Copy(DonorOf(node), Ids.Scratch, node.Start, node.End));
        PendingOps.Add(KvOp.Save(Ids.Scratch, into));
        PendingOps.Add(KvOp.Remove(Ids.Scratch, 0));
    }

    /// <summary>Brings a saved state back and tags a part of it with a running id; the rest is freed again.</summary>
    public void Restore(KvBlob blob, int id, int start, int end)
    {
        PendingOps.Add(KvOp.Restore(blob, Ids.Scratch));
        PendingOps.Add(KvOp.Copy(Ids.Scratch, id, start, end));
        PendingOps.Add(KvOp.Remove(Ids.Scratch, 0));
    }

    /// <summary>One more running sequence uses the node and all above it.</summary>
    public void Pin(PrefixNode? node)
    {
        for (; node is not null; node = node.Parent)
            PinOne(node);
    }

    /// <summary>One more running sequence, that uses what is above already, uses the node.</summary>
    public void PinOne(PrefixNode node)
    {
        if (++node.Pins == 1)
            Ledger.Pin(node.Length);
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
}
