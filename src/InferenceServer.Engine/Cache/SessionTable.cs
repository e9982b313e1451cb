// Which cached entries belong to which named conversation. Decode thread only.
// Always: a node lists a session exactly while the session lists the node; the newest turn's node is among the session's.

namespace InferenceServer.Engine.Cache;

/// <summary>A conversation that its client named; its newest turn's leaf is kept longer than others.</summary>
internal sealed class SessionEntry(string cacheNamespace, string id)
{
    public string Namespace { get; } = cacheNamespace;

    public string Id { get; } = id;

    /// <summary>Where its turns end: also those that the conversation turned away from, since they hold its words too.</summary>
    public HashSet<PrefixNode> Ends { get; } = [];

    /// <summary>Where its newest turn ends, or what is left of it; null when nothing is.</summary>
    public PrefixNode? Newest { get; set; }

    public DateTimeOffset LastUsed { get; set; }
}

internal sealed class SessionTable(TimeProvider time)
{
    /// <summary>Names come from clients, so their number is bounded; the least recently used name is forgotten, not its cache entry.</summary>
    private const int MaxSessions = 4096;

    private readonly Dictionary<(string Namespace, string Id), LinkedListNode<SessionEntry>> _entries = [];
    private readonly LinkedList<SessionEntry> _byUse = [];

    public IEnumerable<SessionEntry> Entries => _byUse;

    /// <summary>The session's newest turn now ends at this node.</summary>
    public void Move(GenerationRequest request, PrefixNode node)
    {
        if (request.SessionId is not { } id)
            return;
        if (!_entries.TryGetValue((request.CacheNamespace, id), out LinkedListNode<SessionEntry>? entry))
        {
            if (_entries.Count == MaxSessions)
                Remove(_byUse.First!.Value);
            entry = new LinkedListNode<SessionEntry>(new SessionEntry(request.CacheNamespace, id));
            _entries.Add((request.CacheNamespace, id), entry);
        }
        else
            _byUse.Remove(entry);
        _byUse.AddLast(entry);
        entry.Value.LastUsed = time.GetUtcNow();
        entry.Value.Newest = node;
        Link(entry.Value, node);
    }

    /// <summary>The node leaves the tree: what is left of its sessions' turns ends at its parent.</summary>
    public static void MoveUp(PrefixNode node)
    {
        if (node.Sessions is not { } sessions)
            return;
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

    public SessionEntry? Find(string cacheNamespace, string id) =>
        _entries.TryGetValue((cacheNamespace, id), out LinkedListNode<SessionEntry>? entry) ? entry.Value : null;

    /// <summary>Forgets the name; the cache keeps its entries.</summary>
    public void Remove(SessionEntry entry)
    {
        if (!_entries.Remove((entry.Namespace, entry.Id), out LinkedListNode<SessionEntry>? listed))
            return;
        _byUse.Remove(listed);
        foreach (PrefixNode node in entry.Ends)
        {
            node.Sessions!.Remove(entry);
            if (node.Sessions.Count == 0)
                node.Sessions = null;
        }
    }

    private static void Link(SessionEntry entry, PrefixNode node)
    {
        if (entry.Ends.Add(node))
            (node.Sessions ??= []).Add(entry);
    }
}
