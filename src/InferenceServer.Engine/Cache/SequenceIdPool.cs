// Sequence ids of the native memory. Decode thread only. Every id has exactly one owner: nobody (free), a running sequence, or a leaf.
// Of two kinds: the lowest are those whose tokens the device draws, and whose logits the host does not see.

namespace InferenceServer.Engine.Cache;

internal enum SequenceIdOwner
{
    Free,
    Running,
    Leaf,

    /// <summary>The one id through which parts of a sequence are saved and restored.</summary>
    Scratch,
}

internal sealed class SequenceIdPool
{
    private readonly SequenceIdOwner[] _owners;
    private readonly SortedSet<int> _free = [];

    /// <param name="count">All ids.</param>
    /// <param name="reserveScratch">Keep the last one for <see cref="Scratch"/>.</param>
    /// <param name="drawn">Ids below this are those whose tokens the device draws.</param>
    public SequenceIdPool(int count, bool reserveScratch, int drawn = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, drawn + (reserveScratch ? 2 : 1));
        DrawnCount = drawn;
        _owners = new SequenceIdOwner[count];
        if (reserveScratch)
            _owners[count - 1] = SequenceIdOwner.Scratch;
        for (int id = 0; id < count - (reserveScratch ? 1 : 0); id++)
            _free.Add(id);
    }

    /// <summary>The id through which parts of a sequence are saved and restored; only where one was reserved.</summary>
    public int Scratch => _owners[^1] == SequenceIdOwner.Scratch ? Count - 1 : throw new InvalidOperationException("No scratch id was reserved.");

    public int Count => _owners.Length;

    public int FreeCount => _free.Count;

    public int DrawnCount { get; }

    /// <summary>The device draws this id's tokens.</summary>
    public bool IsDrawn(int id) => id < DrawnCount;

    public bool HasFree(bool drawn) => _free.Count > 0 && IsDrawn(drawn ? _free.Min : _free.Max) == drawn;

    /// <summary>Some sequence runs.</summary>
    public bool HasRunning => _owners.AsSpan().Contains(SequenceIdOwner.Running);

    public SequenceIdOwner OwnerOf(int id) => _owners[id];

    /// <summary>Takes the lowest free id of a kind: streams want contiguous ids.</summary>
    public int Rent(bool drawn = false, SequenceIdOwner owner = SequenceIdOwner.Running)
    {
        if (!HasFree(drawn))
            throw new InvalidOperationException($"No sequence id {(drawn ? "that the device draws for" : "whose logits the host sees")} is free; the caller must make one free first.");
        int id = drawn || DrawnCount == 0 ? _free.Min : _free.GetViewBetween(DrawnCount, Count).Min;
        _free.Remove(id);
        _owners[id] = owner;
        return id;
    }

    /// <summary>An id of a kind that a leaf owns; null where none does.</summary>
    public int? LeafId(bool drawn)
    {
        (int first, int end) = drawn ? (0, DrawnCount) : (DrawnCount, Count);
        int at = _owners.AsSpan(first, end - first).IndexOf(SequenceIdOwner.Leaf);
        return at < 0 ? null : first + at;
    }

    /// <summary>Hands an id from a running sequence to a leaf or back.</summary>
    public void Transfer(int id, SequenceIdOwner from, SequenceIdOwner to)
    {
        if (_owners[id] != from)
            throw new InvalidOperationException($"Sequence id {id} belongs to {_owners[id]}, not to {from}.");
        _owners[id] = to;
    }

    public void Release(int id)
    {
        if (_owners[id] is SequenceIdOwner.Free or SequenceIdOwner.Scratch)
            throw new InvalidOperationException($"Sequence id {id} is {_owners[id]} and cannot be released.");
        _owners[id] = SequenceIdOwner.Free;
        _free.Add(id);
    }
}
