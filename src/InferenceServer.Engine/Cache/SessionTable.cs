// Which cached leaf belongs to which named conversation. Decode thread only.

namespace InferenceServer.Engine.Cache;

/// <summary>A conversation that its client named; its newest turn's leaf is kept longer than others.</summary>
internal sealed class SessionEntry(string cacheNamespace, string id)
{
    public string Namespace { get; } = cacheNamespace;

    public string Id { get; } = id;

    /// <summary>Null when the entry was evicted from every tier.</summary>
    public PrefixNode? Node { get; set; }

    /// <summary>A counter of uses, not a time.</summary>
    public void Forget(PrefixNode node)
    {
        if (Node == node)
            Node = null;
        node.Session = null;
    }
}

internal sealed class SessionTable
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
        if (entry.Value.Node is { } old)
            old.Session = null;
        node.Session?.Forget(node);
        entry.Value.Node = node;
        node.Session = entry.Value;
    }

    public SessionEntry? Find(string cacheNamespace, string id) =>
        _entries.TryGetValue((cacheNamespace, id), out LinkedListNode<SessionEntry>? entry) ? entry.Value : null;

    public void Remove(SessionEntry entry)
    {
        if (!_entries.Remove((entry.Namespace, entry.Id), out LinkedListNode<SessionEntry>? listed))
            return;
        _byUse.Remove(listed);
        if (entry.Node is { } node)
            entry.Forget(node);
    }
}
