// The public face of the engine. HTTP threads submit and read; one decode thread does the rest (EngineLoop).

using System.Security.Cryptography;
using System.Text;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine;

/// <summary>The waiting queue is full: answer 429. <see cref="QueuedRequests"/> and <see cref="RetryAfter"/> say how long to wait.</summary>
public sealed class EngineQueueFullException(int queuedRequests, TimeSpan retryAfter)
    : Exception($"The waiting queue is full ({queuedRequests} requests).")
{
    public int QueuedRequests { get; } = queuedRequests;

    /// <summary>From the measured rate at which requests end.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter;
}

/// <summary>The engine takes no more requests: it is stopping, or its decode thread has failed. Answer 503.</summary>
public sealed class EngineUnavailableException(string reason) : Exception(reason);

/// <summary>Continues prompts with one model. All members are safe to call from any thread.</summary>
public sealed partial class InferenceEngine : IInferenceEngine, IAsyncDisposable
{
    private static readonly TimeSpan ShortestRetry = TimeSpan.FromSeconds(1);
    private const int IdsPerSequence = 8;
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(2);

    private readonly EngineOptions _options;
    private readonly DecoderLimits _limits;
    private readonly EngineLoop _loop;
    private readonly LlamaModel? _model;

    /// <param name="model">What adapters are loaded for; null where there are none.</param>
    internal InferenceEngine(EngineOptions options, IDecoder decoder, DiskTier? disk, EngineVocabulary vocabulary, TimeProvider time, ILogger log, LlamaModel? model = null, Drafter? drafter = null)
    {
        _options = options;
        _model = model;
        _limits = decoder.Limits;
        _loop = new EngineLoop(options, decoder, disk, vocabulary, time, log, drafter);
    }

    /// <summary>Makes a context for the model and starts the decode thread over it. The models must outlive the engine.</summary>
    /// <param name="contextOptions">Cells, batch sizes, threads and KV types; how many sequences it can hold is the engine's to say.</param>
    /// <param name="draft">A smaller model that guesses for this one; null for none. What it computes with is as the other's context has it.</param>
    /// <exception cref="LlamaException">The context cannot be made: too little memory, or options that contradict the model.</exception>
    /// <exception cref="IOException">The disk cache's folder cannot be used; the message says why.</exception>
    /// <exception cref="ArgumentException">A disk cache without shared cells or without host memory to pass through.</exception>
    public static InferenceEngine Start(
        EngineOptions options, LlamaModel model, LlamaContextOptions contextOptions, TimeProvider time, ILogger log, DraftModel? draft = null)
    {
        if (options.DiskCacheDirectory is not null && (!contextOptions.KvUnified || options.HostCacheBytes <= 0))
            throw new ArgumentException("A disk cache needs shared cells (KvUnified) and host memory to pass through (HostCacheBytes).", nameof(options));
        DiskTier? disk = options.DiskCacheDirectory is { } directory
            ? new DiskTier(new DiskStore(directory, Fingerprint(model, contextOptions), time), options.DiskCacheBytes)
            : null;
        try
        {
            return Start(options, model, contextOptions, draft, disk, time, log);
        }
        catch
        {
            disk?.Dispose();
            throw;
        }
    }

    private static InferenceEngine Start(
        EngineOptions options, LlamaModel model, LlamaContextOptions contextOptions, DraftModel? draft, DiskTier? disk, TimeProvider time, ILogger log)
    {
        draft?.Check(model);
        contextOptions = ContextOf(options, model.MemoryKind, contextOptions);
        LlamaContext context = new(model, contextOptions, log);
        LlamaVocab vocab = model.Vocab;
        try
        {
            LlamaDecoder decoder = new(
                context,
                Math.Min(context.ContextLengthPerSequence, context.CellCount),
                options.MaxSequences,
                contextOptions.KvUnified,
                model.EstimateKvBytesPerToken(contextOptions.TypeK, contextOptions.TypeV),
                quantizedKv: contextOptions.TypeK is not (KvType.F16 or KvType.F32) || contextOptions.TypeV != contextOptions.TypeK,
                options.Device,
                options.Deterministic);
            LogDevice(log, decoder.Limits.Device);
            Drafter? drafter = StartDraft(draft, options, model, contextOptions, decoder, time, log);
            return new InferenceEngine(options, decoder, disk, new EngineVocabulary(vocab.Count, vocab.TokenBytes, vocab.IsEndOfGeneration), time, log, model, drafter);
        }
        catch
        {
            // A device that has no room for a first step gets a smaller context.
            context.Dispose();
            throw;
        }
    }

