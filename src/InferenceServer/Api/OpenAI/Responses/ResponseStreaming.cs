using InferenceServer.Api.Streaming;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Carries a response's events to one client, from any of them on, as they come.</summary>
internal static class ResponseStreaming
{
    /// <param name="from">The first event's number.</param>
    public static async Task WriteAsync(HttpContext http, ResponseEventLog log, int from, TimeProvider clock)
    {
        using SseBuffer buffer = new(http.Response.BodyWriter);
        List<byte[]> events = [];
        EventStream stream = new(http, buffer, clock, EventStream.ServerSentEvents, () => buffer.Raw(EventStream.Comment));
        await stream.RunAsync(async () =>
        {
            await log.WaitAsync(from, CancellationToken.None);
            events.Clear();
            bool open = !log.Read(from, events);
            from += events.Count;
            return open;
        }, () => events.ForEach(written => buffer.Raw(written)));
    }
}
