// Which cached entries belong to which named conversation. Decode thread only.
// Always: a node lists a session exactly while the session lists the node; the newest turn's node is among the session's.

namespace InferenceServer.Engine.Cache;

/// <summary>A conversation that its client named; its newest turn's leaf is kept longer than others.</summary>
internal sealed class SessionEntry(string namespaceKey, string id)
{
    public string NamespaceKey { get; } = namespaceKey;

    public string Id { get; } = id;

    /// <summary>Where its turns end: also those that the conversation turned away from, since they hold its words too. A turn that another goes on from is in that one's end.</summary>
    public HashSet<PrefixNode> Ends { get; } = [];

    /// <summary>Where its newest turn ends, or what is left of it; null when nothing is.</summary>
    public PrefixNode? Newest { get; set; }

    public DateTimeOffset LastUsed { get; set; }
}

internal sealed class SessionTable(TimeProvider time)
{
    /// <summary>Names come from clients, so their number is bounded; the least recently used name is forgotten, not its cache entry.</summary>
    private const int MaxSessions = 4096;

    private readonly Dictionary<(string NamespaceKey, string Id), LinkedListNode<SessionEntry>> _entries = [];
    private readonly LinkedList<SessionEntry> _byUse = [];

    /// <summary>Least recently used first.</summary>
    public IEnumerable<SessionEntry> Entries => _byUse;

    /// <summary>Grows with every change.</summary>
    public long Changes { get; private set; }

    /// <summary>Some session's newest turn ends here.</summary>
    public static bool EndsNewest(PrefixNode leaf)
    {
        if (leaf.Sessions is { } sessions)
            foreach (SessionEntry entry in sessions)
                if (entry.Newest == leaf)
                    return true;
        return false;
    }

    /// <summary>The session's newest turn now ends at this node.</summary>
    public void Move(string namespaceKey, string? id, PrefixNode node)
    {
        if (id is null)
            return;
        if (!_entries.TryGetValue((namespaceKey, id), out LinkedListNode<SessionEntry>? entry))
        {
            if (_entries.Count == MaxSessions)
                Remove(_byUse.First!.Value);
            entry = new LinkedListNode<SessionEntry>(new SessionEntry(namespaceKey, id));
            _entries.Add((namespaceKey, id), entry);
        }
        else
            _byUse.Remove(entry);
        _byUse.AddLast(entry);
        Changes++;
        entry.Value.LastUsed = time.GetUtcNow();
        entry.Value.Newest = node;
        Link(entry.Value, node);
    }

    /// <summary>Takes in a name of an earlier run, as the least recently used one; null when it is in use already, or there is no room.</summary>
    public SessionEntry? Adopt(SavedSession saved)
    {
        SessionEntry entry = new(saved.NamespaceKey, saved.Id) { LastUsed = saved.LastUsed };
        if (_entries.Count == MaxSessions || _entries.ContainsKey((saved.NamespaceKey, saved.Id)))
            return null;
        _entries.Add((saved.NamespaceKey, saved.Id), _byUse.AddFirst(entry));
        return entry;
    }

    /// <summary>A turn of an earlier run ends at this node, as far as is known yet.</summary>
    public void Place(SavedSession saved, bool isNewest, PrefixNode node)
    {
        if (Find(saved.NamespaceKey, saved.Id) is not { } entry)
            return;
        if (isNewest && entry.LastUsed == saved.LastUsed)
            entry.Newest = node;
        Link(entry, node);
    }

    /// <summary>The node leaves the tree: what is left of its sessions' turns ends at its parent.</summary>
    public void MoveUp(PrefixNode node)
    {
        if (node.Sessions is not { } sessions)
            return;
        Changes++;
        node.Sessions = null;
        foreach (SessionEntry entry in sessions)
        {
            entry.Ends.Remove(node);
            PrefixNode? parent = node.Parent is { IsRoot: false } above ? above : null;
            if (parent is not null)
                Link(entry, parent);
            if (entry.Newest == node)
                entry.Newest = parent;
        }
    }

    public SessionEntry? Find(string namespaceKey, string id) =>
        _entries.TryGetValue((namespaceKey, id), out LinkedListNode<SessionEntry>? entry) ? entry.Value : null;

    /// <summary>Forgets the name; the cache keeps its entries.</summary>
    public void Remove(SessionEntry entry)
    {
        if (!_entries.Remove((entry.NamespaceKey, entry.Id), out LinkedListNode<SessionEntry>? listed))
            return;
        Changes++;
        _byUse.Remove(listed);
        foreach (PrefixNode node in entry.Ends)
            Unlink(entry, node);
    }

    private static void Link(SessionEntry entry, PrefixNode node)
    {
        if (entry.Ends.Add(node))
            (node.Sessions ??= []).Add(entry);
        for (PrefixNode? above = node.Parent; above is { IsRoot: false }; above = above.Parent)
            if (above != entry.Newest && entry.Ends.Remove(above))
                Unlink(entry, above);
    }

    private static void Unlink(SessionEntry entry, PrefixNode node)
    {
        node.Sessions!.Remove(entry);
        if (node.Sessions.Count == 0)
            node.Sessions = null;
    }
}
