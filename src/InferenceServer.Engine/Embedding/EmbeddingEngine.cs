// Embeddings and ranks of whole texts: a context and a thread of their own, so that they never stand in the way of the decode thread. What it owns: the
// context, the batch and the sequence ids of the batch that runs. Always: nothing is kept in the context from one batch to the next.

using System.Diagnostics;
using System.Globalization;
using InferenceServer.Llama;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Embedding;

public sealed record EmbeddingEngineOptions
{
    /// <summary>Most requests that wait; one more is refused.</summary>
    public int MaxQueue { get; init; } = 512;

    /// <summary>Most texts computed at once.</summary>
    public int MaxSequences { get; init; } = 64;
}

/// <summary>Gauges and counters of an embedding engine.</summary>
public readonly record struct EmbeddingSnapshot(int WaitingRequests, long Inputs, long Tokens, long Batches, long FailedBatches, double BatchSeconds);

/// <summary>Turns texts, as tokens, into vectors with one model. All members are safe to call from any thread.</summary>
public sealed partial class EmbeddingEngine : IEmbeddingEngine, IAsyncDisposable
{
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(2);

    // A native call that hangs cannot be ended; the process is stopping anyway.
    private static readonly TimeSpan JoinLimit = TimeSpan.FromSeconds(60);

    private readonly Lock _gate = new();
    private readonly LinkedList<EmbeddingJob> _waiting = [];
    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;
    private readonly List<(EmbeddingJob Job, int Input)> _inBatch = [];
    private readonly Thread _thread;
    private readonly ILogger _log;
    private readonly int _maxQueue;
    private readonly AutoResetEvent _wake = new(false);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private EmbeddingSnapshot _counters;
    private string? _failure;
    private bool _stopping;
    private bool _disposed;
    private volatile bool _lost;

    private EmbeddingEngine(EmbeddingEngineOptions options, LlamaModel model, LlamaContext context, int maxInputTokens, ILogger log)
    {
        (_context, _log, _maxQueue, MaxInputTokens) = (context, log, options.MaxQueue, maxInputTokens);
        _batch = new LlamaBatch(context.BatchSize);
        Pooling = context.Pooling;
        Dimensions = Pooling is PoolingType.Rank ? model.ClassCount : model.OutputEmbeddingLength;
        _thread = new Thread(Run) { IsBackground = true, Name = "embedding" };
    }

    /// <summary>Makes a context for the model, computes one token with it to know that it can, and starts the thread. The model must outlive the engine.</summary>
    /// <param name="contextOptions">Batch size (which also bounds an input), threads and KV types. A model that does not say how it pools takes the mean.</param>
    /// <exception cref="LlamaException">The model cannot embed, or the context cannot be made.</exception>
    public static EmbeddingEngine Start(EmbeddingEngineOptions options, LlamaModel model, LlamaContextOptions contextOptions, ILogger log)
    {
        EmbeddingEngine engine = Create(options, model, contextOptions, log);
        engine.Begin();
        return engine;
    }

    /// <summary>As <see cref="Start"/>, but nothing is computed before <see cref="Begin"/>.</summary>
    internal static EmbeddingEngine Create(EmbeddingEngineOptions options, LlamaModel model, LlamaContextOptions contextOptions, ILogger log)
    {
        if (model is { HasEncoder: true, HasDecoder: true })
            throw new LlamaException($"{model.Path} has an encoder and a decoder, which cannot be pooled: choose another --embedding-model");
        PoolingType says = PoolingOf(model);
        if (says is PoolingType.Rank && model.ClassCount < 1)
            throw new LlamaException($"{model.Path} says that it ranks, but not into how many classes: choose another --embedding-model");
        int most = Math.Min(model.TrainContextLength, contextOptions.BatchSize);
        LlamaContext context = new(model, contextOptions with
        {
            Embeddings = true,
            Pooling = says is PoolingType.None ? PoolingType.Mean : says,
            CellCount = most,
            BatchSize = most,
            MicroBatchSize = most,
            KvUnified = true,
            MaxSequences = Math.Clamp(options.MaxSequences, 1, Math.Min(most, LlamaContext.SequenceLimit)),
        }, log);
        EmbeddingEngine engine;
        try
        {
            engine = new EmbeddingEngine(options, model, context, most, log);
        }
        catch
        {
            context.Dispose();
            throw;
        }

        if (engine.Probe() is var status and not DecodeStatus.Ok)
        {
            engine._batch.Dispose();
            context.Dispose();
            throw new LlamaException($"{model.Path} cannot embed: computing one token ended with {status}; choose another --embedding-model");
        }

        return engine;
    }

