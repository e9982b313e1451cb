// The disk tier's files and the one thread that touches them. The decode thread posts commands and takes results, both without waiting.
// Always: a file under its final name is whole; one process at a time uses a folder; a result comes for every command but deletions.

using System.Collections.Concurrent;

namespace InferenceServer.Engine.Cache;

internal enum DiskCommandKind
{
    /// <summary>Read the headers of all files.</summary>
    Scan,
    Write,
    Load,
    Delete,

    /// <summary>Put down the names of all sessions.</summary>
    Name,
}

/// <param name="State">Handed back with the result; the disk thread does not look into it.</param>
/// <param name="File">To load or delete; of a write the sizes, without a name yet.</param>
/// <param name="Sessions">All of them, most recently used first; only of <see cref="DiskCommandKind.Name"/>.</param>
internal readonly record struct DiskCommand(
    DiskCommandKind Kind, SavedState? State, DiskFile? File, string NamespaceKey, int Start, int[] Tokens, byte[] Data, IReadOnlyList<SavedSession>? Sessions = null);

/// <summary>What came of a command; all null when it failed.</summary>
/// <param name="Written">The file that is there now.</param>
/// <param name="Loaded">Its payload.</param>
/// <param name="Scan">What was found.</param>
/// <param name="Damaged">The file was damaged and has been deleted.</param>
/// <param name="Error">The file system's own words.</param>
internal readonly record struct DiskResult(
    DiskCommand Command, DiskFile? Written = null, byte[]? Loaded = null, DiskScan? Scan = null, bool Damaged = false, string? Error = null);

/// <summary>What an earlier run left.</summary>
/// <param name="Files">Usable ones, least recently used first.</param>
/// <param name="Foreign">Of another model or build; kept while there is room.</param>
/// <param name="Sessions">Most recently used first.</param>
/// <param name="Damaged">Files that were deleted.</param>
/// <param name="Unreadable">Files that the system would not let us read; left alone.</param>
internal sealed record DiskScan(
    IReadOnlyList<(DiskFile File, CacheFileHeader Header)> Files, IReadOnlyList<DiskFile> Foreign, IReadOnlyList<SavedSession> Sessions, int Damaged, int Unreadable);

internal sealed class DiskStore : IDisposable
{
    /// <summary>Our own folder below the one that was named: only this one's mode is changed and only its files are deleted.</summary>
    private const string FolderName = "kv";
    private const string Extension = ".kv";
    private const string TemporaryExtension = ".tmp";
    private const string SessionsExtension = ".sessions";
    private static readonly TimeSpan ScanLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CloseLimit = TimeSpan.FromSeconds(10);

    private readonly ConcurrentQueue<DiskCommand> _loads = new();
    private readonly ConcurrentQueue<DiskCommand> _others = new();
    private readonly ConcurrentQueue<DiskResult> _results = new();
    private readonly SemaphoreSlim _posted = new(0);
    private readonly FileStream _lock;
    private readonly byte[] _fingerprint;
    private readonly TimeProvider _time;
    private byte[] _names;
    private Thread? _thread;
    private Action _wake = static () => { };
    private volatile bool _closing;

