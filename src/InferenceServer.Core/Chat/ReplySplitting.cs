using System.Runtime.InteropServices;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;

namespace InferenceServer.Chat;

/// <summary>The first stage: what the engine generates, split into reasoning, content and calls where the model's format says so.</summary>
/// <param name="splitters">One a choice; null for a reply that is nothing but content, which passes as it is.</param>
internal sealed class ReplySplitting(GenerationSet generations, IReadOnlyList<ReplySplitter?> splitters, ITurnObserver? observer) : IReplySource
{
    private readonly List<ReplyDelta> _deltas = [];
    private readonly bool[] _begun = new bool[generations.Count];

    public async ValueTask<bool> ReadAsync(List<ReplyEvent> into)
    {
        bool open = await generations.WaitToReadAsync();
        while (generations.TryRead(out int choice, out GenerationEvent read))
            Take(choice, read, into);
        if (open && !generations.HasEnded)
            return true;
        observer?.Finished(Array.ConvertAll(generations.Results, result => result ?? throw GenerationOutcome.Problem(null)!));
        return false;
    }

    private void Take(int choice, in GenerationEvent read, List<ReplyEvent> into)
    {
        bool ends = read.Kind == GenerationEventKind.Finished;
        if (ends && GenerationOutcome.Problem(read.Result) is { } problem)
            throw problem;
        if (!_begun[choice])
        {
            _begun[choice] = true;
            into.Add(ReplyEvent.Begins(choice));
        }

        if (!ends)
            observer?.Token(choice);
        ReplySplitter? splitter = splitters[choice];
        _deltas.Clear();
        if (splitter is not null)
            splitter.Append(read.Text, _deltas, ends ? 0 : 1);
        else if (read.Text.Length > 0)
            _deltas.Add(new(ReplyDeltaKind.Content, read.Text));
        Pass(choice, read.Logprobs, into);
        if (!ends)
            return;
        _deltas.Clear();
        splitter?.Finish(_deltas);
        Pass(choice, null, into);
        into.Add(ReplyEvent.Ends(choice, new ReplyEnd(read.Result!, GenerationOutcome.Finish(read.Result!, splitter is { CallCount: > 0 }), splitter?.ReasoningTokens ?? 0)));
    }

    private void Pass(int choice, TokenLogprobs? logprobs, List<ReplyEvent> into)
    {
        if (_deltas.Count == 0 && logprobs is not null)
            into.Add(ReplyEvent.Says(choice, new(ReplyDeltaKind.Content, ""), logprobs));
        foreach (ref readonly ReplyDelta delta in CollectionsMarshal.AsSpan(_deltas))
        {
            into.Add(ReplyEvent.Says(choice, delta, logprobs));
            logprobs = null;
        }
    }
}
