// One SQLite file under the data directory. One thread writes: it takes all writes that wait into one transaction, so that many requests share one flush to
// the disk, and tells each of them only after it. Reads run beside it on pooled connections. Always: a write whose task completed survives kill -9 and
// a power cut; one server at a time uses a directory.

using System.Threading.Channels;
using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>Where things are kept and for how long.</summary>
internal sealed record StoreOptions
{
    public required string Directory { get; init; }

    /// <summary>What was not used for this long is deleted.</summary>
    public TimeSpan Retention { get; init; } = TimeSpan.FromDays(30);

    /// <summary>Most bytes of stored content; what was used longest ago goes first.</summary>
    public long MaxBytes { get; init; } = 8L << 30;
}

/// <summary>What the writing thread has done so far.</summary>
/// <param name="Writes">Changes that are on the disk.</param>
/// <param name="FailedWrites">Changes that were not made.</param>
/// <param name="Commits">Flushes to the disk; changes that wait together share one.</param>
/// <param name="CommitSeconds">Time that these took, with the changes.</param>
/// <param name="Deleted">Entries that were too old, or too much.</param>
internal sealed record StoreSnapshot(long Writes, long FailedWrites, long Commits, double CommitSeconds, long Deleted);

internal sealed partial class Database : IAsyncDisposable
{
    private const string FileName = "store.db";

    // A write that waits holds a reply in memory: beyond this many requests wait to hand theirs over.
    private const int MaxPending = 1024;
    private const int MaxBatch = 128;
    private const int WritesBetweenSweeps = 512;
    private static readonly TimeSpan SweepEvery = TimeSpan.FromMinutes(10);

    private readonly Channel<Write> _pending = Channel.CreateBounded<Write>(new BoundedChannelOptions(MaxPending) { SingleReader = true });
    private readonly StoreOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly FileStream _lock;
    private readonly SqliteConnection _connection;
    private readonly string _readers;
    private readonly Thread _writer;
    private readonly ITimer _timer;
    private int _writesSinceSweep;
    private volatile StoreSnapshot _snapshot = new(0, 0, 0, 0, 0);

    private sealed class Write(Action<SqliteConnection> run)
    {
        public Action<SqliteConnection> Run { get; } = run;

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Exception? Error { get; set; }
    }

    private Database(StoreOptions options, FileStream exclusive, SqliteConnection connection, TimeProvider clock, ILogger log)
    {
        (_options, _lock, _connection, _clock, _log) = (options, exclusive, connection, clock, log);
        _readers = new SqliteConnectionStringBuilder { DataSource = connection.DataSource, Mode = SqliteOpenMode.ReadOnly, DefaultTimeout = 10 }.ToString();
        _writer = new Thread(Work) { Name = "store", IsBackground = true };
        _writer.Start();
        _timer = clock.CreateTimer(static database => _ = ((Database)database!).SweepAsync(), this, SweepEvery, SweepEvery);
    }

    public TimeProvider Clock => _clock;

    /// <summary>Most bytes of stored content.</summary>
    public long MaxBytes => _options.MaxBytes;

    public StoreSnapshot Snapshot => _snapshot;

    /// <summary>Size of the files, the write-ahead log included.</summary>
    public long FileBytes => Directory.EnumerateFiles(_options.Directory, FileName + "*").Sum(file => new FileInfo(file).Length);

