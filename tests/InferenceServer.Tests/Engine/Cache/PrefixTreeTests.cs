using InferenceServer.Engine.Cache;
using Xunit.Abstractions;

namespace InferenceServer.Tests.Engine.Cache;

public sealed class PrefixTreeTests(ITestOutputHelper output)
{
    private static readonly string A = PrefixTree.NamespaceKey("a"), B = PrefixTree.NamespaceKey("b");

    /// <summary>As a sequence publishes: along what is there, cutting where it leaves it, and a leaf for the rest.</summary>
    private static PrefixNode Insert(PrefixTree tree, string namespaceKey, int[] tokens)
    {
        PrefixNode node = tree.Root(namespaceKey);
        while (node.End < tokens.Length)
        {
            if (!node.Children.TryGetValue(tokens[node.End], out PrefixNode? child))
                child = PrefixTree.Add(node, tokens.AsMemory(node.End));
            else if (child.Tokens.Span.CommonPrefixLength(tokens.AsSpan(node.End)) is var common && common < child.Length)
                child = PrefixTree.Split(child, common);
            child.IsResident = true;
            node = child;
        }
        return node;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_match_is_the_longest_prefix_of_anything_inserted(int seed)
    {
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        PrefixTree tree = new(fromCheckpointsOnly: false);
        List<(string Namespace, int[] Tokens)> inserted = [];
        for (int i = 0; i < 2000; i++)
        {
            string name = random.Next(2) == 0 ? A : B;
            int[] stem = inserted.Count == 0 ? [] : inserted[random.Next(inserted.Count)].Tokens;
            int[] tokens = [.. stem[..random.Next(stem.Length + 1)], .. Enumerable.Range(0, random.Next(1, 6)).Select(_ => random.Next(4))];
            int longest = inserted.Where(entry => entry.Namespace == name).Select(entry => entry.Tokens.AsSpan().CommonPrefixLength(tokens)).DefaultIfEmpty(0).Max();
            Assert.Equal(longest, tree.Match(name, tokens).TotalTokens);
            List<PrefixNode> path = tree.Path(tree.Root(name), tokens);
            Assert.Equal(longest, path.Count == 0 ? 0 : path[^1].End);
            Assert.Equal(tokens[..longest], path.SelectMany(node => node.Tokens.ToArray()));
            Insert(tree, name, tokens);
            Assert.Equal(tokens.Length, PrefixTree.FindEnd(tree.Root(name), tokens)?.End);
            inserted.Add((name, tokens));
        }
    }

    [Fact]
    public void A_split_keeps_tokens_use_and_hash()
    {
        PrefixTree tree = new(fromCheckpointsOnly: false);
        PrefixNode leaf = Insert(tree, A, [1, 2, 3, 4, 5]);
        tree.CountRows(7);
        tree.Stamp(leaf);
        ulong hash = leaf.PrefixHash;
        PrefixNode upper = PrefixTree.Split(leaf, 2);
        Assert.Equal((0, 2, 2, 5), (upper.Start, upper.End, leaf.Start, leaf.End));
        Assert.Equal((upper.LastUse, upper.LastUseRows), (leaf.LastUse, 7));
        Assert.Equal(hash, leaf.PrefixHash);
        Assert.Same(upper, leaf.Parent);
        Assert.Same(leaf, upper.Children[3]);
    }

    [Fact]
    public void Where_requests_go_on_from_checkpoints_only_a_match_ends_at_one()
    {
        PrefixTree tree = new(fromCheckpointsOnly: true);
        PrefixNode leaf = Insert(tree, A, [1, 2, 3, 4]);
        Assert.Equal((0, 4), (tree.Match(A, [1, 2, 3, 4, 5]).TotalTokens, tree.Match(A, [1, 2, 3, 4, 5]).TreeTokens));
        leaf.Checkpoint = new SavedState(4, default) { Memory = new KvBlob(4, 4) };
        Assert.Equal(4, tree.Match(A, [1, 2, 3, 4, 5]).TotalTokens);
        Assert.Equal(0, tree.Match(A, [1, 2, 9]).TotalTokens);
        Assert.Empty(tree.Path(tree.Root(A), [1, 2, 9]));
    }

    [Fact]
    public void What_no_tier_holds_ends_a_match()
    {
        PrefixTree tree = new(fromCheckpointsOnly: false);
        Insert(tree, A, [1, 2]);
        Insert(tree, A, [1, 2, 3, 4]).IsResident = false;
        Assert.Equal(2, tree.Match(A, [1, 2, 3, 4]).TotalTokens);
    }

    [Fact]
    public void The_last_node_takes_its_root_along_and_one_in_use_does_not_go()
    {
        PrefixTree tree = new(fromCheckpointsOnly: false);
        PrefixNode leaf = Insert(tree, A, [1, 2]);
        Assert.Throws<InvalidOperationException>(() => tree.Remove(leaf));
        leaf.IsResident = false;
        tree.Remove(leaf);
        Assert.Empty(tree.Roots);
    }
}
