// Sequence ids of the native memory. Decode thread only. Every id has exactly one owner: nobody (free), a running sequence, or a leaf.

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
    public SequenceIdPool(int count, bool reserveScratch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, reserveScratch ? 2 : 1);
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

    /// <summary>Some sequence runs.</summary>
    public bool HasRunning => _owners.AsSpan().Contains(SequenceIdOwner.Running);

    public SequenceIdOwner OwnerOf(int id) => _owners[id];

    /// <summary>Takes the lowest free id for a running sequence: streams want contiguous ids.</summary>
    public int Rent()
    {
        if (_free.Count == 0)
            throw new InvalidOperationException("No sequence id is free; the caller must evict a leaf first.");
        int id = _free.Min;
        _free.Remove(id);
        _owners[id] = SequenceIdOwner.Running;
        return id;
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
