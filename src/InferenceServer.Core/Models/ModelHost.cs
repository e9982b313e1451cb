// Models that are loaded when somebody asks for them, and leave when nobody has for a while or when others need the room. One change at a time: a load or an unload.
// Any thread. Always holds: a model in use is never unloaded; what is loaded takes no more than the room; who waits is served in order, and has a limit.

using System.Globalization;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Models;

/// <summary>What was loaded on demand: a model that chats, one that embeds or ranks, or one that does both.</summary>
/// <param name="Bytes">What it takes: weights, and what it computes in.</param>
internal sealed record HostedModel(ServedModel? Chat, ServedEmbedder? Embedder, long Bytes, Func<ValueTask> Unload)
{
    /// <summary>Nothing runs in it.</summary>
    public bool IsIdle => Chat?.Engine.Snapshot is null or { RunningRequests: 0, WaitingRequests: 0 } && (Embedder?.Engine.Snapshot.WaitingRequests ?? 0) == 0;
}

/// <summary>A model that can be loaded.</summary>
/// <param name="Id">What clients call it.</param>
/// <param name="LeastBytes">What it takes at least to be of use; asked when it is about to be loaded.</param>
/// <param name="Load">Is given the room that it may take, in bytes, and tells which part of the weights it has read.</param>
internal sealed record LoadableModel(string Id, Func<long> LeastBytes, Func<long, IProgress<float>, Task<HostedModel>> Load)
{
    /// <summary>It stays once it is loaded, whoever else needs the room.</summary>
    public bool IsPinned { get; init; }

    /// <summary>How long it stays after its last use, unless a request says otherwise; null for the host's time.</summary>
    public TimeSpan? KeepAlive { get; init; }

    /// <summary>What it is loaded from and with. One that was loaded from something else is loaded anew once nobody uses it.</summary>
    public string Version { get; init; } = "";
}

/// <summary>A model as it stands, for whoever lists them.</summary>
/// <param name="State">loading, loaded, making-room or unloading.</param>
/// <param name="Expires">When it leaves if nobody asks for it; null where it stays.</param>
internal sealed record HostedModelStatus(string Id, string State, long Bytes, DateTimeOffset? Expires)
{
    /// <summary>Of loading: the part of the weights that was read.</summary>
    public float Progress { get; init; }

    public bool IsPinned { get; init; }
}

/// <summary>Limits of a <see cref="ModelHost"/>.</summary>
internal sealed record ModelHostOptions
{
    /// <summary>Bytes that all its models may take together.</summary>
    public required long Room { get; init; }

    /// <summary>How long a model stays after its last use, unless a request says otherwise.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Most requests that wait for a model.</summary>
    public int MaxWaiting { get; init; } = 512;

    /// <summary>How long a request waits for its model at most.</summary>
    public TimeSpan WaitLimit { get; init; } = TimeSpan.FromMinutes(10);
}

/// <summary>Loads, shares and unloads.</summary>
/// <param name="find">The model of a name as a client wrote it; null where there is none.</param>
internal sealed partial class ModelHost(ModelHostOptions options, Func<string, LoadableModel?> find, TimeProvider clock, ILogger log) : IAsyncDisposable
{
    // A model that had to be loaded stays at least so many times as long as that took: two that do not fit together would else do little but load.
    private const int StayPerLoad = 3;
    private static readonly TimeSpan ShortestStay = TimeSpan.FromSeconds(5);

    // What goes on without a lease, such as a response in the background, is looked at so often.
    private static readonly TimeSpan BusyLook = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly List<Entry> _entries = [];
    private readonly List<Waiter> _waiters = [];
    private ITimer? _timer;
    private Task _change = Task.CompletedTask;
    private bool _changing, _stopping;

    private enum Stage
    {
        Loading,
        Loaded,
        Unloading,
    }

    private sealed class Entry(LoadableModel source) : IProgress<float>
    {
        private volatile float _progress;

        public LoadableModel Source { get; set; } = source;
        public Stage Stage { get; set; }
        public HostedModel? Hosted { get; set; }
        public long Bytes { get; set; }
        public int Uses { get; set; }