    /// <exception cref="IOException">The folder cannot be made or written, or another process uses it; the message says which.</exception>
    public DiskStore(string directory, byte[] fingerprint, TimeProvider time)
    {
        Folder = Path.Combine(directory, FolderName);
        _fingerprint = fingerprint;
        _names = SessionFile.Encode([], fingerprint);
        _time = time;
        const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        try
        {
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(Folder);
            else
            {
                Directory.CreateDirectory(Folder, OwnerOnly);
                File.SetUnixFileMode(Folder, OwnerOnly);
            }
            // Held until the process ends, however it ends.
            FileStreamOptions exclusive = new() { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None };
            if (!OperatingSystem.IsWindows())
                exclusive.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            _lock = new FileStream(Path.Combine(Folder, "lock"), exclusive);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"The cache folder {directory} cannot be used: {e.Message} It must be writable, and each server needs one of its own.", e);
        }
    }

    public string Folder { get; }

    /// <summary>Starts the thread. Without it the caller runs the commands (tests).</summary>
    /// <param name="wake">Called from the thread after each result.</param>
    public void Start(Action wake)
    {
        _wake = wake;
        _thread = new Thread(Work) { Name = "disk cache", IsBackground = true };
        _thread.Start();
    }

    public void Post(DiskCommand command)
    {
        // A request waits for a load; nobody waits for the others.
        (command.Kind == DiskCommandKind.Load ? _loads : _others).Enqueue(command);
        _posted.Release();
    }

    public bool TryTake(out DiskResult result) => _results.TryDequeue(out result);

    /// <summary>Runs one command, if there is one.</summary>
    public bool RunOne()
    {
        if (!_loads.TryDequeue(out DiskCommand command) && !_others.TryDequeue(out command))
            return false;
        DiskResult result;
        try
        {
            result = Run(command);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            result = new DiskResult(command, Error: e.Message);
        }
        if (command.Kind != DiskCommandKind.Delete || result.Error is not null)
            _results.Enqueue(result);
        return true;
    }

    /// <summary>Finishes the command that runs and drops the others.</summary>
    public void Dispose()
    {
        _closing = true;
        _posted.Release();
        // A disk that hangs must not keep the process from ending.
        if (_thread?.Join(CloseLimit) ?? true)
            _posted.Dispose();
        _lock.Dispose();
    }

    private void Work()
    {
        while (true)
        {
            _posted.Wait();
            if (_closing)
                return;
            RunOne();
            _wake();
        }
    }

    private DiskResult Run(DiskCommand command)
    {
        switch (command.Kind)
        {
            case DiskCommandKind.Scan:
                return new DiskResult(command, Scan: Scan());
            case DiskCommandKind.Write:
                // Random names: nothing of the content shows, and an old file's deletion never meets a new one.
                string name = NameOf(Guid.NewGuid());
                CacheFile.Write(PathOf(name), PathOf(name + TemporaryExtension), _fingerprint, command.NamespaceKey, command.Start, command.Tokens, command.Data);
                return new DiskResult(command, Written: command.File! with { Name = name });
            case DiskCommandKind.Load:
                return Load(command);
            case DiskCommandKind.Name:
                WriteNames(SessionFile.Encode(command.Sessions!, _fingerprint));
                return new DiskResult(command);
            default:
                File.Delete(PathOf(command.File!.Name));
                return new DiskResult(command);
        }
    }

    private DiskResult Load(DiskCommand command)
    {
        string path = PathOf(command.File!.Name);
        byte[]? payload = null;
        using (FileStream stream = Open(path))
        {
            CacheFileHeader? header = CacheFile.ReadHeader(stream, _fingerprint, out _);
            if (header is not null && header.Start == command.Start && header.PayloadBytes == command.File.PayloadBytes && header.Tokens.AsSpan().SequenceEqual(command.Tokens))
                payload = CacheFile.ReadPayload(stream, header);
        }
        if (payload is null)
        {
            File.Delete(path);
            return new DiskResult(command, Damaged: true);
        }
        // The order of use survives a restart as the files' times.
        File.SetLastWriteTimeUtc(path, _time.GetUtcNow().UtcDateTime);
        return new DiskResult(command, Loaded: payload);
    }

    /// <summary>What stands for a cache file's name in the names' file; empty for a file that was put there under another kind of name.</summary>
    public static Guid IdOf(string name) => Guid.TryParseExact(name.AsSpan(0, name.Length - Extension.Length), "N", out Guid id) ? id : Guid.Empty;

    public static string NameOf(Guid id) => id.ToString("N") + Extension;

    private string NamesFile => Convert.ToHexStringLower(_fingerprint.AsSpan(0, 8)) + SessionsExtension;

    private void WriteNames(byte[] names)
    {
        if (names.AsSpan().SequenceEqual(_names))
            return;
        // Unknown until the new ones are down: a failure must not make the next ones look written.
        _names = [];
        CacheFile.WriteWhole(PathOf(NamesFile), PathOf(NamesFile + TemporaryExtension), names, []);
        _names = names;
    }

    private DiskScan Scan()
    {
        long began = _time.GetTimestamp();
        List<(DiskFile File, CacheFileHeader Header)> usable = [];
        List<DiskFile> foreign = [];
        int damaged = 0, unreadable = 0;
        foreach (FileInfo info in new DirectoryInfo(Folder).EnumerateFiles().OrderBy(file => file.LastWriteTimeUtc).ThenBy(file => file.Name, StringComparer.Ordinal))
        {
            if (info.Extension == TemporaryExtension)
                info.Delete();
            if (info.Extension != Extension)
                continue;
            CacheFileHeader? header = null;
            CacheFileFault fault = CacheFileFault.Foreign;
            // After so long the rest are left alone, as if they were foreign: they go first when room is needed.
            if (!_closing && _time.GetElapsedTime(began) < ScanLimit && !TryReadHeader(info.FullName, out header, out fault))
                unreadable++;
            else if (header is not null)
                usable.Add((new DiskFile(info.Name, info.Length, header.PayloadBytes), header));
            else if (fault == CacheFileFault.Foreign)
                foreign.Add(new DiskFile(info.Name, info.Length, 0));
            else
            {
                damaged++;
                info.Delete();
            }
        }
        return ScanNames(new DiskScan(usable, foreign, [], damaged, unreadable));
    }

    /// <summary>The names that belong to the files found; those of other models go with the last file that is not ours.</summary>
    private DiskScan ScanNames(DiskScan scan)
    {
        foreach (string path in Directory.GetFiles(Folder, "*" + SessionsExtension))
            if (Path.GetFileName(path) != NamesFile && scan.Foreign.Count == 0)
                File.Delete(path);
        if (!File.Exists(PathOf(NamesFile)))
            return scan;
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(PathOf(NamesFile));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return scan with { Unreadable = scan.Unreadable + 1 };
        }
        if (SessionFile.Decode(bytes, _fingerprint, out CacheFileFault fault) is { } sessions)
        {
            _names = bytes;
            return scan with { Sessions = sessions };
        }
        // Of another layout, or damaged: the next names take its place.
        File.Delete(PathOf(NamesFile));
        return fault == CacheFileFault.Damaged ? scan with { Damaged = scan.Damaged + 1 } : scan;
    }

    private bool TryReadHeader(string path, out CacheFileHeader? header, out CacheFileFault fault)
    {
        try
        {
            using FileStream stream = Open(path);
            header = CacheFile.ReadHeader(stream, _fingerprint, out fault);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            (header, fault) = (null, CacheFileFault.None);
            return false;
        }
    }

    private static FileStream Open(string path) =>
        new(path, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.Read, Options = FileOptions.SequentialScan, BufferSize = 0 });

    private string PathOf(string name) => Path.Combine(Folder, name);
}