    private static Drafter? StartDraft(DraftModel? draft, EngineOptions options, LlamaModel model, LlamaContextOptions contextOptions, LlamaDecoder decoder, TimeProvider time, ILogger log)
    {
        if (draft is null)
            return null;
        try
        {
            Drafter drafter = draft.Start(options, model, contextOptions, time, log);
            LogDraftModel(log, draft.Model.Path, drafter.Limits.Bytes >> 20, drafter.Longest, drafter.Limits.Device);
            return drafter;
        }
        catch
        {
            decoder.Dispose();
            throw;
        }
    }

    /// <summary>The context that an engine makes of one that was asked for: how many sequences and outputs it has is the engine's to say.</summary>
    public static LlamaContextOptions ContextOf(EngineOptions options, MemoryKind kind, LlamaContextOptions asked)
    {
        // In a shared pool results depend on where cells lie: sums over them are added up in tiles.
        bool sharesCells = asked.KvUnified && !options.Deterministic;
        return asked with
        {
            KvUnified = sharesCells,
            MaxSequences = SequenceIds(options, kind, sharesCells),
            MaxOutputs = Math.Min(options.MaxSequences + (options.Speculation && kind is MemoryKind.Dense ? Scheduler.DraftRows : 0), asked.BatchSize),
        };
    }

    /// <summary>Most tokens one sequence can hold, prompt and reply together.</summary>
    public int ContextLength => _limits.ContextLength;

    /// <summary>False where the model's memory goes on from checkpoints only, and there is no host memory for one, or cells are not shared.</summary>
    public bool SharesPrefixes => _loop.SharesPrefixes;

    /// <summary>Replies have to repeat bit for bit, and on this device that takes steps of one sequence each.</summary>
    public bool ComputesAlone => _limits.ComputesAlone;

    /// <summary>Whether <see cref="GenerationRequest.MessageBoundaries"/> are of use.</summary>
    public bool TakesCheckpoints => _limits.CheckpointBytes > 0 && SharesPrefixes;

    /// <summary>What a checkpoint takes in host memory at most; 0 where the model needs none.</summary>
    public long CheckpointBytes => _limits.CheckpointBytes;

    /// <summary>What all cells of the KV pool take; null where layers keep something else than each token's keys and values.</summary>
    public long? KvPoolBytes => _limits.CheckpointBytes == 0 ? _limits.Cells * _limits.StateBytesPerToken : null;

    /// <summary>Gauges and counters as of the last step.</summary>
    public EngineSnapshot Snapshot => _loop.Snapshot;

    /// <summary>Null while the decode thread works; else why it cannot, a step that exceeds its limit included.</summary>
    public string? Failure => _loop.Failure ?? (_loop.StepAge > _options.StepTimeLimit
        ? $"The decode call of {_loop.StepName}, has been running for {_loop.StepAge.TotalSeconds:F0} s; its limit is {_options.StepTimeLimit.TotalSeconds:F0} s."
        : null);

    /// <summary>Queues a request.</summary>
    /// <exception cref="EngineQueueFullException">The bounded queue is full.</exception>
    /// <exception cref="EngineUnavailableException">Draining, or the decode thread failed.</exception>
    /// <exception cref="ArgumentException">The prompt is empty or leaves no room for a token.</exception>
    /// <exception cref="AdapterRemovedException">An adapter was released meanwhile.</exception>
    public Generation Submit(GenerationRequest request)
    {
        if (request.PromptTokens.IsEmpty)
            throw new ArgumentException("A prompt needs at least one token.", nameof(request));
        if (request.PromptTokens.Length >= ContextLength)
            throw new ArgumentException($"The prompt has {request.PromptTokens.Length} tokens; the context holds {ContextLength}, one of them for the reply.", nameof(request));
        if (Failure is { } failure)
            throw new EngineUnavailableException(failure);
        if (_loop.IsStopping)
            throw new EngineUnavailableException("The server is shutting down.");
        if (!request.Adapters.TryUse())
            throw new AdapterRemovedException();
        Generation generation = new(request) { HoldsAdapters = true };
        if (!_loop.TryEnqueue(generation))
        {
            request.Adapters.EndUse();
            // Of a burst the last step has seen nothing yet; but what was refused for is there.
            int waiting = Math.Max(_loop.Snapshot.WaitingRequests, _options.MaxQueue);
            throw new EngineQueueFullException(waiting, EstimateRetry(waiting));
        }
        return generation;
    }

    /// <summary>Checks and loads a LoRA adapter; streams stand still while llama.cpp reads it, which was read for the check just before.</summary>
    /// <exception cref="LlamaException">The file cannot be used with this model; the message names it and says why.</exception>
    /// <exception cref="EngineUnavailableException">The decode thread has ended, or is busy for longer than a step may take.</exception>
    public async Task<EngineAdapter> LoadAdapterAsync(string path)
    {
        LlamaModel model = _model ?? throw new InvalidOperationException("There is no model that an adapter could change.");
        LlamaAdapterFile file = await Task.Run(() => LlamaAdapterFile.Check(path, model));
        Task<EngineAdapter> loading = _loop.LoadAdapterAsync(file);
        await WithinStepLimitAsync(loading, "The decode thread did not load the adapter");
        return await loading;
    }