        /// <summary>Others need its room: it takes no new requests.</summary>
        public bool Yields { get; set; }
        public DateTimeOffset StaysUntil { get; set; }
        public DateTimeOffset LastUsed { get; set; }

        /// <summary>Null stays for ever.</summary>
        public TimeSpan? KeepAlive { get; set; }

        /// <summary>Nobody holds it, and its engine has nothing to do.</summary>
        public bool IsIdle => Stage == Stage.Loaded && Uses == 0 && Hosted!.IsIdle;

        public float Progress => _progress;

        public void Report(float value) => _progress = value;
    }

    private sealed class Waiter(LoadableModel wanted, TimeSpan? keepAlive)
    {
        public LoadableModel Wanted { get; set; } = wanted;
        public TimeSpan? KeepAlive { get; } = keepAlive;
        public TaskCompletionSource<Lease> Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Keeps a model loaded until it is disposed.</summary>
    internal sealed class Lease(ModelHost host, HostedModel hosted, Action release) : IDisposable
    {
        private int _released;

        public HostedModel Hosted { get; } = hosted;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _released, 1) == 0)
                host.Release(release);
        }
    }

    /// <summary>Told when a model was loaded and before it is unloaded, so that its metrics come and go with it.</summary>
    public Action<HostedModel, bool>? Changed { get; set; }

    public long Loads { get; private set; }

    public long FailedLoads { get; private set; }

    public long Unloads { get; private set; }

    /// <summary>Models that answer now.</summary>
    public IReadOnlyList<HostedModel> Loaded
    {
        get
        {
            lock (_gate)
                return [.. _entries.Where(entry => entry.Stage == Stage.Loaded).Select(entry => entry.Hosted!)];
        }
    }

    public IReadOnlyList<HostedModelStatus> Status
    {
        get
        {
            lock (_gate)
                return [.. _entries.Select(entry => new HostedModelStatus(entry.Source.Id,
                    entry.Stage == Stage.Loading ? "loading" : entry.Stage == Stage.Unloading ? "unloading" : entry.Yields ? "making-room" : "loaded",
                    entry.Bytes, entry is { Stage: Stage.Loaded, KeepAlive: { } keep } ? entry.LastUsed + keep : null)
                { Progress = entry.Progress, IsPinned = entry.Source.IsPinned })];
        }
    }

    public int Waiting
    {
        get
        {
            lock (_gate)
                return _waiters.Count;
        }
    }

    /// <summary>What a request for a model waits for, in a few words; null where it does not wait.</summary>
    public string? Describe(string name)
    {
        if (find(name) is not { } wanted)
            return null;
        lock (_gate)
        {
            if (_entries.Find(entry => entry.Source.Id == wanted.Id && entry.Stage == Stage.Loading) is { } loading)
                return string.Create(CultureInfo.InvariantCulture, $"loading model, {loading.Progress:P0}");
            int place = _waiters.FindIndex(waiter => waiter.Wanted.Id == wanted.Id);
            return place < 0 ? null : string.Create(CultureInfo.InvariantCulture, $"waiting for room, number {place + 1} of {_waiters.Count}");
        }
    }

    /// <summary>Loads a model before anybody asks for it. A failure is in the log, and told to whoever asks.</summary>
    public async Task PreloadAsync(string name)
    {
        try
        {
            (await UseAsync(name, null, CancellationToken.None))?.Dispose();
        }
        catch (RequestProblem)
        {
            // Logged where it failed.
        }
    }

    /// <summary>The model, loaded now if it is not, and held until the lease is disposed. Null where the name means none.</summary>
    /// <param name="keepAlive">How long it stays after this; null for the usual time, <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <exception cref="RequestProblem">It cannot be loaded, does not fit, or too many wait.</exception>
    public async Task<Lease?> UseAsync(string name, TimeSpan? keepAlive, CancellationToken aborted)
    {
        if (find(name) is not { } wanted)
            return null;
        Waiter waiter = new(wanted, keepAlive);
        lock (_gate)
        {
            if (_stopping)
                throw new RequestProblem(ProblemKind.Unavailable, "The server is shutting down.");
            if (Ready(wanted) is { } ready)
                return Grant(ready, waiter);
            if (_waiters.Count >= options.MaxWaiting)
                throw new RequestProblem(ProblemKind.Busy, $"{_waiters.Count} requests wait for models to be loaded already.", code: "model_queue_full") { RetryAfter = ShortestStay };
            _waiters.Add(waiter);
            Advance();
        }

        using CancellationTokenSource limit = new(options.WaitLimit, clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(aborted, limit.Token);
        try
        {
            return await waiter.Ready.Task.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            int place;
            lock (_gate)
            {
                place = _waiters.IndexOf(waiter);
                _waiters.Remove(waiter);
                Advance();
            }
            // It may have been granted meanwhile.
            if (waiter.Ready.Task.IsCompletedSuccessfully)
                (await waiter.Ready.Task).Dispose();
            aborted.ThrowIfCancellationRequested();
            throw new RequestProblem(ProblemKind.Busy,
                $"The model '{wanted.Id}' was not loaded within {options.WaitLimit.TotalSeconds:F0} s: others that are in use take its room, and this request was number {place + 1} of those that waited.",
                "model", "model_not_ready")
            { RetryAfter = ShortestStay };
        }
    }

    /// <summary>What models there are, and how they are loaded, has changed: those who wait get them as they are now, and what is gone leaves when it is idle.</summary>
    public void Reconsider()
    {
        lock (_gate)
        {
            foreach (Waiter waiter in _waiters)
                waiter.Wanted = find(waiter.Wanted.Id) ?? waiter.Wanted;
            foreach (Entry entry in _entries)
                if (find(entry.Source.Id) is not { } now)
                    entry.KeepAlive = TimeSpan.Zero;
                else if (now.Version == entry.Source.Version)
                {
                    bool released = entry.Source.IsPinned && !now.IsPinned;
                    entry.Source = now;
                    if (now.IsPinned)
                        entry.KeepAlive = null;
                    else if (released)
                        entry.KeepAlive = now.KeepAlive is { } keep && keep == Timeout.InfiniteTimeSpan ? null : now.KeepAlive ?? options.KeepAlive;
                }
            Advance();
        }
    }

    /// <summary>Unloads a model as soon as nobody uses it. False where the name means none.</summary>
    public bool Expire(string name)
    {
        if (find(name) is not { } wanted)
            return false;
        lock (_gate)
        {
            if (_entries.Find(entry => entry.Source.Id == wanted.Id) is { } known)
                known.KeepAlive = TimeSpan.Zero;
            Advance();
        }
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        Task change;
        lock (_gate)
        {
            _stopping = true;
            foreach (Waiter waiter in _waiters)
                waiter.Ready.TrySetException(new RequestProblem(ProblemKind.Unavailable, "The server is shutting down."));
            _waiters.Clear();
            change = _change;
        }
        await change;
        _timer?.Dispose();
        foreach (Entry entry in _entries)
            if (entry.Hosted is { } hosted)
                await hosted.Unload();
        _entries.Clear();
    }

    /// <summary>Loaded as it is wanted, and open to requests. With the gate held.</summary>
    private Entry? Ready(LoadableModel wanted) =>
        _entries.Find(entry => entry.Source.Id == wanted.Id) is { Stage: Stage.Loaded, Yields: false } entry && entry.Source.Version == wanted.Version ? entry : null;

    private Lease Grant(Entry entry, Waiter waiter)
    {
        entry.Source = waiter.Wanted;
        entry.Uses++;
        entry.LastUsed = clock.GetUtcNow();
        TimeSpan keep = waiter.KeepAlive ?? entry.Source.KeepAlive ?? options.KeepAlive;
        entry.KeepAlive = entry.Source.IsPinned || keep == Timeout.InfiniteTimeSpan ? null : keep;
        return new Lease(this, entry.Hosted!, () =>
        {
            entry.Uses--;
            entry.LastUsed = clock.GetUtcNow();
        });
    }

    private void Release(Action release)
    {
        lock (_gate)
        {
            release();
            Advance();
        }
    }

    /// <summary>Serves who can be served, and begins the next change. With the gate held.</summary>
    private void Advance()
    {
        for (int i = 0; i < _waiters.Count; i++)
            if (Ready(_waiters[i].Wanted) is { } ready)
            {
                Waiter served = _waiters[i];
                _waiters.RemoveAt(i--);
                served.Ready.TrySetResult(Grant(ready, served));
            }
        if (_changing || _stopping)
            return;
        DateTimeOffset now = clock.GetUtcNow();
        if (_waiters.Count > 0)
            MakeRoomFor(_waiters[0].Wanted, now);
        else
            foreach (Entry entry in _entries)
                entry.Yields = false; // who needed its room went away
        if (!_changing && _entries.Find(entry => entry.IsIdle && entry.LastUsed + entry.KeepAlive <= now) is { } expired)
            Begin(UnloadAsync(expired, "idle"));
        if (!_changing)
            WakeAt(now);
    }

    private void MakeRoomFor(LoadableModel wanted, DateTimeOffset now)
    {
        if (_entries.Find(entry => entry.Source.Id == wanted.Id) is { } outdated)
        {
            // Who it made room for went away, and it is what is wanted next.
            if (outdated.Source.Version == wanted.Version)
            {
                outdated.Yields = false;
                Advance();
                return;
            }
            outdated.Yields = true;
            if (outdated.IsIdle)
                Begin(UnloadAsync(outdated, "changed"));
            return;
        }
        if (RoomOf(wanted) is not { } needed)
        {
            Advance();
            return;
        }
        long free = options.Room - _entries.Sum(entry => entry.Bytes);
        if (needed <= free)
        {
            Begin(LoadAsync(wanted, needed, free));
            return;
        }
        // Idle ones first, the least recently used of them; then the one that has stayed for the longest, which takes no new requests until it is idle.
        IEnumerable<Entry> mayGo = _entries.Where(entry => entry is { Stage: Stage.Loaded, Source.IsPinned: false } && entry.StaysUntil <= now);
        if (mayGo.Where(entry => entry.IsIdle).MinBy(entry => entry.LastUsed) is { } idle)
            Begin(UnloadAsync(idle, "room"));
        else if (!_entries.Exists(entry => entry.Yields) && mayGo.MinBy(entry => entry.StaysUntil) is { } busy)
            busy.Yields = true;
    }

    /// <summary>What a model needs; null where it can never be had, which those who wait for it have been told. With the gate held.</summary>
    private long? RoomOf(LoadableModel wanted)
    {
        try
        {
            long needed = wanted.LeastBytes(), pinned = _entries.Where(entry => entry.Source.IsPinned).Sum(entry => entry.Bytes);
            if (needed <= options.Room - pinned)
                return needed;
            string taken = pinned == 0 ? "" : $", of which pinned ones take {pinned >> 20} MiB";
            Fail(wanted, new RequestProblem(ProblemKind.Invalid,
                $"The model '{wanted.Id}' needs about {needed >> 20} MiB, and models that are loaded on demand may take {options.Room >> 20} MiB{taken}: raise --model-memory, or take a smaller quantization.", "model", "model_too_large"));
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            Failed(wanted, failure);
        }
        return null;
    }

    private void Failed(LoadableModel wanted, Exception failure)
    {
        FailedLoads++;
        LogFailed(log, wanted.Id, failure.Message, failure);
        Fail(wanted, failure as RequestProblem ?? new RequestProblem(ProblemKind.Unavailable, $"The model '{wanted.Id}' could not be loaded: {failure.Message}", "model", "model_load_failed"));
    }

    /// <summary>Looks again when the next stay or idle time is over. With the gate held.</summary>
    private void WakeAt(DateTimeOffset now)
    {
        DateTimeOffset? next = null;
        foreach (Entry entry in _entries)
        {
            if (entry is { Stage: Stage.Loaded, Uses: 0, KeepAlive: { } keep })
                Wake(entry.LastUsed + keep);
            if (_waiters.Count > 0 && entry.Stage == Stage.Loaded)
                Wake(entry.StaysUntil);
        }
        void Wake(DateTimeOffset time)
        {
            // What is due and was not done waits for an engine that nobody holds.
            DateTimeOffset at = time > now ? time : now + BusyLook;
            next = next is null || at < next ? at : next;
        }
        if (next is not { } due)
            return;
        _timer ??= clock.CreateTimer(_ =>
        {
            lock (_gate)
                Advance();
        }, null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _timer.Change(due - now, Timeout.InfiniteTimeSpan);
    }

    private void Begin(Task change) => _change = change;

    private async Task LoadAsync(LoadableModel wanted, long needed, long room)
    {
        _changing = true;
        Entry entry = new(wanted) { Stage = Stage.Loading, Bytes = needed };
        _entries.Add(entry);
        LogLoading(log, wanted.Id, room >> 20);
        long start = clock.GetTimestamp();
        HostedModel? hosted = null;
        Exception? failure = null;
        try
        {
            // Off the thread that holds the gate.
            hosted = await Task.Run(() => wanted.Load(room, entry));
            Changed?.Invoke(hosted, true);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            failure = e;
        }
        TimeSpan took = clock.GetElapsedTime(start);
        lock (_gate)
        {
            _changing = false;
            if (hosted is not null)
            {
                Loads++;
                (entry.Stage, entry.Hosted, entry.Bytes) = (Stage.Loaded, hosted, hosted.Bytes);
                DateTimeOffset now = clock.GetUtcNow();
                entry.LastUsed = now;
                entry.KeepAlive = wanted.IsPinned ? null : wanted.KeepAlive ?? options.KeepAlive;
                entry.StaysUntil = now + (took * StayPerLoad > ShortestStay ? took * StayPerLoad : ShortestStay);
                LogLoaded(log, wanted.Id, hosted.Bytes >> 20, took.TotalSeconds);
            }
            else
            {
                _entries.Remove(entry);
                Failed(wanted, failure!);
            }
            Advance();
        }
    }

    private async Task UnloadAsync(Entry entry, string reason)
    {
        _changing = true;
        entry.Stage = Stage.Unloading;
        HostedModel hosted = entry.Hosted!;
        LogUnloading(log, entry.Source.Id, reason, entry.Bytes >> 20);
        await Task.Run(async () =>
        {
            Changed?.Invoke(hosted, false);
            await hosted.Unload();
        });
        lock (_gate)
        {
            _changing = false;
            Unloads++;
            _entries.Remove(entry);
            Advance();
        }
    }

    /// <summary>Tells those who wait for a model that it will not come. With the gate held.</summary>
    private void Fail(LoadableModel wanted, RequestProblem problem)
    {
        foreach (Waiter waiter in _waiters.Where(waiter => waiter.Wanted.Id == wanted.Id).ToArray())
        {
            _waiters.Remove(waiter);
            waiter.Ready.TrySetException(new RequestProblem(problem.Kind, problem.Message, problem.Where, problem.Code));
        }
    }

    [LoggerMessage(EventId = 160, Level = LogLevel.Information, Message = "Loading {Model} into {RoomMiB} MiB")]
    private static partial void LogLoading(ILogger logger, string model, long roomMiB);

    [LoggerMessage(EventId = 161, Level = LogLevel.Information, Message = "Loaded {Model}: {MiB} MiB in {Seconds:F1} s")]
    private static partial void LogLoaded(ILogger logger, string model, long miB, double seconds);

    [LoggerMessage(EventId = 162, Level = LogLevel.Warning, Message = "{Model} could not be loaded: {Reason}")]
    private static partial void LogFailed(ILogger logger, string model, string reason, Exception error);

    [LoggerMessage(EventId = 163, Level = LogLevel.Information, Message = "Unloading {Model} ({Reason}): {MiB} MiB")]
    private static partial void LogUnloading(ILogger logger, string model, string reason, long miB);
}
