namespace InferenceServer.Operations;

/// <summary>Of a route whose requests are work for a model.</summary>
internal sealed class ModelRoute
{
    public static ModelRoute Marker { get; } = new();
}

/// <summary>Each key's latest requests to models, in memory only.</summary>
internal sealed class RecentRequests
{
    /// <summary>Of each key.</summary>
    public const int Kept = 256;

    // As many entries as the server has keys.
    private readonly Dictionary<string, Queue<(string Endpoint, RequestTrace Trace)>> _byOwner = [];
    private readonly Lock _gate = new();

    public void Begin(string owner, string endpoint, RequestTrace trace)
    {
        lock (_gate)
        {
            if (!_byOwner.TryGetValue(owner, out Queue<(string, RequestTrace)>? requests))
                _byOwner[owner] = requests = new(Kept);
            if (requests.Count == Kept)
                requests.Dequeue();
            requests.Enqueue((endpoint, trace));
        }
    }

    /// <summary>Of an owner, the newest first; those that something else goes on in the place of are left out.</summary>
    public IReadOnlyList<(string Endpoint, RequestTrace Trace)> Newest(string owner, int limit)
    {
        lock (_gate)
            return _byOwner.TryGetValue(owner, out Queue<(string Endpoint, RequestTrace Trace)>? own) ? [.. own.Reverse().Where(request => !request.Trace.IsPassedOn).Take(limit)] : [];
    }
}
