using System.IO.Pipelines;
using InferenceServer.Api.Moderation;
using InferenceServer.Engine;
using InferenceServer.Operations;

namespace InferenceServer.Api.Streaming;

/// <summary>
/// Carries events from the engine to one client: reads all that is there, encodes it, flushes once. Headers go out with the first event, so a failure
/// before it is a real HTTP status; after it, an error event. One task a stream; the engine never waits for it.
/// </summary>
internal sealed class StreamPump(HttpContext http, GenerationSet generations, SseBuffer buffer, IStreamEncoder encoder, RequestTrace trace, TimeProvider clock,
    Func<Task>? beforeEnd = null, ModeratingEncoder? moderating = null)
{
    private readonly bool[] _begun = new bool[generations.Count];
    private bool _started;

    /// <exception cref="ApiException">The request failed before its first event.</exception>
    public async Task RunAsync()
    {
        using StreamWatch watch = new(clock, http.Abort);
        while (true)
        {
            bool more;
            try
            {
                more = await generations.WaitToReadAsync(watch.Silence);
            }
            catch (OperationCanceledException) when (watch.Silence.IsCancellationRequested)
            {
                Start();
                buffer.Raw(encoder.KeepAlive);
                if (!await FlushAsync(watch))
                    return;
                watch.Rearm();
                continue;
            }

            ApiException? error = more ? EncodeAvailable() : await EncodeEndAsync();
            if (error is null && moderating?.JudgeAsync() is { } judging)
                error = await OpenAsync(moderating, judging, watch);
            if (error is not null)
            {
                trace.Failed(error);
                encoder.Error(error);
            }

            bool connected = !buffer.Pending || await FlushAsync(watch);
            if (!more || error is not null || !connected)
                return;
        }
    }

    /// <summary>Encodes every event that is there. Returns the error that ends the stream, if one came.</summary>
    private ApiException? EncodeAvailable()
    {
        while (generations.TryRead(out int choice, out GenerationEvent read))
        {
            bool finished = read.Kind == GenerationEventKind.Finished;
            if (finished && GenerationOutcome.Error(read.Result) is { } error)
                return _started ? error : throw error;
            Start();
            if (!_begun[choice])
            {
                _begun[choice] = true;
                encoder.Begin(choice);
            }

            if (!finished)
                trace.Token(choice);
            encoder.Text(choice, read.Text, finished ? 0 : 1, read.Logprobs);
            if (finished)
                encoder.Finish(choice, read.Result!);
        }

        return null;
    }

    private async Task<ApiException?> EncodeEndAsync()
    {
        GenerationResult[] results = new GenerationResult[generations.Count];
        for (int i = 0; i < results.Length; i++)
        {
            if (generations.Results[i] is not { } result)
                return _started ? GenerationOutcome.Error(null) : throw GenerationOutcome.Error(null)!;
            results[i] = result;
        }

        try
        {
            if (beforeEnd is not null)
                await beforeEnd();
        }
        catch (ApiException error) when (_started)
        {
            return error;
        }

        trace.Finished(results);
        encoder.End(results);
        return null;
    }

    /// <summary>Waits for the verdict on what is held back, with signs of life as between tokens. Returns the error that ends the stream, if there is none.</summary>
    private async Task<ApiException?> OpenAsync(ModeratingEncoder held, Task judging, StreamWatch watch)
    {
        if (buffer.Pending)
            await FlushAsync(watch);
        while (true)
        {
            try
            {
                await judging.WaitAsync(watch.Silence);
                held.Open();
                return null;
            }
            catch (OperationCanceledException) when (watch.Silence.IsCancellationRequested)
            {
                // Who is gone ends the judging too.
                buffer.Raw(encoder.KeepAlive);
                await FlushAsync(watch);
                watch.Rearm();
            }
            catch (ApiException failed)
            {
                return failed;
            }
        }
    }

    private void Start()
    {
        if (_started)
            return;
        _started = true;
        http.Response.ContentType = encoder.ContentType;
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers["X-Accel-Buffering"] = "no";
    }

    /// <summary>False when nobody reads any more.</summary>
    private async ValueTask<bool> FlushAsync(StreamWatch watch)
    {
        watch.FlushStarts();
        FlushResult flushed = await buffer.FlushAsync();
        watch.FlushEnded();
        return !flushed.IsCompleted && !flushed.IsCanceled;
    }
}
