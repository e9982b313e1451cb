// The decode thread: Drain -> Plan -> Collect (the step before) -> Draft -> Launch -> Deliver. A device computes one step while the next is planned, and what has become
// of the last is told; where nothing computes on its own a step is collected as soon as it was launched. It owns the scheduler, the cache and the decoder; other threads reach it
// through the inbox, a generation's cancel flag and the published snapshot only. Always: whatever ends the loop, every generation that
// was accepted gets its Finished event.

using System.Collections.Concurrent;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine;

internal sealed partial class EngineLoop : IDisposable
{
    /// <summary>Deadlines and cancellations of waiting requests are looked at this often when no step runs.</summary>
    private static readonly TimeSpan IdleTick = TimeSpan.FromMilliseconds(50);

    /// <summary>So long after the last request the decoder may give memory back: between two requests of one user that would be work for nothing.</summary>
    private static readonly TimeSpan RestAfter = TimeSpan.FromMilliseconds(500);

    /// <summary>A snapshot is an allocation, so a steady stream publishes one only this often; ends publish at once.</summary>
    private static readonly TimeSpan SnapshotInterval = TimeSpan.FromMilliseconds(250);

    /// <summary>Commands that may wait; each is a look at the tree, so more than this means nobody is served.</summary>
    private const int MaxCommands = 64;

    private readonly ConcurrentQueue<Generation> _inbox = new();
    private readonly ConcurrentQueue<(Action<Scheduler> Run, Action<string> Fail)> _commands = new();
    private readonly ConcurrentQueue<EngineAdapter> _unusedAdapters = new();
    private int _waitingCommands;
    private readonly AutoResetEvent _wake = new(false);
    private readonly EngineOptions _options;
    private readonly IDecoder _decoder;
    private readonly Scheduler _scheduler;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Thread _thread;
    private readonly StepResult _result = new();
    private StepPlan? _inFlight;
    private readonly EventRate _endRate;
    private readonly DiskTier? _disk;
    private readonly TaskCompletionSource _sessionsKnown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _diskErrorsLogged;
    private volatile bool _parked;
    private volatile bool _stopping;
    private volatile bool _cancelAll;
    private volatile bool _lost;
    private volatile string? _failure;
    private volatile EngineSnapshot _snapshot = EngineSnapshot.Empty;
    private long _snapshotTaken;
    private long _positionsTold;
    private long _stepStarted;
    private long _stepNumber;
    private int _stepRows;
    private int _unfinished;

    /// <param name="disk">Owned from here on; null without a disk tier.</param>
    /// <param name="drafter">Owned from here on; null without a draft model.</param>
    public EngineLoop(EngineOptions options, IDecoder decoder, DiskTier? disk, EngineVocabulary vocabulary, TimeProvider time, ILogger log, Drafter? drafter = null)
    {
        _disk = disk;
        _options = options;
        _decoder = decoder;
        _time = time;
        _log = log;
        _endRate = new EventRate(time);
        _scheduler = new Scheduler(options, decoder.Limits, vocabulary, time, disk, drafter);
        PublishSnapshot(time.GetTimestamp());
        disk?.Store.Start(() => _wake.Set());
        disk?.Scan();
        _thread = new Thread(Work) { Name = "decode", IsBackground = true };
        _thread.Start();
    }

    public EngineSnapshot Snapshot => _snapshot;

    public string? Failure => _failure;

    public bool IsStopping => _stopping;

    /// <summary>Ends when the cache knows an earlier run's sessions, or the loop has ended.</summary>
    public Task SessionsKnown => _sessionsKnown.Task;

    /// <summary>As <see cref="InferenceEngine.SharesPrefixes"/>; never changes.</summary>
    public bool SharesPrefixes => _scheduler.Cache.SharesPrefixes;

    /// <summary>Requests accepted and not ended.</summary>
    public int Unfinished => Volatile.Read(ref _unfinished);

    /// <summary>How long the step that is running has taken; zero between steps.</summary>
    public TimeSpan StepAge =>
        Volatile.Read(ref _stepStarted) is var started and not 0 ? _time.GetElapsedTime(started) : TimeSpan.Zero;

    /// <summary>Which step is running, or ran last.</summary>
    public string StepName => $"step {Volatile.Read(ref _stepNumber)}, of {Volatile.Read(ref _stepRows)} rows";

