using InferenceServer.Chat;
using InferenceServer.Engine;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>Whole choices, and the best where more were generated than asked for.</summary>
internal static class CompletionChoices
{
    /// <summary>The choices of the first prompt, the best first where they were picked, then those of the next.</summary>
    public static CompletionChoice[] Of(CompletionCall call, ChatTurn turn, WholeReply[] replies)
    {
        List<CompletionChoice> choices = [];
        for (int first = 0; first < replies.Length; first += call.Generated)
        {
            IEnumerable<int> generated = Enumerable.Range(first, call.Generated);
            if (call.Generated > call.N)
                generated = generated.OrderByDescending(choice => MeanLogprob(replies[choice])).Take(call.N);
            foreach (int choice in generated)
                choices.Add(Whole(call, turn, choice, replies[choice], choices.Count));
        }

        return [.. choices];
    }

    /// <summary>OpenAI's name of an end.</summary>
    public static string FinishReason(ReplyEnd end) => end.Finish == ReplyFinish.Stop ? "stop" : "length";

    /// <summary>How likely its tokens are on average; a reply of no tokens is as likely as can be.</summary>
    private static double MeanLogprob(WholeReply reply) => reply.Logprobs.Count == 0 ? 0 : reply.Logprobs.Sum(token => (double)token.Logprob) / reply.Logprobs.Count;

    private static CompletionChoice Whole(CompletionCall call, ChatTurn turn, int choice, WholeReply reply, int index)
    {
        CompletionEcho? echo = CompletionEcho.Of(call, turn, choice);
        CompletionLogprobBuilder logprobs = new(call.Logprobs ?? 0);
        if (echo is not null && turn.Generations.PromptLogprobs(choice) is { } known)
            echo.AddTo(logprobs, turn.Model.Vocabulary, known);
        foreach (TokenLogprobs token in reply.Logprobs)
            logprobs.Add(turn.Model.Vocabulary, token);
        string text = echo?.Text + reply.Text;
        return new(index, text, call.Logprobs is null ? null : logprobs.Take(text.Length), FinishReason(reply.End));
    }
}
