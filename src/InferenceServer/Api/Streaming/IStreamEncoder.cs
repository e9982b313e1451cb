using InferenceServer.Engine;

namespace InferenceServer.Api.Streaming;

/// <summary>One protocol's stream. Writes into the stream's buffer and never waits; <see cref="StreamPump"/> flushes.</summary>
internal interface IStreamEncoder
{
    string ContentType => ServerSentEvents.ContentType;

    /// <summary>What is sent when nothing was for a while, so that proxies and clients go on waiting.</summary>
    ReadOnlySpan<byte> KeepAlive => ServerSentEvents.Comment;

    /// <summary>Before a choice's first event.</summary>
    void Begin(int choice);

    /// <summary>A token came, or text that was held back until the end.</summary>
    /// <param name="text">What can be sent now, never splitting a character; may be empty.</param>
    /// <param name="tokens">1, or 0 for text that was held back.</param>
    /// <param name="logprobs">The token's, where they were asked for.</param>
    void Text(int choice, string text, int tokens, TokenLogprobs? logprobs);

    /// <summary>A choice has ended as it should.</summary>
    void Finish(int choice, GenerationResult result);

    /// <summary>All choices have.</summary>
    void End(ReadOnlySpan<GenerationResult> results);

    /// <summary>The stream ends here, and not as it should.</summary>
    void Error(ApiException error);
}

internal static class ServerSentEvents
{
    public const string ContentType = "text/event-stream; charset=utf-8";

    public static ReadOnlySpan<byte> Comment => ": ping\n\n"u8;
}