    /// <summary>Takes a request in, unless as many as may run and wait are unfinished.</summary>
    public bool TryEnqueue(Generation generation)
    {
        int unfinished = Interlocked.Increment(ref _unfinished);
        if (unfinished > _options.MaxSequences + _options.MaxQueue)
        {
            Interlocked.Decrement(ref _unfinished);
            return false;
        }
        // Behind all that are there, until the loop has seen it.
        generation.Queued(Math.Max(1, unfinished - _options.MaxSequences));
        _inbox.Enqueue(generation);
        Wake();
        // The loop may have ended between the caller's check and here: then nobody else would answer this request.
        if (_failure is { } failure && _inbox.TryDequeue(out Generation? orphan))
            FailUnseen(orphan, failure);
        return true;
    }

    /// <summary>Runs a command between two steps on the decode thread, which alone may look at the scheduler.</summary>
    /// <exception cref="EngineUnavailableException">The loop has ended (thrown or in the task), or too many commands wait.</exception>
    public Task<T> InvokeAsync<T>(Func<Scheduler, T> command)
    {
        if (Interlocked.Increment(ref _waitingCommands) > MaxCommands)
        {
            Interlocked.Decrement(ref _waitingCommands);
            throw new EngineUnavailableException($"{MaxCommands} commands wait for the decode thread already.");
        }
        TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _commands.Enqueue((scheduler => done.TrySetResult(command(scheduler)), reason => done.TrySetException(new EngineUnavailableException(reason))));
        Wake();
        // As with requests: the loop may have ended before it could see this.
        if (_failure is { } failure)
            FailCommands(failure);
        return done.Task;
    }

    /// <summary>Loads an adapter between two steps; its file should be in the page cache, since streams stand still meanwhile.</summary>
    /// <exception cref="LlamaException">llama.cpp cannot load it.</exception>
    /// <exception cref="EngineUnavailableException">As for commands.</exception>
    public async Task<EngineAdapter> LoadAdapterAsync(LlamaAdapterFile file)
    {
        (EngineAdapter? loaded, LlamaException? failure) = await InvokeAsync<(EngineAdapter?, LlamaException?)>(_ =>
        {
            try
            {
                return (_decoder.LoadAdapter(file, FreeAdapter), null);
            }
            catch (LlamaException e)
            {
                return (null, e); // Of whoever asked: the loop goes on.
            }
        });
        return loaded ?? throw failure!;
    }

    private void FreeAdapter(EngineAdapter adapter)
    {
        _unusedAdapters.Enqueue(adapter);
        Wake();
    }

    public void Stop(bool cancelRunning)
    {
        _cancelAll |= cancelRunning;
        _stopping = true;
        _wake.Set();
    }

    /// <summary>True when the thread has ended, or will never come back from the native call that it is in.</summary>
    public bool Join(TimeSpan timeout) => _lost || _thread.Join(timeout);

    /// <summary>Only after the thread has been joined.</summary>
    public void Dispose() => _wake.Dispose();

    /// <summary>After something was put where the loop looks. A fence: else what was put could be seen later than what is read here, and the loop sleep on it.</summary>
    private void Wake()
    {
        Interlocked.MemoryBarrier();
        if (_parked)
            _wake.Set();
    }

    /// <summary>Sleeps until something comes, or for so long: then false. The other half of the fence in <see cref="Wake"/>.</summary>
    private bool Park(TimeSpan limit)
    {
        _parked = true;
        Interlocked.MemoryBarrier();
        // Stop always sets the event: while replies drain that must not keep this from sleeping.
        bool woken = !_inbox.IsEmpty || !_commands.IsEmpty || !_unusedAdapters.IsEmpty || _wake.WaitOne(limit);
        _parked = false;
        return woken;
    }

