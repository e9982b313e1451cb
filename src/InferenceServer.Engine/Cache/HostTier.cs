// The tier below the KV pool: saved state of evicted nodes, and checkpoints, in host memory, within a byte budget. Decode thread only.
// Always: bytes used == the sum over the listed states; a state is listed exactly while it has a blob or is being loaded.

namespace InferenceServer.Engine.Cache;

/// <param name="budgetBytes">0 turns the tier off.</param>
/// <param name="bytesPerToken">What a token's state takes, for room to be reserved before the state is read.</param>
internal sealed class HostTier(long budgetBytes, long bytesPerToken)
{
    private readonly LinkedList<SavedState> _leastRecentFirst = [];
    private readonly List<SavedState> _unsettled = [];

    public long BudgetBytes { get; } = budgetBytes;

    public long UsedBytes { get; private set; }

    public int Entries => _leastRecentFirst.Count;

    public IEnumerable<SavedState> LeastRecentFirst => _leastRecentFirst;

    /// <summary>Gives the node an empty blob to be saved into; false when it would not fit even alone.</summary>
    public bool TryReserve(PrefixNode node)
    {
        long bytes = BytesOf(node);
        if (bytes > BudgetBytes)
            return false;
        SavedState state = new(node.Start, node.Tokens) { Memory = new KvBlob(node.Start, node.End), LastUse = node.LastUse };
        state.Nodes.Add(node);
        node.Saved = state;
        AddUnsaved(state, bytes);
        return true;
    }

    /// <summary>Lists a state that a planned operation fills.</summary>
    public void AddUnsaved(SavedState state, long bytes)
    {
        Add(state, bytes);
        _unsettled.Add(state);
    }

    /// <summary>The same, but only where nothing must go for it.</summary>
    public bool TryReserveWithinBudget(PrefixNode node) => UsedBytes + BytesOf(node) <= BudgetBytes && TryReserve(node);

    /// <summary>What saving the node would take.</summary>
    public long BytesOf(PrefixNode node) => node.Length * bytesPerToken;

    /// <summary>Lists a state that takes so much memory, or will when it has been loaded; the most recent one now.</summary>
    public void Add(SavedState state, long bytes)
    {
        state.HostBytes = bytes;
        state.HostEntry = _leastRecentFirst.AddLast(state);
        UsedBytes += bytes;
    }

    public void Touch(SavedState state)
    {
        if (state.HostEntry is null)
            return;
        _leastRecentFirst.Remove(state.HostEntry);
        _leastRecentFirst.AddLast(state.HostEntry);
    }

    /// <summary>The state takes no host memory any more; who holds its blob for a planned step may still read it.</summary>
    public void Remove(SavedState state)
    {
        if (state.HostEntry is null)
            return;
        _leastRecentFirst.Remove(state.HostEntry);
        UsedBytes -= state.HostBytes;
        (state.HostEntry, state.HostBytes, state.Memory) = (null, 0, null);
    }

    /// <summary>The state to drop next while the budget is exceeded; null when all may stay.</summary>
    public SavedState? NextOverBudget() => UsedBytes > BudgetBytes ? _leastRecentFirst.First!.Value : null;

    /// <summary>Replaces reserved sizes by real ones; says what was saved since the last call, and what could not be.</summary>
    public void Settle(List<SavedState> saved, List<SavedState> failed)
    {
        for (int i = 0; i < _unsettled.Count; i++)
        {
            SavedState state = _unsettled[i];
            if (state.Memory is { State: KvBlobState.Pending })
                continue;
            _unsettled.RemoveAt(i--);
            if (state.Memory is not { } blob)
                continue;
            if (blob.State == KvBlobState.Failed)
            {
                failed.Add(state);
                continue;
            }
            UsedBytes += blob.Data!.LongLength - state.HostBytes;
            state.HostBytes = blob.Data.LongLength;
            saved.Add(state);
        }
    }

    public bool HasUnsettled => _unsettled.Count > 0;

    /// <summary>The operations that would have filled these blobs will not run.</summary>
    public void FailPending()
    {
        foreach (SavedState state in _unsettled)
            if (state.Memory is { State: KvBlobState.Pending } blob)
                blob.Fail();
    }
}
