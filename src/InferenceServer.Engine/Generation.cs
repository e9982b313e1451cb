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

    public GenerationRequest Request { get; }

    /// <summary>As <see cref="GenerationRequest.PromptLogprobs"/> asks for, a place for each prompt token and null for the first; there once an event is.</summary>
    public IReadOnlyList<TokenLogprobs?>? PromptLogprobs { get; internal set; }

    public ChannelReader<GenerationEvent> Events => _events.Reader;

    /// <summary>Asks the decode thread to stop this generation at its next turn. Safe from any thread, any number of times.</summary>
    public void Cancel() => _cancelRequested = true;

    internal bool CancelRequested => _cancelRequested;

    internal ChannelWriter<GenerationEvent> Writer => _events.Writer;
}
