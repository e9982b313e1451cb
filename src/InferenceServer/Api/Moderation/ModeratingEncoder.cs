using InferenceServer.Api.Streaming;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Api.Moderation;

/// <summary>Stands between a reply and a dialect's encoder: holds pieces back until they are judged, and puts a refusal in the place of what may not be shown.</summary>
internal sealed class ModeratingEncoder(IChatStreamEncoder encoder, TurnModeration moderation, GenerationSet generations) : IChatStreamEncoder
{
    private readonly List<(ReplyDelta Delta, TokenLogprobs? Logprobs)>[] _held =
        [.. Enumerable.Range(0, generations.Count).Select(_ => new List<(ReplyDelta, TokenLogprobs?)>())];

    private readonly bool[] _refused = new bool[generations.Count];

    public void Begin(int choice) => encoder.Begin(choice);

    public void Delta(int choice, in ReplyDelta delta, TokenLogprobs? logprobs)
    {
        if (_refused[choice])
            return;
        bool mayShow = moderation.Append(choice, delta);
        if (moderation.IsRefused(choice))
            Refuse(choice);
        else if (!mayShow)
            _held[choice].Add((delta, logprobs));
        else
        {
            Release(choice);
            encoder.Delta(choice, delta, logprobs);
        }
    }

    public void Finish(int choice, ChatReplyEnd end)
    {
        if (moderation.Finish(choice))
            Release(choice);
        else if (!_refused[choice])
            Refuse(choice);
        encoder.Finish(choice, moderation.EndOf(choice, end));
    }

    public void End(ReadOnlySpan<ChatReplyEnd> ends)
    {
        ChatReplyEnd[] judged = new ChatReplyEnd[ends.Length];
        for (int choice = 0; choice < judged.Length; choice++)
            judged[choice] = moderation.EndOf(choice, ends[choice]);
        encoder.End(judged);
    }

    public void Error(ApiException error) => encoder.Error(error);

    private void Release(int choice)
    {
        foreach ((ReplyDelta delta, TokenLogprobs? logprobs) in _held[choice])
            encoder.Delta(choice, delta, logprobs);
        _held[choice].Clear();
    }

    private void Refuse(int choice)
    {
        _refused[choice] = true;
        _held[choice].Clear();
        generations.Stop(choice);
        encoder.Delta(choice, new ReplyDelta(ReplyDeltaKind.Refusal, moderation.Refusal(choice)), null);
    }
}
