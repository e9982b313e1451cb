// The tier below the KV pool: saved state of evicted nodes in host memory, within a byte budget. Decode thread only.
// Always: bytes held == the sum over distinct blobs; a node is in the list exactly while it has a blob.

namespace InferenceServer.Engine.Cache;

/// <param name="budgetBytes">0 turns the tier off.</param>
/// <param name="bytesPerToken">What a token's state takes, for room to be reserved before the state is read.</param>
internal sealed class HostTier(long budgetBytes, long bytesPerToken)
{
    private readonly LinkedList<PrefixNode> _leastRecentFirst = [];
    private readonly Dictionary<KvBlob, long> _bytes = [];
    private readonly List<PrefixNode> _unsettled = [];

    public long BudgetBytes { get; } = budgetBytes;

    public long UsedBytes { get; private set; }

    public int Entries => _bytes.Count;

    public bool HasUnsettled => _unsettled.Count > 0;

    /// <summary>Gives the node an empty blob to be saved into; false when it would not fit even alone.</summary>
    public bool TryReserve(PrefixNode node)
    {
        long bytes = node.Length * bytesPerToken;
        if (bytes > BudgetBytes)
            return false;
        KvBlob blob = new(node.Start, node.End) { References = 1 };
        Account(blob, bytes);
        Attach(node, blob);
        _unsettled.Add(node);
        return true;
    }

    /// <summary>The same, but only where nothing must go for it.</summary>
    public bool TryReserveWithinBudget(PrefixNode node) => UsedBytes + (node.Length * bytesPerToken) <= BudgetBytes && TryReserve(node);

    /// <summary>The upper part of a node that was split refers to the same blob.</summary>
    public void Share(PrefixNode node, PrefixNode upper)
    {
        node.Blob!.References++;
        Attach(upper, node.Blob);
    }

    public void Touch(PrefixNode node)
    {
        if (node.HostEntry is null)
            return;
        _leastRecentFirst.Remove(node.HostEntry);
        _leastRecentFirst.AddLast(node.HostEntry);
    }

    /// <summary>The node no longer has a blob; the bytes go with its last reference.</summary>
    public void Release(PrefixNode node)
    {
        KvBlob blob = node.Blob!;
        _leastRecentFirst.Remove(node.HostEntry!);
        node.HostEntry = null;
        node.Blob = null;
        if (--blob.References > 0)
            return;
        UsedBytes -= _bytes[blob];
        _bytes.Remove(blob);
    }

    /// <summary>The node to drop next while the budget is exceeded; null when it is kept.</summary>
    public PrefixNode? NextOverBudget() => UsedBytes > BudgetBytes ? _leastRecentFirst.First!.Value : null;

    /// <summary>Replaces reserved sizes by real ones and returns the nodes whose state could not be saved.</summary>
    public List<PrefixNode> Settle()
    {
        bool anyFailed = false;
        for (int i = _unsettled.Count - 1; i >= 0; i--)
        {
            PrefixNode node = _unsettled[i];
            if (node.Blob is { State: KvBlobState.Pending })
                continue;
            _unsettled.RemoveAt(i);
            if (node.Blob is not { } blob)
                continue;
            if (blob.State == KvBlobState.Failed)
                anyFailed = true;
            else
                Account(blob, blob.Data!.LongLength);
        }
        return anyFailed ? [.. _leastRecentFirst.Where(node => node.Blob!.State == KvBlobState.Failed)] : [];
    }

    /// <summary>The operations that would have filled these blobs will not run.</summary>
    public void FailPending()
    {
        foreach (PrefixNode node in _unsettled)
            if (node.Blob is { State: KvBlobState.Pending } blob)
                blob.Fail();
    }

    private void Account(KvBlob blob, long bytes)
    {
        UsedBytes += bytes - _bytes.GetValueOrDefault(blob);
        _bytes[blob] = bytes;
    }

    private void Attach(PrefixNode node, KvBlob blob)
    {
        node.Blob = blob;
        node.HostEntry = _leastRecentFirst.AddLast(node);
    }
}
