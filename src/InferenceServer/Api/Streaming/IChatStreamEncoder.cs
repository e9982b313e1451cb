using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Api.Streaming;

/// <summary>One chat dialect's stream. Writes into the stream's buffer and never waits.</summary>
internal interface IChatStreamEncoder
{
    /// <inheritdoc cref="IStreamEncoder.ContentType"/>
    string ContentType => ServerSentEvents.ContentType;

    /// <inheritdoc cref="IStreamEncoder.KeepAlive"/>
    ReadOnlySpan<byte> KeepAlive => ServerSentEvents.Comment;

    /// <summary>Before a choice's first delta.</summary>
    void Begin(int choice);

    /// <summary>More of the reply. Content may be empty where only log probabilities came.</summary>
    /// <param name="logprobs">Of the token that came with it; given with one delta only, whatever that holds of the token's text.</param>
    void Delta(int choice, in ReplyDelta delta, TokenLogprobs? logprobs);

    /// <summary>A choice has ended as it should.</summary>
    void Finish(int choice, ChatReplyEnd end);

    /// <summary>All choices have; in choice order.</summary>
    void End(ReadOnlySpan<ChatReplyEnd> ends);

    /// <summary>The stream ends here, and not as it should.</summary>
    void Error(ApiException error);
}

/// <summary>Splits each choice's text on its way from the pump to a chat dialect.</summary>
internal sealed class SplittingEncoder(IChatStreamEncoder encoder, ReplyReader[] replies) : IStreamEncoder
{
    private readonly ChatReplyEnd[] _ends = new ChatReplyEnd[replies.Length];

    public string ContentType => encoder.ContentType;

    public ReadOnlySpan<byte> KeepAlive => encoder.KeepAlive;

    public void Begin(int choice) => encoder.Begin(choice);

    public void Text(int choice, string text, int tokens, TokenLogprobs? logprobs) => Pass(choice, replies[choice].Read(text, tokens), logprobs);

    public void Finish(int choice, GenerationResult result)
    {
        Pass(choice, replies[choice].Finish(), null);
        encoder.Finish(choice, _ends[choice] = replies[choice].EndOf(result));
    }

    public void End(ReadOnlySpan<GenerationResult> results) => encoder.End(_ends);

    public void Error(ApiException error) => encoder.Error(error);

    private void Pass(int choice, ReadOnlySpan<ReplyDelta> deltas, TokenLogprobs? logprobs)
    {
        if (deltas.IsEmpty && logprobs is not null)
            encoder.Delta(choice, new(ReplyDeltaKind.Content, ""), logprobs);
        foreach (ref readonly ReplyDelta delta in deltas)
        {
            encoder.Delta(choice, delta, logprobs);
            logprobs = null;
        }
    }
}
