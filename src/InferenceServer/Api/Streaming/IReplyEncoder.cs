using InferenceServer.Chat;

namespace InferenceServer.Api.Streaming;

/// <summary>One dialect's stream: the last stage of a reply's way. Writes into a buffer and never waits.</summary>
internal interface IReplyEncoder
{
    string ContentType => EventStream.ServerSentEvents;

    /// <summary>What is sent when nothing was for a while, so that proxies and clients go on waiting.</summary>
    ReadOnlySpan<byte> KeepAlive => EventStream.Comment;

    /// <summary>More of the reply.</summary>
    void Write(in ReplyEvent read);

    /// <summary>All choices have ended; in choice order.</summary>
    void End(ReadOnlySpan<ReplyEnd> ends);

    /// <summary>The stream ends here, and not as it should.</summary>
    void Error(RequestProblem problem);
}
