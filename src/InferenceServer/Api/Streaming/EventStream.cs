using System.IO.Pipelines;

namespace InferenceServer.Api.Streaming;

/// <summary>
/// Carries what somebody writes into a buffer to one client, as it comes, with signs of life while nothing comes. Headers go out with the first bytes, so a failure
/// before them is a real HTTP status. One task a stream; nobody but it ever waits for the client.
/// </summary>
/// <param name="contentType">Of the answer.</param>
/// <param name="writeKeepAlive">Writes what is sent when nothing was for a while, so that proxies and clients go on waiting.</param>
internal sealed class EventStream(HttpContext http, SseBuffer buffer, TimeProvider clock, string contentType, Action writeKeepAlive)
{
    public const string ServerSentEvents = "text/event-stream; charset=utf-8";

    public static ReadOnlySpan<byte> Comment => ": ping\n\n"u8;

    /// <summary>Whether anything has gone out.</summary>
    public bool HasStarted { get; private set; } = http.Response.HasStarted;

    /// <summary>Sets the head of a stream that has not begun.</summary>
    public static void Begin(HttpContext http, string contentType)
    {
        if (http.Response.HasStarted)
            return;
        http.Response.ContentType = contentType;
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers["X-Accel-Buffering"] = "no";
    }

    /// <summary>Runs until nothing more comes or the client is gone.</summary>
    /// <param name="wait">Waits for something to write, and does not write; false once nothing more will come.</param>
    /// <param name="write">Writes into the buffer what there is.</param>
    public async Task RunAsync(Func<ValueTask<bool>> wait, Action write)
    {
        using StreamWatch watch = new(clock, http.Abort);
        for (bool open = true, connected = true; open && connected;)
        {
            ValueTask<bool> next = wait();
            open = next.IsCompleted ? await next : await WaitAsync(next.AsTask(), watch);
            write();
            connected = !buffer.Pending || await FlushAsync(watch);
        }
    }

    private async Task<bool> WaitAsync(Task<bool> next, StreamWatch watch)
    {
        while (true)
        {
            try
            {
                return await next.WaitAsync(watch.Silence);
            }
            catch (OperationCanceledException) when (watch.Silence.IsCancellationRequested && !next.IsCompleted)
            {
                // Who is gone aborts the request, and so ends what is waited for.
                writeKeepAlive();
                await FlushAsync(watch);
                watch.Rearm();
            }
        }
    }

    /// <summary>False when nobody reads any more.</summary>
    private async ValueTask<bool> FlushAsync(StreamWatch watch)
    {
        if (!HasStarted)
            Begin(http, contentType);
        HasStarted = true;
        watch.FlushStarts();
        FlushResult flushed = await buffer.FlushAsync();
        watch.FlushEnded();
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }
}
