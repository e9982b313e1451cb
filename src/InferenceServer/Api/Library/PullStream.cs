using InferenceServer.Api.Streaming;
using InferenceServer.Library;

namespace InferenceServer.Api.Library;

/// <summary>Carries a pull to a client, in whatever shape its dialect has.</summary>
internal static class PullStream
{
    /// <param name="progress">Writes how far it is.</param>
    /// <param name="success">Writes that it is done.</param>
    /// <param name="failure">Writes why it is not.</param>
    public static async Task WriteAsync(HttpContext http, PullListener listener, TimeProvider clock, string contentType, SseBuffer buffer, Action<PullProgress> progress, Action<ModelManifest> success, Action<RequestProblem> failure)
    {
        PullProgress last = new(PullPhase.ReadingManifest);
        bool isOver = false;
        EventStream stream = new(http, buffer, clock, contentType, () => progress(last));
        await stream.RunAsync(async () =>
        {
            if (await listener.Progress.WaitToReadAsync(http.RequestAborted))
                return true;
            await Task.WhenAny(listener.Result);
            isOver = true;
            return false;
        }, () =>
        {
            while (listener.Progress.TryRead(out PullProgress? told))
                if (told.Phase != PullPhase.Done || told.Note is not null)
                    progress(last = told);
            if (isOver && listener.Result.IsCompletedSuccessfully)
                success(listener.Result.Result);
            else if (isOver)
                failure(ProblemOf(listener.Result));
        });
    }

    private static RequestProblem ProblemOf(Task result) => result.Exception?.InnerException switch
    {
        LibraryException known => LibraryAccess.ProblemOf(known),
        null => new RequestProblem(ProblemKind.Unavailable, "The pull was called off; what has come is kept.", code: "cancelled"),
        _ => ErrorMiddleware.Fault(),
    };
}
