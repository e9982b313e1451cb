// What the cache tells about itself: sessions, and why a prompt was not reused further. Decode thread only.

using InferenceServer.Engine.Replies;

namespace InferenceServer.Engine.Cache;

internal sealed partial class PrefixCache
{
    public SessionTable Sessions { get; }

    /// <summary>The namespace's sessions, most recently used first; one that went on with other adapters is there once for each set of them.</summary>
    public List<CachedSession> ListSessions(string cacheNamespace)
    {
        List<CachedSession> sessions = [];
        string key = PrefixTree.NamespaceKey(cacheNamespace);
        foreach (SessionEntry entry in Sessions.Entries.Reverse())
            if (PrefixTree.AreOfOneNamespace(entry.NamespaceKey, key))
                sessions.Add(Describe(entry));
        return sessions;
    }

    /// <summary>
    /// Forgets a session and its entries in all tiers, files included, whichever adapters they are of, as far as no other session and no running request needs
    /// them. False when there is none of this name.
    /// </summary>
    public bool DropSession(string cacheNamespace, string id)
    {
        string key = PrefixTree.NamespaceKey(cacheNamespace);
        SessionEntry[] named = [.. Sessions.Entries.Where(entry => entry.Id == id && PrefixTree.AreOfOneNamespace(entry.NamespaceKey, key))];
        foreach (SessionEntry entry in named)
        {
            PrefixNode[] ends = [.. entry.Ends.OrderByDescending(node => node.End)];
            Sessions.Remove(entry);
            foreach (PrefixNode node in ends)
                Forget(node);
        }
        return named.Length > 0;
    }

    /// <summary>Why no more of the prompt was reused; null when all but its last token was. Of a sequence that has just begun.</summary>
    /// <param name="held">What all tiers held just before.</param>
    public string? ExplainMiss(Sequence sequence, PrefixMatch held)
    {
        PrefixNode node = sequence.Node!;
        if (sequence.Computed >= sequence.PromptCount - 1)
            return null;
        if (!SharesPrefixes)
            return CacheMissReasons.NotShareable;
        if (held.TotalTokens > sequence.Computed)
            return CacheMissReasons.NotRestored;
        if (held.TreeTokens > sequence.Computed)
            return CacheMissReasons.LastCheckpoint;
        if (_saved.WasEvicted(node.PrefixHash, sequence.Tokens[node.End..^1]))
            return CacheMissReasons.Evicted;
        if (node.Children.Count > 0)
            return CacheMissReasons.Diverged;
        return node.IsRoot ? CacheMissReasons.NothingCached : CacheMissReasons.EndOfEntry;
    }

    private static CachedSession Describe(SessionEntry entry)
    {
        int pool = 0, host = 0, disk = 0;
        for (PrefixNode? node = entry.Newest; node is { IsRoot: false }; node = node.Parent)
            if (node.IsResident)
                pool += node.Length;
            else if (node.Saved is { Memory: not null })
                host += node.Length;
            else
                disk += node.Length;
        return new CachedSession(entry.Id, entry.Newest?.End ?? 0, pool, host, disk, entry.LastUsed);
    }
}
