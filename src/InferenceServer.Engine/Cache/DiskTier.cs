// The lowest tier as the decode thread sees it: which states have a file, what waits to be written, how much room is left. It never
// waits for the disk: commands go to DiskStore, results are taken in between steps. Always: bytes used == files + writes under way + foreign
// files; a state with a file or a write under way is listed.

namespace InferenceServer.Engine.Cache;

/// <param name="store">Owned from here on.</param>
/// <param name="budgetBytes">Most bytes of all files together.</param>
internal sealed class DiskTier(DiskStore store, long budgetBytes) : IDisposable
{
    /// <summary>States whose bytes the disk thread holds at a time: the next one is ready when one is done, and memory stays bounded.</summary>
    private const int MaxWrites = 2;

    private readonly HashSet<SavedState> _onDisk = [];
    private readonly LinkedList<SavedState> _unwritten = [];
    private readonly Queue<DiskFile> _foreign = new();
    private int _writes;
    private long _writingBytes;

    public long BudgetBytes { get; } = budgetBytes;

    public long UsedBytes { get; private set; }

    public int Entries => _onDisk.Count;

    /// <summary>Host memory promised to loads under way.</summary>
    public long LoadingBytes { get; private set; }

    public DiskCounters Counters { get; } = new();

    /// <summary>The newest failure of the file system, for the log.</summary>
    public string? LastError { get; private set; }

    public bool IsWriting => _writes > 0;

    /// <summary>The names of sessions are being written.</summary>
    public bool IsNaming { get; private set; }

    /// <summary>Grows whenever a state gets a file or loses it.</summary>
    public long Changes { get; private set; }

    public bool HasUnwritten => _unwritten.Count > 0;

    public DiskStore Store => store;

    /// <summary>Asks for what an earlier run left.</summary>
    public void Scan() => store.Post(new DiskCommand(DiskCommandKind.Scan, null, null, "", 0, [], []));

    /// <summary>A state that is in host memory is to be written when its turn comes; if memory drops it before, it is not.</summary>
    public void WantWrite(SavedState state)
    {
        if (CacheFile.BytesOf(state.End, state.HostBytes) <= BudgetBytes)
            _unwritten.AddLast(state);
    }

    /// <summary>The next state to write, oldest first, for it is the next that memory drops; null when none is wanted or enough are under way.</summary>
    public SavedState? NextUnwritten()
    {
        while (_writes < MaxWrites && _unwritten.First is { } first)
        {
            _unwritten.RemoveFirst();
            if (first.Value is { IsReady: true, File: null, IsWriting: false, Nodes.Count: > 0 } state)
                return state;
        }
        return null;
    }

    public bool HasRoomFor(SavedState state) => UsedBytes + CacheFile.BytesOf(state.End, state.HostBytes) <= BudgetBytes;

    public void Write(SavedState state, string namespaceKey, int[] tokens)
    {
        byte[] data = state.Memory!.Data!;
        DiskFile file = new("", CacheFile.BytesOf(state.End, data.LongLength), data.LongLength);
        state.IsWriting = true;
        _onDisk.Add(state);
        UsedBytes += file.Bytes;
        _writingBytes += file.Bytes;
        _writes++;
        store.Post(new DiskCommand(DiskCommandKind.Write, state, file, namespaceKey, state.Start, tokens, data));
    }

    public void Load(SavedState state, string namespaceKey, int[] tokens)
    {
        state.IsLoading = true;
        LoadingBytes += state.File!.PayloadBytes;
        store.Post(new DiskCommand(DiskCommandKind.Load, state, state.File, namespaceKey, state.Start, tokens, []));
    }

    public void Name(IReadOnlyList<SavedSession> sessions)
    {
        IsNaming = true;
        store.Post(new DiskCommand(DiskCommandKind.Name, null, null, "", 0, [], [], sessions));
    }

    public void Named() => IsNaming = false;

    /// <summary>Takes over a file that an earlier run left.</summary>
    public void Adopt(SavedState state, DiskFile file)
    {
        state.File = file;
        _onDisk.Add(state);
        UsedBytes += file.Bytes;
    }

    public void AdoptForeign(DiskFile file)
    {
        _foreign.Enqueue(file);
        UsedBytes += file.Bytes;
    }

    /// <summary>A file that no state wants.</summary>
    public void Delete(DiskFile file) => store.Post(new DiskCommand(DiskCommandKind.Delete, null, file, "", 0, [], []));

    /// <summary>The state's file goes; a write under way is deleted when it is done.</summary>
    public void Remove(SavedState state)
    {
        if (!_onDisk.Remove(state) || state.File is not { } file)
            return;
        UsedBytes -= file.Bytes;
        state.File = null;
        Changes++;
        Delete(file);
    }

    /// <summary>Deletes a foreign file to make room; false when there is none.</summary>
    public bool DropForeign()
    {
        if (!_foreign.TryDequeue(out DiskFile? file))
            return false;
        UsedBytes -= file.Bytes;
        Delete(file);
        return true;
    }

    /// <summary>The file of the lowest rank; below equals the lower one, so that nothing is left hanging. Null when all are being written.</summary>
    public SavedState? First(Func<SavedState, long> rank)
    {
        SavedState? first = null;
        long lowest = 0;
        foreach (SavedState state in _onDisk)
            if (state.File is not null && rank(state) is var its && (first is null || its < lowest || (its == lowest && state.Start > first.Start)))
                (first, lowest) = (state, its);
        return first;
    }

    /// <summary>Notes the end of a write, failed when <paramref name="file"/> is null. False when the state was dropped meanwhile: its file is deleted.</summary>
    public bool Written(SavedState state, DiskFile? file, long bytes)
    {
        _writes--;
        _writingBytes -= bytes;
        state.IsWriting = false;
        bool wanted = _onDisk.Contains(state);
        if (file is not null)
        {
            Counters.Writes++;
            Counters.WrittenBytes += file.Bytes;
        }
        if (file is not null && wanted)
        {
            state.File = file;
            Changes++;
            return true;
        }
        UsedBytes -= bytes;
        _onDisk.Remove(state);
        if (file is not null)
            Delete(file);
        return wanted;
    }

    public void Loaded(SavedState state, long payloadBytes)
    {
        LoadingBytes -= payloadBytes;
        state.IsLoading = false;
    }

    /// <summary>The file turned out to be damaged or gone: it counts no more.</summary>
    public void Lost(SavedState state)
    {
        if (state.File is not { } file)
            return;
        _onDisk.Remove(state);
        UsedBytes -= file.Bytes;
        state.File = null;
        Changes++;
    }

    /// <summary><see cref="UsedBytes"/>, counted from scratch.</summary>
    public long CountBytes() => _onDisk.Sum(state => state.File?.Bytes ?? 0) + _writingBytes + _foreign.Sum(file => file.Bytes);

    public void CountError(string error)
    {
        Counters.Errors++;
        LastError = error;
    }

    public void Dispose() => store.Dispose();
}

/// <summary>Counts that only grow.</summary>
internal sealed class DiskCounters
{
    public long Writes { get; set; }
    public long WrittenBytes { get; set; }

    /// <summary>Files of another model, adapter, KV type or build, or that fit nowhere: not used.</summary>
    public long IgnoredFiles { get; set; }

    /// <summary>Truncated or changed files: deleted.</summary>
    public long DamagedFiles { get; set; }

    /// <summary>Reads, writes and deletions that the file system refused.</summary>
    public long Errors { get; set; }
}
