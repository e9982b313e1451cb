using InferenceServer.Api.Streaming;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Carries a response's events to one client, from any of them on, as they come.</summary>
internal static class ResponseStreaming
{
    /// <param name="from">The first event's number.</param>
    public static async Task WriteAsync(HttpContext http, ResponseEventLog log, int from, TimeProvider clock)
    {
        http.Response.ContentType = "text/event-stream; charset=utf-8";
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers["X-Accel-Buffering"] = "no";
        using SseBuffer buffer = new(http.Response.BodyWriter);
        using StreamWatch watch = new(clock, http.Abort);
        List<byte[]> events = [];
        while (true)
        {
            events.Clear();
            bool ended = log.Read(from, events);
            foreach (byte[] written in events)
                buffer.Raw(written);
            from += events.Count;
            if (buffer.Pending && !await FlushAsync(buffer, watch) || ended)
                return;
            try
            {
                await log.WaitAsync(from, watch.Silence);
            }
            catch (OperationCanceledException) when (watch.Silence.IsCancellationRequested)
            {
                buffer.Raw(": ping\n\n"u8);
                watch.Rearm();
            }
        }
    }

    /// <summary>False when nobody reads any more.</summary>
    private static async ValueTask<bool> FlushAsync(SseBuffer buffer, StreamWatch watch)
    {
        watch.FlushStarts();
        System.IO.Pipelines.FlushResult flushed = await buffer.FlushAsync();
        watch.FlushEnded();
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }
}