    /// <summary>The named conversations of a namespace that the cache knows, most recently used first.</summary>
    /// <exception cref="EngineUnavailableException">The decode thread has ended, or is busy for longer than a step may take.</exception>
    public async Task<List<CachedSession>> ListSessionsAsync(string cacheNamespace)
    {
        await WithinStepLimitAsync(_loop.SessionsKnown, "The disk cache was not read");
        return await InvokeAsync(scheduler => scheduler.Cache.ListSessions(cacheNamespace));
    }

    /// <summary>Drops a conversation from all tiers, as far as no other and no running request shares it; false when there is none of this name.</summary>
    /// <exception cref="EngineUnavailableException">As above.</exception>
    public async Task<bool> DropSessionAsync(string cacheNamespace, string id)
    {
        await WithinStepLimitAsync(_loop.SessionsKnown, "The disk cache was not read");
        return await InvokeAsync(scheduler => scheduler.Cache.DropSession(cacheNamespace, id));
    }

    /// <summary>Takes no more requests, lets running ones finish until <paramref name="drainTimeout"/>, cancels the rest, joins the decode thread.</summary>
    public async Task StopAsync(TimeSpan drainTimeout)
    {
        _loop.Stop(cancelRunning: drainTimeout <= TimeSpan.Zero);
        await Task.Run(() =>
        {
            if (_loop.Join(drainTimeout))
                return;
            _loop.Stop(cancelRunning: true);
            // A native call that hangs cannot be ended; the process is stopping anyway.
            _loop.Join(_options.StepTimeLimit);
        });
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(TimeSpan.Zero);
        _loop.Dispose();
    }

    /// <summary>
    /// Shared cells: a running request can pin one leaf that it did not make, and idle leaves worth keeping need an id each; an id costs a
    /// row of logits in host memory (llama_context::output_reserve), and where there are partial states room for one of those (56 MB of a 7B
    /// hybrid): then only a quarter more than run, and the scratch id. Separate memories: a stream a sequence, since unused streams slow every
    /// step down.
    /// </summary>
    private static int SequenceIds(EngineOptions options, MemoryKind kind, bool sharesCells)
    {
        int ids = !sharesCells ? options.MaxSequences
            : kind is MemoryKind.Dense ? options.MaxSequences * IdsPerSequence
            : options.MaxSequences + (options.MaxSequences / 4) + 2;
        return Math.Min(ids, LlamaContext.SequenceLimit);
    }

    /// <summary>What saved KV state depends on: the same bytes mean nothing to another model, layout or build.</summary>
    private static byte[] Fingerprint(LlamaModel model, LlamaContextOptions context) => SHA256.HashData(Encoding.UTF8.GetBytes(
        $"{Convert.ToHexString(model.ContentHash())} {model.Library.Version} {model.Library.Backend} {model.Description} "
        + $"K {context.TypeK} V {context.TypeV} attention {context.FlashAttention} window {context.FullSlidingWindow} offload {context.OffloadKv} layers {model.GpuLayers}"));

    /// <summary>Runs a command on the decode thread between two steps; what it submits arrives in one step.</summary>
    internal async Task<T> InvokeAsync<T>(Func<Scheduler, T> command)
    {
        Task<T> answer = _loop.InvokeAsync(command);
        await WithinStepLimitAsync(answer, "The decode thread did not answer");
        return await answer;
    }

    private async Task WithinStepLimitAsync(Task task, string failure)
    {
        try
        {
            await task.WaitAsync(_options.StepTimeLimit);
        }
        catch (TimeoutException)
        {
            throw new EngineUnavailableException($"{failure} within {_options.StepTimeLimit.TotalSeconds:F0} s.");
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Measured the device: {Device}")]
    private static partial void LogDevice(ILogger log, DeviceProfile device);

    [LoggerMessage(Level = LogLevel.Information, Message = "Draft model: {Path}, {MiB} MiB with its memory, guesses up to {Longest} tokens where that pays; {Device}")]
    private static partial void LogDraftModel(ILogger log, string path, long miB, int longest, DeviceProfile device);

    private TimeSpan EstimateRetry(int waiting)
    {
        double rate = _loop.Snapshot.RequestsEndedPerSecond;
        TimeSpan estimate = rate > 0 ? TimeSpan.FromSeconds(Math.Min(waiting / rate, LongestRetry.TotalSeconds)) : ShortestRetry;
        return estimate < ShortestRetry ? ShortestRetry : estimate;
    }
}
