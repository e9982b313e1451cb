using InferenceServer.Engine;
using InferenceServer.Engine.Embedding;

namespace InferenceServer.InProcess;

/// <summary>What went wrong, as exceptions of .NET that name fields as Microsoft.Extensions.AI does.</summary>
internal static class InProcessProblems
{
    public const string Options = nameof(ChatOptions) + ".";

    /// <summary>Null for what is a fault of ours.</summary>
    /// <param name="asked">The caller's own token.</param>
    /// <returns>An <see cref="ArgumentException"/> where the request is to blame, else an <see cref="InvalidOperationException"/>; a cancellation stays one.</returns>
    public static Exception? Explain(Exception error, CallGate calls, CancellationToken asked) => error switch
    {
        RequestProblem { Kind: ProblemKind.Invalid or ProblemKind.NotFound or ProblemKind.NotAllowed or ProblemKind.TooLarge or ProblemKind.UnknownForm } problem =>
            new ArgumentException(problem.MessageAt(PlaceOf(problem.Where)), problem),
        not (RequestProblem or OperationCanceledException or EngineQueueFullException or EngineUnavailableException or EmbeddingFailedException) => null,
        _ when asked.IsCancellationRequested => new OperationCanceledException("The call was cancelled.", error, asked),
        _ when calls.Closing.IsCancellationRequested => new ObjectDisposedException("The model was disposed before the reply was whole.", error),
        RequestProblem problem => new InvalidOperationException(problem.MessageAt(PlaceOf(problem.Where)), problem),
        _ => new InvalidOperationException(error.Message, error),
    };

    /// <summary>A content, a tool or an option that is understood and cannot be had here.</summary>
    public static NotSupportedException Unsupported(string place, string why) => new($"{place} is not supported: {why}");

    /// <summary>A property of the core under its name here; what this library named itself stays as it is.</summary>
    private static string? PlaceOf(string? where) => where switch
    {
        null => null,
        "tools" => Options + nameof(ChatOptions.Tools),
        _ when where.StartsWith(nameof(Chat.ChatRequest.Messages), StringComparison.Ordinal) => $"messages{where[nameof(Chat.ChatRequest.Messages).Length..]}",
        nameof(Chat.ChatRequest.ReasoningEffort) => $"{Options}{nameof(ChatOptions.Reasoning)}.{nameof(ReasoningOptions.Effort)}",
        [>= 'A' and <= 'Z', ..] when !where.Contains("Options.", StringComparison.Ordinal) => Options + where,
        _ => where,
    };
}
