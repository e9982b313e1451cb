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

    [Fact]
    public void A_request_for_the_host_never_gets_an_id_that_the_device_draws_for_and_a_leaf_makes_way()
    {
        KvPool pool = new(new DecoderLimits(Cells: 64, ContextLength: 64, SequenceIds: 5, BatchSize: 16, MaxOutputs: 4, SharesCells: true, StateBytesPerToken: 16, DrawnIds: 2));
        PrefixNode root = _tree.Root(PrefixTree.NamespaceKey(""));
        // Ids 2 and 3 are the host's, 4 is the scratch id.
        int[] ids = [pool.RentFor(root, takeOver: false), pool.RentFor(root, takeOver: false)];
        Assert.Equal([2, 3], ids);
        PrefixNode leaf = Publish(pool, root, 3, 1, 2);
        Unpin(pool, leaf);
        pool.GiveBack(3, leaf);
        Assert.Equal(3, pool.RentFor(root, takeOver: false));
        Assert.Equal([KvOp.Copy(3, 0, 0, KvOp.ToEnd), KvOp.Remove(3, 0)], pool.PendingOps);
        Assert.Equal((0, SequenceIdOwner.Leaf, leaf), (leaf.Holder, pool.Ids.OwnerOf(0), pool.Leaves[0]));
    }

    [Fact]
    public void A_sequence_changes_over_to_the_device_and_stays_with_the_host_where_all_that_it_draws_for_run()
    {
        KvPool pool = new(new DecoderLimits(Cells: 64, ContextLength: 64, SequenceIds: 5, BatchSize: 16, MaxOutputs: 4, SharesCells: true, StateBytesPerToken: 16, DrawnIds: 1));
        PrefixNode root = _tree.Root(PrefixTree.NamespaceKey(""));
        int first = pool.RentFor(root, takeOver: false), second = pool.RentFor(root, takeOver: false);
        PrefixNode node = Publish(pool, root, first, 1, 2);
        Assert.Equal(0, pool.Move(first, node, drawn: true));
        Assert.Equal(0, node.Holder);
        Assert.Equal([KvOp.Copy(first, 0, 0, KvOp.ToEnd), KvOp.Remove(first, 0)], pool.PendingOps);
        Assert.Equal(second, pool.Move(second, root, drawn: true));
        Assert.Equal(first, pool.Move(0, node, drawn: false));
    }
}