    /// <exception cref="IOException">The directory cannot be used; the message says why.</exception>
    public static Database Open(StoreOptions options, TimeProvider clock, ILogger log)
    {
        FileStream? exclusive = null;
        SqliteConnection? connection = null;
        try
        {
            exclusive = Lock(options.Directory);
            string path = Path.Combine(options.Directory, FileName);
            connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Mode = SqliteOpenMode.ReadWriteCreate, Pooling = false, DefaultTimeout = 10 }.ToString());
            connection.Open();
            DatabaseSchema.Prepare(connection);
            return new Database(options, exclusive, connection, clock, log);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or SqliteException)
        {
            connection?.Dispose();
            exclusive?.Dispose();
            throw new IOException($"The data directory {options.Directory} cannot be used: {error.Message}", error);
        }
    }

    private static FileStream Lock(string directory)
    {
        FileStreamOptions exclusive = new() { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(directory);
            return new FileStream(Path.Combine(directory, "lock"), exclusive);
        }

        // What users wrote is for the owner's eyes only. SQLite gives its files the mode of the first one.
        const UnixFileMode OwnerFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        Directory.CreateDirectory(directory, OwnerFile | UnixFileMode.UserExecute);
        exclusive.UnixCreateMode = OwnerFile;
        FileStream held = new(Path.Combine(directory, "lock"), exclusive);
        try
        {
            string path = Path.Combine(directory, FileName);
            new FileStream(path, new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite, UnixCreateMode = OwnerFile }).Dispose();
            File.SetUnixFileMode(path, OwnerFile);
            return held;
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    /// <summary>Completes when the change is on the disk. A change is made whole or not at all.</summary>
    /// <exception cref="RequestProblem">500: the disk is full or failed; nothing was changed.</exception>
    public async Task WriteAsync(Action<SqliteConnection> run)
    {
        Write write = new(run);
        try
        {
            await _pending.Writer.WriteAsync(write);
            await write.Done.Task;
        }
        catch (ChannelClosedException)
        {
            throw new RequestProblem(ProblemKind.Unavailable, "The server is stopping.", code: "unavailable");
        }
        catch (SqliteException error)
        {
            LogWriteFailed(_log, error);
            throw new RequestProblem(ProblemKind.Failed, "It could not be stored; the server's log says why.", code: "storage_failed");
        }
    }

    /// <summary>As the other, with a result.</summary>
    public async Task<T> WriteAsync<T>(Func<SqliteConnection, T> run)
    {
        T result = default!;
        await WriteAsync(connection => { result = run(connection); });
        return result;
    }

    public Task<T> ReadAsync<T>(Func<SqliteConnection, T> read) => Task.Run(() =>
    {
        using SqliteConnection connection = new(_readers);
        connection.Open();
        return read(connection);
    });

    /// <summary>Deletes what is too old, or too much. Completes when that is done.</summary>
    public async Task SweepAsync()
    {
        try
        {
            await WriteAsync(Sweep);
        }
        catch (RequestProblem)
        {
            // Logged where it failed, or the server is stopping; the next sweep tries again.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _timer.DisposeAsync();
        _pending.Writer.TryComplete();
        await Task.Run(_writer.Join);
        SqliteConnection.ClearPool(new SqliteConnection(_readers));
        await _connection.DisposeAsync();
        await _lock.DisposeAsync();
    }

    private void Work()
    {
        List<Write> batch = [];
        while (_pending.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (batch.Count < MaxBatch && _pending.Reader.TryRead(out Write? write))
                batch.Add(write);
            if ((_writesSinceSweep += batch.Count) >= WritesBetweenSweeps)
                batch.Add(new Write(Sweep));
            Commit(batch);
            batch.Clear();
        }
    }

    private void Commit(List<Write> batch)
    {
        long started = _clock.GetTimestamp();
        try
        {
            using SqliteTransaction transaction = _connection.BeginTransaction();
            foreach (Write write in batch)
                RunOne(write, transaction);
            transaction.Commit();
        }
        catch (Exception error)
        {
            foreach (Write write in batch)
                write.Error ??= error;
        }

        int failed = batch.Count(write => write.Error is not null);
        StoreSnapshot last = _snapshot;
        _snapshot = last with
        {
            Writes = last.Writes + batch.Count - failed,
            FailedWrites = last.FailedWrites + failed,
            Commits = last.Commits + 1,
            CommitSeconds = last.CommitSeconds + _clock.GetElapsedTime(started).TotalSeconds,
        };
        foreach (Write write in batch)
            if (write.Error is { } error)
                write.Done.SetException(error);
            else
                write.Done.SetResult();
    }

    /// <summary>One that fails leaves no trace and the others as they are.</summary>
    private static void RunOne(Write write, SqliteTransaction transaction)
    {
        transaction.Save("one");
        try
        {
            write.Run(transaction.Connection!);
            transaction.Release("one");
        }
        catch (Exception error)
        {
            write.Error = error;
            transaction.Rollback("one");
        }
    }

    private void Sweep(SqliteConnection connection)
    {
        _writesSinceSweep = 0;
        int deleted = Retention.Sweep(connection, _clock.GetUtcNow() - _options.Retention, _options.MaxBytes);
        if (deleted == 0)
            return;
        _snapshot = _snapshot with { Deleted = _snapshot.Deleted + deleted };
        LogSwept(_log, deleted);
    }

    [LoggerMessage(EventId = 130, Level = LogLevel.Error, Message = "The store could not be written")]
    private static partial void LogWriteFailed(ILogger logger, Exception error);

    [LoggerMessage(EventId = 131, Level = LogLevel.Information, Message = "Deleted {Count} stored entries: too old, or too much was stored")]
    private static partial void LogSwept(ILogger logger, int count);
}
