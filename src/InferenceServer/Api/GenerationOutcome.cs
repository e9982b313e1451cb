using InferenceServer.Engine;

namespace InferenceServer.Api;

/// <summary>How the end of a generation reads over HTTP.</summary>
internal static class GenerationOutcome
{
    /// <summary>The error that a result is, or null when it is a reply, if only the part that its deadline left time for.</summary>
    public static ApiException? Error(GenerationResult? result) => result switch
    {
        null => new ApiException(StatusCodes.Status500InternalServerError, "The generation ended without a result.", ErrorTypes.Server, code: "generation_failed"),
        { FinishReason: FinishReason.Failed } => new ApiException(StatusCodes.Status500InternalServerError,
            $"The engine could not go on: {result.Error}", ErrorTypes.Server, code: "generation_failed"),
        { FinishReason: FinishReason.Cancelled } => Cancelled(),
        { FinishReason: FinishReason.DeadlineExceeded, CompletionTokens: 0 } => new ApiException(StatusCodes.Status504GatewayTimeout,
            "The request's deadline passed before its first token.", ErrorTypes.Server, code: "deadline_exceeded"),
        _ => null,
    };

    public static ApiException Cancelled() => new(StatusCodes.Status503ServiceUnavailable,
        "The generation was cancelled before its end; the server may be stopping.", ErrorTypes.Server, code: "cancelled");

    /// <summary>OpenAI's name. A deadline cuts a reply as a token limit does.</summary>
    public static string FinishReasonName(GenerationResult result) => result.FinishReason == FinishReason.Stop ? "stop" : "length";
}
