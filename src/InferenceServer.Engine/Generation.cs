// A request's handle outside the engine: events to read, a flag to cancel.

using System.Threading.Channels;

namespace InferenceServer.Engine;

/// <summary>A submitted request. Events end with exactly one <see cref="GenerationEventKind.Finished"/>, whatever happens.</summary>
public sealed class Generation
{
    // Unbounded: the number of events is bounded by MaxTokens, and a slow reader must never stall decoding.
    private readonly Channel<GenerationEvent> _events = Channel.CreateUnbounded<GenerationEvent>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = true, AllowSynchronousContinuations = false });

    private volatile bool _cancelRequested;
    private volatile int _queuePosition;
    private int _letGo;

    internal Generation(GenerationRequest request) => Request = request;

    /// <summary>One that no engine saw: it has ended, and there is no text.</summary>
    public static Generation Ended(GenerationRequest request)
    {
        Generation ended = new(request);
        GenerationResult result = new() { FinishReason = FinishReason.Stop, PromptTokens = request.PromptTokens.Length, CachedTokens = 0, CompletionTokens = 0 };
        ended.Write(new GenerationEvent(GenerationEventKind.Finished, "", 0, null, result));
        return ended;
    }

    public GenerationRequest Request { get; }

    /// <summary>It holds its request's adapters, and lets them go with its last event.</summary>
    internal bool HoldsAdapters { private get; init; }

    /// <summary>For a request that names no seed.</summary>
    internal ulong FallbackSeed { get; } = (ulong)Random.Shared.NextInt64();

    /// <summary>As <see cref="GenerationRequest.PromptLogprobs"/> asks for, a place for each prompt token and null for the first; there once an event is.</summary>
    public IReadOnlyList<TokenLogprobs?>? PromptLogprobs { get; internal set; }

    public ChannelReader<GenerationEvent> Events => _events.Reader;

    /// <summary>Its place among the requests that wait, 1 being next, as it was foreseen a moment ago; null once it has begun or ended. Safe from any thread.</summary>
    public int? QueuePosition => _queuePosition is var position and not 0 ? position : null;

    /// <summary>Asks the decode thread to stop this generation at its next turn. Safe from any thread, any number of times.</summary>
    public void Cancel() => _cancelRequested = true;

    internal bool CancelRequested => _cancelRequested;

    /// <summary>It waits, at this place; from 1.</summary>
    internal void Queued(int position) => _queuePosition = position;

    /// <summary>It waits no more.</summary>
    internal void Begun() => _queuePosition = 0;

    /// <returns>False after the end.</returns>
    internal bool Write(in GenerationEvent e)
    {
        // Before the end is told: who reads it finds adapters that were released gone.
        if (e.Kind == GenerationEventKind.Finished && HoldsAdapters && Interlocked.Exchange(ref _letGo, 1) == 0)
            Request.Adapters.EndUse();
        bool written = _events.Writer.TryWrite(e);
        if (e.Kind != GenerationEventKind.Finished)
            return written;
        Begun();
        _events.Writer.Complete();
        return written;
    }
}
