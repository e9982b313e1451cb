using InferenceServer.Api.Streaming;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>Passes a stream on and keeps what it says. The choices' ends are held back until all is stored: a client that saw one can rely on it.</summary>
internal sealed class StoringEncoder(IChatStreamEncoder encoder, int choices) : IChatStreamEncoder
{
    private readonly ChatTurn.Collected[] _collected = [.. Enumerable.Range(0, choices).Select(_ => new ChatTurn.Collected())];
    private readonly ChatReplyEnd[] _ends = new ChatReplyEnd[choices];

    public void Begin(int choice) => encoder.Begin(choice);

    public void Delta(int choice, in ReplyDelta delta, TokenLogprobs? logprobs)
    {
        _collected[choice].Add(new ReadOnlySpan<ReplyDelta>(in delta));
        if (logprobs is not null)
            _collected[choice].Logprobs.Add(logprobs);
        encoder.Delta(choice, delta, logprobs);
    }

    public void Finish(int choice, ChatReplyEnd end) => _ends[choice] = end;

    public void End(ReadOnlySpan<ChatReplyEnd> ends)
    {
        for (int choice = 0; choice < ends.Length; choice++)
            encoder.Finish(choice, ends[choice]);
        encoder.End(ends);
    }

    public void Error(ApiException error) => encoder.Error(error);

    /// <summary>Once every choice has ended.</summary>
    public ChatTurnReply[] Replies() => [.. _collected.Select((collected, choice) => collected.Whole(_ends[choice]))];
}
