using InferenceServer.Engine.Embedding;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Embeddings;

/// <summary>One request's inputs on their way through an embedding model.</summary>
internal static class EmbeddingCall
{
    /// <exception cref="RequestProblem">The deadline passed, or the model failed.</exception>
    public static async Task<float[][]> RunAsync(HttpContext http, ServedEmbedder model, IReadOnlyList<int[]> inputs, RequestHints hints, TimeProvider clock)
    {
        RequestTrace.Of(http).Embeds(model.Id, inputs.Sum(input => input.Length));
        using CancellationTokenSource? deadline = hints.Timeout is { } timeout ? new CancellationTokenSource(timeout, clock) : null;
        using CancellationTokenSource? either = deadline is null ? null : CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, http.RequestAborted);
        try
        {
            return await model.Engine.EmbedAsync(inputs, either?.Token ?? http.RequestAborted);
        }
        catch (OperationCanceledException) when (deadline is { IsCancellationRequested: true } && !http.RequestAborted.IsCancellationRequested)
        {
            throw new RequestProblem(ProblemKind.DeadlineExceeded, "The request's deadline passed before it was computed.", code: "deadline_exceeded");
        }
        catch (EmbeddingFailedException failed)
        {
            throw new RequestProblem(ProblemKind.Failed, failed.Message, code: "embedding_failed");
        }
    }
}
