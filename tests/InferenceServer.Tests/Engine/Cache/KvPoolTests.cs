using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;

namespace InferenceServer.Tests.Engine.Cache;

public sealed class KvPoolTests
{
    private readonly PrefixTree _tree = new(fromCheckpointsOnly: false);

    private static KvPool Pool(bool shares = true) =>
        new(new DecoderLimits(Cells: 64, ContextLength: 64, SequenceIds: 5, BatchSize: 16, MaxOutputs: 4, shares, StateBytesPerToken: 16));

    /// <summary>A running sequence computes a node below another and publishes it.</summary>
    private static PrefixNode Publish(KvPool pool, PrefixNode parent, int id, params int[] tokens)
    {
        PrefixNode node = PrefixTree.Add(parent, tokens);
        node.Pins = 1;
        pool.Ledger.TakePrivate(tokens.Length);
        pool.Ledger.PublishPrivate(tokens.Length);
        pool.MakeResident(node, id);
        return node;
    }

    private static void Unpin(KvPool pool, PrefixNode node)
    {
        node.Pins--;
        pool.Ledger.Unpin(node.Length);
    }

    [Fact]
    public void An_id_moves_with_its_sequence_from_root_to_leaf_and_is_taken_over_without_a_copy()
    {
        KvPool pool = Pool();
        PrefixNode root = _tree.Root(PrefixTree.NamespaceKey(""));
        int id = pool.RentFor(root, takeOver: false);
        PrefixNode leaf = Publish(pool, root, id, 1, 2, 3);
        Unpin(pool, leaf);
        pool.GiveBack(id, leaf);
        Assert.Same(leaf, pool.Leaves[id]);
        Assert.Empty(pool.PendingOps);
        Assert.Equal(id, pool.RentFor(leaf, takeOver: true));
        Assert.Empty(pool.PendingOps);
        Assert.Equal(0, pool.LeafCount);
    }

    [Fact]
    public void A_leaf_that_gets_a_child_gives_its_id_back()
    {
        KvPool pool = Pool();
        PrefixNode root = _tree.Root(PrefixTree.NamespaceKey(""));
        int first = pool.RentFor(root, takeOver: false);
        PrefixNode parent = Publish(pool, root, first, 1, 2);
        Unpin(pool, parent);
        pool.GiveBack(first, parent);
        int second = pool.RentFor(parent, takeOver: false);
        Assert.Equal(KvOp.Copy(first, second, 0, 2), Assert.Single(pool.PendingOps));
        PrefixNode child = Publish(pool, parent, second, 3);
        Assert.Equal(PrefixNode.NoHolder, parent.Holder);
        Assert.Equal((second, SequenceIdOwner.Free), (child.Holder, pool.Ids.OwnerOf(first)));
        Assert.Equal(KvOp.Remove(first, 0), pool.PendingOps[^1]);
    }

    [Fact]
    public void An_only_child_that_leaves_hands_its_id_to_its_parent_and_a_sibling_does_not()
    {
        KvPool pool = Pool();
        PrefixNode root = _tree.Root(PrefixTree.NamespaceKey(""));
        int first = pool.RentFor(root, takeOver: false);
        PrefixNode parent = Publish(pool, root, first, 1, 2);
        PrefixNode left = Publish(pool, parent, first, 3);
        int second = pool.RentFor(left, takeOver: false);
        PrefixNode right = Publish(pool, parent, second, 4);
        foreach (PrefixNode node in new[] { parent, left, right })
            Unpin(pool, node);
        pool.GiveBack(first, left);
        pool.GiveBack(second, right);
        pool.Vacate(right);
        Assert.Equal((SequenceIdOwner.Free, PrefixNode.NoHolder), (pool.Ids.OwnerOf(second), parent.Holder));
        Assert.Equal(KvOp.Remove(second, 0), pool.PendingOps[^1]);
        pool.Vacate(left);
        Assert.Equal((first, SequenceIdOwner.Leaf), (parent.Holder, pool.Ids.OwnerOf(first)));
        Assert.Equal(KvOp.Remove(first, 2), pool.PendingOps[^1]);
        Assert.Equal((62, 2), (pool.Ledger.Free, pool.Ledger.Cached));
    }

    [Fact]
    public void A_part_is_saved_and_restored_through_the_scratch_id()
    {
        KvPool pool = Pool();
        PrefixNode root = _tree.Root(PrefixTree.NamespaceKey(""));
        int id = pool.RentFor(root, takeOver: false);
        Publish(pool, root, id, 1, 2);
        PrefixNode leaf = Publish(pool, root.Children[1], id, 3, 4);
        KvBlob blob = new(2, 4);
        pool.Save(leaf, blob);
        pool.Restore(blob, id, 2, 3);
        int scratch = pool.Ids.Scratch;
        Assert.Equal(
            [KvOp.Copy(id, scratch, 2, 4), KvOp.Save(scratch, blob), KvOp.Remove(scratch, 0), KvOp.Restore(blob, scratch), KvOp.Copy(scratch, id, 2, 3), KvOp.Remove(scratch, 0)],
            pool.PendingOps);
    }
}