    internal void Begin() => _thread.Start();

    /// <summary>How the model's file says that it pools; None where it says nothing or that it does not.</summary>
    public static PoolingType PoolingOf(LlamaModel model) =>
        int.TryParse(model.Metadata($"{model.Architecture}.pooling_type"), CultureInfo.InvariantCulture, out int type) && Enum.IsDefined((PoolingType)type) && type >= 0 ? (PoolingType)type : PoolingType.None;

    /// <summary>Numbers in a vector; where the model ranks, classes.</summary>
    public int Dimensions { get; }

    /// <summary>Most tokens of one input.</summary>
    public int MaxInputTokens { get; }

    public PoolingType Pooling { get; }

    /// <summary>Null while the thread works; else why it cannot.</summary>
    public string? Failure => Volatile.Read(ref _failure);

    public EmbeddingSnapshot Snapshot
    {
        get
        {
            lock (_gate)
                return _counters with { WaitingRequests = _waiting.Count };
        }
    }

    /// <summary>The vector of each input, as the model gives it.</summary>
    /// <param name="inputs">Each of 1 to <see cref="MaxInputTokens"/> tokens of the vocabulary.</param>
    /// <exception cref="EngineQueueFullException">The bounded queue is full.</exception>
    /// <exception cref="EngineUnavailableException">Stopping, or the thread failed.</exception>
    /// <exception cref="EmbeddingFailedException">The batch that an input was in could not be computed.</exception>
    public Task<float[][]> EmbedAsync(IReadOnlyList<int[]> inputs, CancellationToken cancellation)
    {
        foreach (int[] input in inputs)
            if (input.Length < 1 || input.Length > MaxInputTokens)
                throw new ArgumentException($"An input has {input.Length} tokens; 1 to {MaxInputTokens} can be computed.", nameof(inputs));
        if (inputs.Any(input => Array.Exists(input, token => (uint)token >= (uint)_context.VocabularySize)))
            throw new ArgumentException($"A token is not one of the model's {_context.VocabularySize}.", nameof(inputs));
        if (inputs.Count == 0)
            return Task.FromResult<float[][]>([]);
        EmbeddingJob job = new(inputs, cancellation);
        lock (_gate)
        {
            if (_failure is not null)
                throw new EngineUnavailableException(_failure);
            if (_stopping)
                throw new EngineUnavailableException("The server is shutting down.");
            if (_waiting.Count >= _maxQueue)
                throw new EngineQueueFullException(_waiting.Count, EstimateRetry());
            _waiting.AddLast(job);
        }

        _wake.Set();
        return job.Result;
    }

