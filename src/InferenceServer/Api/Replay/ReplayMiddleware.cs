using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using InferenceServer.Api.Streaming;
using InferenceServer.Operations;

namespace InferenceServer.Api.Replay;

/// <summary>
/// For clients whose connections break. A POST with an <c>Idempotency-Key</c> that was sent before gets the first answer again, byte for byte, whether it
/// is whole or still being made; one with <c>Last-Event-ID</c> gets what followed that event. Requests without such headers pass untouched.
/// </summary>
internal sealed class ReplayMiddleware(RequestDelegate next, RecordingStore store)
{
    public async Task InvokeAsync(HttpContext http)
    {
        if (!HttpMethods.IsPost(http.Request.Method) || ReplayRequest.Of(http.Request) is not { } asked)
        {
            await next(http);
            return;
        }

        byte[] body = await ContentCodings.ReadAsync(http);
        RecordingSubject subject = new(ApiKey.Of(http).Id ?? "", http.Request.Path, asked.Key, Convert.ToHexString(SHA256.HashData(body)));
        (RecordingReader reader, bool isNew) = store.Open(asked, subject);
        if (!isNew)
        {
            using (reader)
                await RecordingAnswer.FollowAsync(http, reader, store.Clock, isReplay: true);
            return;
        }

        Task making = MakeAsync(http, reader.Recording, body);
        try
        {
            await RecordingAnswer.FollowAsync(http, reader, store.Clock, isReplay: false);
        }
        finally
        {
            reader.Dispose();
            // The request's services live as long as this method: whoever still makes the answer needs them.
            await making;
            reader.Recording.Dispose();
        }
    }

    /// <summary>Runs the endpoint into the recording. Never throws: readers are told.</summary>
    private async Task MakeAsync(HttpContext http, Recording recording, byte[] body)
    {
        try
        {
            RecordedContext recorded = new(http, recording, body);
            await next(recorded.Http);
            recorded.Finish();
            // A stream may have ended in an error event: the trace knows.
            recording.End(null, isGood: RequestTrace.Of(http).Error is null);
        }
#pragma warning disable CA1031 // Whatever it is, every reader throws it again on its own way to the error middleware.
        catch (Exception error)
#pragma warning restore CA1031
        {
            recording.End(error);
        }
    }
}

internal static class RecordingAnswer
{
    public const string StreamIdHeader = "x-stream-id";
    public const string ReplayedHeader = "x-idempotent-replayed";

    // What is written before a flush at most.
    private const int FlushBytes = 64 << 10;

    /// <summary>Sends a recording from the reader's place on to its end, as it comes.</summary>
    public static async Task FollowAsync(HttpContext http, RecordingReader reader, TimeProvider clock, bool isReplay)
    {
        Recording recording = reader.Recording;
        CancellationToken aborted = http.RequestAborted;
        while (true)
        {
            Task news = recording.News;
            bool ended = recording.HasEnded;
            if (recording.HasBegun)
            {
                Begin(http, recording, isReplay);
                if (!await SendAsync(http, reader, clock))
                    return;
            }

            if (ended)
                break;
            await news.WaitAsync(aborted);
        }

        recording.Failure?.Throw();
    }

    private static void Begin(HttpContext http, Recording recording, bool isReplay)
    {
        if (http.Response.HasStarted)
            return;
        http.Response.StatusCode = recording.Status;
        foreach ((string name, string value) in recording.Headers)
            http.Response.Headers[name] = value;
        http.Response.Headers[StreamIdHeader] = recording.Id;
        if (isReplay)
            http.Response.Headers[ReplayedHeader] = "true";
    }

    /// <summary>False when nobody reads any more.</summary>
    private static async ValueTask<bool> SendAsync(HttpContext http, RecordingReader reader, TimeProvider clock)
    {
        ReadOnlyMemory<byte>[] segments = reader.Available();
        // Who resumes is told that it can be, before there is more. A refusal's body may be written by others yet.
        if (segments.Length == 0 && !http.Response.HasStarted && reader.Recording.Status is >= 200 and < 300)
            await http.Response.StartAsync(http.RequestAborted);
        PipeWriter pipe = http.Response.BodyWriter;
        int unflushed = 0;
        for (int i = 0; i < segments.Length; i++)
        {
            pipe.Write(segments[i].Span);
            unflushed += segments[i].Length;
            if (unflushed < FlushBytes && i + 1 < segments.Length)
                continue;
            unflushed = 0;
            try
            {
                FlushResult flushed = await pipe.FlushAsync(http.RequestAborted).AsTask().WaitAsync(StreamWatch.FlushLimit, clock);
                if (flushed.IsCompleted || flushed.IsCanceled)
                    return false;
            }
            catch (TimeoutException)
            {
                http.Abort();
                return false;
            }
        }

        reader.Advance(segments.Length);
        return true;
    }
}
