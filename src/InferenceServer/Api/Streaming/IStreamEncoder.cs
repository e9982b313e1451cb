using InferenceServer.Engine;

namespace InferenceServer.Api.Streaming;

/// <summary>One protocol's server-sent events. Writes into the stream's buffer and never waits; <see cref="StreamPump"/> flushes.</summary>
internal interface IStreamEncoder
{
    /// <summary>Before a choice's first event.</summary>
    void Begin(int choice);

    /// <summary>Text that came, never splitting a character; may be empty where only log probabilities came.</summary>
    void Text(int choice, string text, TokenLogprobs? logprobs);

    /// <summary>A choice has ended as it should.</summary>
    void Finish(int choice, GenerationResult result);

    /// <summary>All choices have.</summary>
    void End(ReadOnlySpan<GenerationResult> results);

    /// <summary>The stream ends here, and not as it should.</summary>
    void Error(ApiException error);
}