    /// <summary>Takes no more requests and lets those that wait finish until <paramref name="drainTimeout"/>.</summary>
    public async Task StopAsync(TimeSpan drainTimeout)
    {
        lock (_gate)
            _stopping = true;
        _wake.Set();
        if (drainTimeout > TimeSpan.Zero)
            await Task.WhenAny(_ended.Task, Task.Delay(drainTimeout));
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(TimeSpan.Zero);
        Volatile.Write(ref _disposed, true);
        _context.AbortRequested = true;
        _wake.Set();
        if (_thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted))
            FailAll(new EngineUnavailableException("The server is shutting down."));
        else if (_lost || !await Task.Run(() => _thread.Join(JoinLimit)))
            return;
        _batch.Dispose();
        _context.Dispose();
        _wake.Dispose();
    }

    private void Run()
    {
        LlamaLibrary.OnGivingUp(GiveUp);
        string reason = "The server is shutting down.";
        try
        {
            while (!Volatile.Read(ref _disposed))
            {
                bool more;
                lock (_gate)
                    more = Fill() || !_stopping;
                if (!more)
                    break;
                if (_inBatch.Count > 0)
                    Compute();
                else
                    _wake.WaitOne();
            }
        }
        catch (Exception error)
        {
            reason = $"The embedding thread failed: {error.Message}";
            LogFailed(_log, error);
            Volatile.Write(ref _failure, reason);
        }

        FailAll(new EngineUnavailableException(reason));
        _ended.TrySetResult();
    }

    /// <summary>llama.cpp gave up in a call of this thread: whoever waits is told, then the thread is lost.</summary>
    private void GiveUp(string cause)
    {
        string reason = $"llama.cpp gave up: {cause}";
        LogGaveUp(_log, cause);
        Volatile.Write(ref _failure, reason);
        FailAll(new EngineUnavailableException(reason));
        _lost = true;
        _ended.TrySetResult();
    }

    /// <summary>
    /// Chooses what is computed next: inputs of the requests in turn, as many as fit. The first request always gets all the room that it can use, and then
    /// goes behind the others. False when nothing waits.
    /// </summary>
    private bool Fill()
    {
        _inBatch.Clear();
        int rows = 0;
        LinkedListNode<EmbeddingJob>? first = null;
        for (LinkedListNode<EmbeddingJob>? at = _waiting.First; at is not null;)
        {
            (LinkedListNode<EmbeddingJob> node, EmbeddingJob job) = (at, at.Value);
            at = at.Next;
            while (!job.IsOver && job.HasMore && _inBatch.Count < _context.MaxSequences && rows + job.NextLength <= _context.BatchSize)
            {
                rows += job.NextLength;
                _inBatch.Add((job, job.Take()));
            }

            if (job.IsOver || !job.HasMore)
                _waiting.Remove(node);
            else
                first ??= node;
        }

        if (first is not null && first == _waiting.First)
        {
            _waiting.Remove(first);
            _waiting.AddLast(first);
        }

        return _inBatch.Count > 0;
    }

    private void Compute()
    {
        long started = Stopwatch.GetTimestamp();
        _batch.Clear();
        for (int sequence = 0; sequence < _inBatch.Count; sequence++)
        {
            int[] tokens = _inBatch[sequence].Job.Inputs[_inBatch[sequence].Input];
            for (int position = 0; position < tokens.Length; position++)
                _batch.Add(tokens[position], position, sequence, wantsLogits: true);
        }

        DecodeStatus status = _context.Decode(_batch);
        float[][] vectors = new float[_inBatch.Count][];
        for (int sequence = 0; status is DecodeStatus.Ok && sequence < vectors.Length; sequence++)
            vectors[sequence] = _context.SequenceEmbedding(sequence).ToArray();
        _context.ClearMemory();
        // Counted before anybody is told, so that who was told finds it counted.
        Count(status, Stopwatch.GetElapsedTime(started));
        for (int sequence = 0; sequence < vectors.Length; sequence++)
        {
            (EmbeddingJob job, int input) = _inBatch[sequence];
            if (status is DecodeStatus.Ok)
                job.Complete(input, vectors[sequence]);
            else
                job.Fail(new EmbeddingFailedException($"The batch could not be computed: {status}{(LlamaContext.LastError is { } error ? $", {error}" : "")}."));
        }
    }

    private void Count(DecodeStatus status, TimeSpan elapsed)
    {
        lock (_gate)
        {
            _counters = _counters with
            {
                Inputs = _counters.Inputs + _inBatch.Count,
                Tokens = _counters.Tokens + _batch.Count,
                Batches = _counters.Batches + 1,
                FailedBatches = _counters.FailedBatches + (status is DecodeStatus.Ok ? 0 : 1),
                BatchSeconds = _counters.BatchSeconds + elapsed.TotalSeconds,
            };
        }
    }

    private DecodeStatus Probe()
    {
        _batch.Clear();
        _batch.Add(0, 0, 0, wantsLogits: true);
        DecodeStatus status = _context.Decode(_batch);
        _context.ClearMemory();
        return status;
    }

    private void FailAll(Exception error)
    {
        List<EmbeddingJob> left;
        lock (_gate)
        {
            _stopping = true;
            left = [.. _waiting, .. _inBatch.Select(entry => entry.Job)];
            _waiting.Clear();
        }

        foreach (EmbeddingJob job in left)
            job.Fail(error);
    }

    /// <summary>From the measured rate at which tokens are computed. Within the lock.</summary>
    private TimeSpan EstimateRetry()
    {
        double rate = _counters.BatchSeconds > 0 ? _counters.Tokens / _counters.BatchSeconds : 0;
        double seconds = rate > 0 ? _waiting.Sum(job => (double)job.TokensLeft) / rate : 1;
        return TimeSpan.FromSeconds(Math.Clamp(seconds, 1, LongestRetry.TotalSeconds));
    }

    [LoggerMessage(EventId = 141, Level = LogLevel.Critical, Message = "llama.cpp gave up while it embedded: {Cause}. Every request ends, no more are taken, and the process wants a restart")]
    private static partial void LogGaveUp(ILogger logger, string cause);

    [LoggerMessage(EventId = 140, Level = LogLevel.Critical, Message = "The embedding thread failed")]
    private static partial void LogFailed(ILogger logger, Exception error);
}

/// <summary>A batch of embeddings could not be computed; others may go on.</summary>
public sealed class EmbeddingFailedException(string message) : Exception(message);
