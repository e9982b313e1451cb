using InferenceServer.Engine.Cache;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Engine.Cache;

public sealed class SavedPrefixesTests
{
    private const int BytesPerToken = 10;

    private readonly PrefixTree _tree = new(fromCheckpointsOnly: false);
    private readonly SessionTable _sessions = new(new FakeTimeProvider());
    private readonly HostTier _host = new(budgetBytes: 100, BytesPerToken);
    private readonly SavedPrefixes _saved;
    private readonly PrefixNode _root;

    public SavedPrefixesTests()
    {
        _saved = new SavedPrefixes(_tree, _host, disk: null, _sessions);
        _root = _tree.Root(PrefixTree.NamespaceKey(""));
    }

    /// <summary>A node that has left the pool, saved in host memory.</summary>
    private PrefixNode Save(PrefixNode parent, params int[] tokens)
    {
        PrefixNode node = PrefixTree.Add(parent, tokens);
        _saved.Touch(node);
        Assert.True(_host.TryReserve(node));
        node.Saved!.Memory!.Fill(new byte[tokens.Length * BytesPerToken]);
        _saved.Settle();
        return node;
    }

    [Fact]
    public void What_no_tier_holds_any_more_leaves_the_tree_with_all_below_it_and_a_later_miss_can_say_why()
    {
        PrefixNode parent = Save(_root, 1, 2), child = Save(parent, 3, 4);
        _saved.Forget(parent.Saved!);
        Assert.Empty(_root.Children);
        Assert.Equal((0L, 0), (_host.UsedBytes, _host.Entries));
        Assert.Null(child.Saved);
        Assert.True(_saved.WasEvicted(_root.PrefixHash, [1, 2, 3, 4]));
    }

    [Fact]
    public void What_a_client_dropped_was_not_evicted()
    {
        PrefixNode node = Save(_root, 1, 2);
        _saved.Drop(node, isEviction: false);
        Assert.Empty(_root.Children);
        Assert.Equal(0, _host.UsedBytes);
        Assert.False(_saved.WasEvicted(_root.PrefixHash, [1, 2]));
    }

    [Fact]
    public void Over_its_budget_host_memory_gives_up_what_was_used_longest_ago()
    {
        PrefixNode first = Save(_root, [.. Enumerable.Range(1, 6)]), second = Save(_root, 50, 51);
        _saved.Touch(first);
        PrefixNode third = Save(_root, 60, 61, 62);
        Assert.Equal([first, third], _root.Children.Values);
        Assert.Null(second.Saved);
        Assert.Equal(90, _host.UsedBytes);
    }

    [Fact]
    public void A_save_that_failed_is_not_tried_again_until_the_cache_was_used()
    {
        PrefixNode node = PrefixTree.Add(_root, new[] { 1, 2 });
        node.IsResident = true;
        Assert.True(_host.TryReserve(node));
        node.Saved!.Memory!.Fail();
        _saved.Settle();
        Assert.True(_saved.JustFailedToSave);
        Assert.Null(node.Saved);
        Assert.Same(node, Assert.Single(_root.Children.Values));
        _saved.Touch(node);
        Assert.False(_saved.JustFailedToSave);
    }

    [Fact]
    public void The_newest_turn_of_a_session_goes_after_what_was_used_a_little_later()
    {
        PrefixNode turn = Save(_root, 1, 2), other = Save(_root, 5, 6);
        Assert.True(SavedPrefixes.EvictionRank(turn) < SavedPrefixes.EvictionRank(other));
        _sessions.Move(PrefixTree.NamespaceKey(""), "chat", turn);
        Assert.True(SavedPrefixes.EvictionRank(turn) > SavedPrefixes.EvictionRank(other));
        Assert.True(SavedPrefixes.EvictionRank(turn.Saved!) > SavedPrefixes.EvictionRank(other.Saved!));
    }
}
