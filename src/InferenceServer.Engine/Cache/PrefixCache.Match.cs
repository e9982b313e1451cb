// What the tree holds of a prompt. Decode thread only.

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    /// <summary>The longest prefix of <paramref name="tokens"/> that any tier holds and that one can go on from. Changes nothing.</summary>
    public PrefixMatch Match(string namespaceKey, ReadOnlySpan<int> tokens)
    {
        if (!_roots.TryGetValue(namespaceKey, out PrefixNode? node))
            return default;
        PrefixMatch match = default;
        int depth = 0, resident = 0, pinned = 0, ready = 0;
        bool isReady = true;
        while (depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child))
        {
            if (!IsUsable(child))
                break;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            depth += common;
            if (child.IsResident)
                resident = depth;
            isReady = isReady && (child.IsResident || child.Saved!.IsReady);
            if (isReady)
                ready = depth;
            if (child.Pins > 0)
                pinned = depth;
            if (!NeedsCheckpoints)
                match = new PrefixMatch(pinned, resident, ready, depth, depth);
            else if (common == child.Length && child.Checkpoint is { IsUsable: true } checkpoint)
                match = new PrefixMatch(pinned, resident, checkpoint.IsReady ? ready : match.ReadyTokens, depth, depth);
            if (common < child.Length)
                break;
            node = child;
        }
        return match with { TreeTokens = depth };
    }

    /// <summary>The nodes from below this one to the end of the match, the last one split there; where checkpoints are needed, to the last of them.</summary>
    private List<PrefixNode> MatchPath(PrefixNode node, ReadOnlySpan<int> tokens)
    {
        List<PrefixNode> path = [];
        int depth = node.End, usable = 0;
        while (depth < tokens.Length && node.Children.TryGetValue(tokens[depth], out PrefixNode? child))
        {
            if (!IsUsable(child))
                break;
            int common = child.Tokens.Span.CommonPrefixLength(tokens[depth..]);
            if (common < child.Length && NeedsCheckpoints)
                break;
            if (common < child.Length)
                child = Split(child, common);
            path.Add(child);
            if (!NeedsCheckpoints || child.Checkpoint is { IsReady: true })
                usable = path.Count;
            depth += common;
            node = child;
        }
        path.RemoveRange(usable, path.Count - usable);
        return path;
    }
}
