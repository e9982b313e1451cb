using InferenceServer.Api.Streaming;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Api.Moderation;

/// <summary>
/// Stands between a reply and a dialect's encoder: holds pieces back until they are judged, and puts a refusal in the place of what may not be shown. What the
/// model is to judge waits, its choice's end included, for <see cref="Open"/>: who reads the reply calls <see cref="JudgeAsync"/> after each batch of events.
/// </summary>
internal sealed class ModeratingEncoder(IChatStreamEncoder encoder, TurnModeration moderation, GenerationSet generations) : IChatStreamEncoder
{
    private readonly List<(ReplyDelta Delta, TokenLogprobs? Logprobs)>[] _held =
        [.. Enumerable.Range(0, generations.Count).Select(_ => new List<(ReplyDelta, TokenLogprobs?)>())];

    private readonly bool[] _refused = new bool[generations.Count];

    // How many of those that are held back the model is judging; and the end of a choice, where it is judging the last of them.
    private readonly int[] _due = new int[generations.Count];
    private readonly ChatReplyEnd?[] _ends = new ChatReplyEnd?[generations.Count];

    public void Begin(int choice) => encoder.Begin(choice);

    public void Delta(int choice, in ReplyDelta delta, TokenLogprobs? logprobs)
    {
        if (_refused[choice])
            return;
        ReplyStep step = moderation.Append(choice, delta);
        if (moderation.IsRefused(choice))
        {
            Refuse(choice);
            return;
        }

        if (step == ReplyStep.Show)
        {
            Release(choice, _held[choice].Count);
            encoder.Delta(choice, delta, logprobs);
            return;
        }

        _held[choice].Add((delta, logprobs));
        if (step == ReplyStep.Judge)
            _due[choice] = _held[choice].Count;
    }

    public void Finish(int choice, ChatReplyEnd end)
    {
        if (moderation.Finish(choice) == ReplyStep.Judge)
            (_due[choice], _ends[choice]) = (_held[choice].Count, end);
        else
            Close(choice, end);
    }

    /// <summary>As <see cref="TurnModeration.JudgeAsync"/>. Nothing is written before <see cref="Open"/> is called.</summary>
    public Task? JudgeAsync() => moderation.JudgeAsync();

    /// <summary>The model has judged: writes what waited for it, or the refusal.</summary>
    public void Open()
    {
        for (int choice = 0; choice < _refused.Length; choice++)
        {
            if (moderation.IsRefused(choice) && !_refused[choice])
                Refuse(choice);
            Release(choice, _due[choice]);
            if (_ends[choice] is not { } end)
                continue;
            _ends[choice] = null;
            Close(choice, end);
        }
    }

    public void End(ReadOnlySpan<ChatReplyEnd> ends)
    {
        ChatReplyEnd[] judged = new ChatReplyEnd[ends.Length];
        for (int choice = 0; choice < judged.Length; choice++)
            judged[choice] = moderation.EndOf(choice, ends[choice]);
        encoder.End(judged);
    }

    public void Error(ApiException error) => encoder.Error(error);

    private void Close(int choice, ChatReplyEnd end)
    {
        moderation.Close(choice);
        if (moderation.IsRefused(choice) && !_refused[choice])
            Refuse(choice);
        Release(choice, _held[choice].Count);
        encoder.Finish(choice, moderation.EndOf(choice, end));
    }

    private void Release(int choice, int count)
    {
        foreach ((ReplyDelta delta, TokenLogprobs? logprobs) in _held[choice].Take(count))
            encoder.Delta(choice, delta, logprobs);
        _held[choice].RemoveRange(0, count);
        _due[choice] = 0;
    }

    private void Refuse(int choice)
    {
        _refused[choice] = true;
        _held[choice].Clear();
        _due[choice] = 0;
        generations.Stop(choice);
        encoder.Delta(choice, new ReplyDelta(ReplyDeltaKind.Refusal, moderation.Refusal(choice)), null);
    }
}