    private void Work()
    {
        LlamaLibrary.OnGivingUp(GiveUp);
        try
        {
            while (Drain())
                Step();
            _failure = "The engine has been stopped.";
            FinishAll();
            if (_disk is not null)
                SaveForTheNextRun();
        }
#pragma warning disable CA1031 // Whatever it is, requests must be told and health must fail; the process itself may go on serving that.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _failure = $"The decode thread failed: {e.Message}";
            LogLoopFailed(e);
            FinishAll();
        }
        _disk?.Dispose();
        _scheduler.Drafter?.Dispose();
        _decoder.Dispose();
    }

    /// <summary>A device failed, or llama.cpp met what it did not expect, in a call of this thread: whoever waits is told, then the thread is lost.</summary>
    private void GiveUp(string cause)
    {
        _failure = $"llama.cpp gave up: {cause}";
        LogGaveUp(StepName, cause);
        FinishAll();
        _disk?.Dispose();
        _lost = true;
    }

    /// <summary>Takes in what arrived; blocks only when nothing can be done. False when the loop is to end.</summary>
    private bool Drain()
    {
        while (true)
        {
            long now = _time.GetTimestamp();
            while (_inbox.TryDequeue(out Generation? generation))
                _scheduler.Accept(generation, now);
            RunCommands();
            while (_unusedAdapters.TryDequeue(out EngineAdapter? adapter))
                _decoder.FreeAdapter(adapter);
            if (_cancelAll)
                return false;
            if (_scheduler.Cache.SettleDiskTier())
                TakeDiskNews(now);
            if (!_sessionsKnown.Task.IsCompleted && _scheduler.Cache.KnowsSessions)
                _sessionsKnown.TrySetResult();
            if (_scheduler.HasWork)
                return true;
            if (_stopping)
                return false;
            if (_scheduler.Cache.HasGrafts)
                continue;
            if (_scheduler.PlanIdleWork())
                return true;
            EngineInvariants.Check(_scheduler);
            if (Park(RestAfter))
                continue;
            _decoder.Rest();
            Park(Timeout.InfiniteTimeSpan);
        }
    }

    private void Step()
    {
        StepPlan plan = _scheduler.Plan(_time.GetTimestamp());
        bool isIdle = plan.IsEmpty && _inFlight is null && _scheduler.DraftJobs.Count == 0;
        if (_inFlight is not null)
            Collect();
        Draft();
        // Collecting may have completed the plan, or, where that failed, made it void.
        bool launched = !plan.IsEmpty && Launch(plan);
        // While a device computes there is time to tell what the step before has brought.
        Deliver();
        if (launched && !_decoder.Limits.Device.ComputesAhead)
        {
            Collect();
            Deliver();
        }
        if (_options.CheckInvariants)
            EngineInvariants.Check(_scheduler);
        // Requests wait, but none can start: only an arrival, a cancellation or a deadline changes that.
        if (isIdle && _scheduler.HasWork)
            Park(IdleTick);
    }

    private bool Launch(StepPlan plan)
    {
        (_stepRows, _stepNumber) = (plan.Rows.Count, _stepNumber + 1);
        Volatile.Write(ref _stepStarted, _time.GetTimestamp());
        _decoder.Launch(plan, _result);
        if (_result.Error is not null)
        {
            Deliver();
            Recover(plan);
            return false;
        }
        _inFlight = plan;
        _scheduler.Launched();
        return true;
    }

    /// <summary>Has the draft model guess for the sequences that wait for it; nothing else computes meanwhile.</summary>
    private void Draft()
    {
        if (_scheduler.DraftJobs.Count == 0)
            return;
        Volatile.Write(ref _stepStarted, _time.GetTimestamp());
        _scheduler.Drafter!.Run(_scheduler.DraftJobs);
        Volatile.Write(ref _stepStarted, 0);
        _scheduler.PlanDrafted();
    }

    /// <summary>Waits for the step in flight and takes its tokens in.</summary>
    private void Collect()
    {
        (StepPlan plan, _inFlight) = (_inFlight!, null);
        _decoder.Collect(plan, _result);
        if (_result.Error is not null)
        {
            Recover(plan);
            return;
        }
        long now = _time.GetTimestamp();
        double seconds = _time.GetElapsedTime(_stepStarted, now).TotalSeconds - _result.OperationSeconds - _result.SamplingSeconds;
        Volatile.Write(ref _stepStarted, 0);
        _scheduler.Take(_result, now, seconds);
    }

    private void Recover(StepPlan failed)
    {
        Volatile.Write(ref _stepStarted, 0);
        LogStepFailed(_result.Error!, failed.Rows.Count);
        _decoder.ClearMemory();
        _scheduler.Recover(failed, _result.Error!, _time.GetTimestamp());
    }

    /// <summary>Text, ends and events of the tokens that were taken in.</summary>
    private void Deliver()
    {
        long now = _time.GetTimestamp();
        _scheduler.Deliver(now);
        Emit(now);
    }

    /// <summary>The snapshot first: who reads a reply's end finds it counted.</summary>
    private void Emit(long now)
    {
        int ended = 0;
        foreach ((_, GenerationEvent e) in _scheduler.Outbox)
            ended += e.Kind == GenerationEventKind.Finished ? 1 : 0;
        _endRate.Count(ended, now);
        Interlocked.Add(ref _unfinished, -ended);
        if (ended > 0 || _time.GetElapsedTime(_snapshotTaken, now) >= SnapshotInterval)
            PublishSnapshot(now);
        if (_time.GetElapsedTime(_positionsTold, now) >= SnapshotInterval)
        {
            _positionsTold = now;
            _scheduler.TellPositions(now);
        }
        foreach ((Generation generation, GenerationEvent e) in _scheduler.Outbox)
            generation.Write(e);
        _scheduler.Outbox.Clear();
    }

    private void FinishAll()
    {
        long now = _time.GetTimestamp();
        // New requests are refused from here on: _failure is set, and seen by whoever puts something in after this looked.
        Interlocked.MemoryBarrier();
        while (_inbox.TryDequeue(out Generation? generation))
            _scheduler.Accept(generation, now);
        _scheduler.FinishAll(_cancelAll ? FinishReason.Cancelled : FinishReason.Failed, now, _cancelAll ? null : _failure);
        Emit(now);
        FailCommands(_failure!);
        _sessionsKnown.TrySetResult();
    }

    private void RunCommands()
    {
        while (_commands.TryDequeue(out (Action<Scheduler> Run, Action<string> Fail) command))
        {
            Interlocked.Decrement(ref _waitingCommands);
            command.Run(_scheduler);
        }
    }

    private void FailCommands(string failure)
    {
        while (_commands.TryDequeue(out (Action<Scheduler> Run, Action<string> Fail) command))
            command.Fail(failure);
    }

    /// <summary>What is only in the pool or in host memory goes to disk, as far as time allows, so that a restart finds it.</summary>
    private void SaveForTheNextRun()
    {
        PrefixCache cache = _scheduler.Cache;
        long start = _time.GetTimestamp();
        _result.Error = null;
        TimeSpan left;
        while ((left = _options.DiskFlushLimit - _time.GetElapsedTime(start)) > TimeSpan.Zero)
        {
            cache.SettleDiskTier();
            // A save in flight is known to the cache only once it has been collected.
            if (_inFlight is not null || cache.PendingOps.Count > 0 || cache.SaveOneIdle(unloadWritten: true))
                Step();
            else if (cache.HasDiskWrites)
                _wake.WaitOne(left);
            else
                break;
            if (_result.Error is not null)
                return;
        }
        PublishSnapshot(_time.GetTimestamp());
        if (cache.HasDiskWrites)
            LogFlushCut(_options.DiskFlushLimit.TotalSeconds);
    }

    private void TakeDiskNews(long now)
    {
        if (_disk!.Counters.Errors > _diskErrorsLogged)
        {
            _diskErrorsLogged = _disk.Counters.Errors;
            LogDiskError(_disk.LastError ?? "unreadable files", _disk.Counters.Errors);
        }
        PublishSnapshot(now);
    }

    private static void FailUnseen(Generation generation, string failure) => generation.Write(new GenerationEvent(GenerationEventKind.Finished, "", -1, null, new GenerationResult
    {
        FinishReason = FinishReason.Failed,
        Error = failure,
        PromptTokens = generation.Request.PromptTokens.Length,
        CachedTokens = 0,
        CompletionTokens = 0,
    }));

    private void PublishSnapshot(long now)
    {
        _snapshotTaken = now;
        _snapshot = EngineSnapshot.Of(_scheduler, _endRate.PerSecond(now), GC.GetAllocatedBytesForCurrentThread());
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The disk cache met an error ({Errors} so far): {Error}")]
    private partial void LogDiskError(string error, long errors);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Not all cached prefixes could be written to disk within {Seconds} s")]
    private partial void LogFlushCut(double seconds);

    [LoggerMessage(Level = LogLevel.Critical, Message = "The decode thread failed; every request ends and no more are taken")]
    private partial void LogLoopFailed(Exception exception);

    [LoggerMessage(Level = LogLevel.Critical, Message = "llama.cpp gave up in {Step}: {Cause}. Every request ends, no more are taken, and the process wants a restart")]
    private partial void LogGaveUp(string step, string cause);

    [LoggerMessage(Level = LogLevel.Error, Message = "A step of {Rows} rows failed: {Error}. The KV memory is cleared and the requests are computed again")]
    private partial void LogStepFailed(string error, int rows);
}
