using InferenceServer.Engine;

namespace InferenceServer.Chat;

/// <summary>What the end of a generation means to whoever asked for it.</summary>
internal static class GenerationOutcome
{
    /// <summary>The problem that a result is, or null when it is a reply, if only the part that its deadline left time for.</summary>
    public static RequestProblem? Problem(GenerationResult? result) => result switch
    {
        null => new RequestProblem(ProblemKind.Failed, "The generation ended without a result.", code: "generation_failed"),
        { FinishReason: FinishReason.Failed } => new RequestProblem(ProblemKind.Failed, $"The engine could not go on: {result.Error}", code: "generation_failed"),
        { FinishReason: FinishReason.Cancelled } => Cancelled(),
        { FinishReason: FinishReason.DeadlineExceeded, CompletionTokens: 0 } => new RequestProblem(ProblemKind.DeadlineExceeded,
            "The request's deadline passed before its first token.", code: "deadline_exceeded"),
        _ => null,
    };

    public static RequestProblem Cancelled() => new(ProblemKind.Unavailable, "The generation was cancelled before its end; the server may be stopping.", code: "cancelled");

    /// <summary>A deadline cuts a reply as a token limit does.</summary>
    /// <param name="calls">Whether the reply has made a call.</param>
    public static ReplyFinish Finish(GenerationResult result, bool calls) =>
        result.FinishReason != FinishReason.Stop ? ReplyFinish.Length : calls ? ReplyFinish.ToolCalls : ReplyFinish.Stop;
}
