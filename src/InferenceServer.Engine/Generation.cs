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

    internal Generation(GenerationRequest request) => Request = request;

    /// <summary>One that no engine saw: it has ended, and there is no text.</summary>
    public static Generation Ended(GenerationRequest request)
    {
        Generation ended = new(request);
        GenerationResult result = new() { FinishReason = FinishReason.Stop, PromptTokens = request.PromptTokens.Length, CachedTokens = 0, CompletionTokens = 0 };
        ended.Writer.TryWrite(new GenerationEvent(GenerationEventKind.Finished, "", 0, null, result));
        ended.Writer.Complete();
        return ended;
    }

    public GenerationRequest Request { get; }

    /// <summary>For a request that names no seed.</summary>
    internal ulong FallbackSeed { get; } = (ulong)Random.Shared.NextInt64();

    /// <summary>As <see cref="GenerationRequest.PromptLogprobs"/> asks for, a place for each prompt token and null for the first; there once an event is.</summary>
    public IReadOnlyList<TokenLogprobs?>? PromptLogprobs { get; internal set; }

    public ChannelReader<GenerationEvent> Events => _events.Reader;

    /// <summary>Asks the decode thread to stop this generation at its next turn. Safe from any thread, any number of times.</summary>
    public void Cancel() => _cancelRequested = true;

    internal bool CancelRequested => _cancelRequested;

    internal ChannelWriter<GenerationEvent> Writer => _events.Writer;
}
