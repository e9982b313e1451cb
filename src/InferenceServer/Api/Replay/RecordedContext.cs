using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Api.Replay;

/// <summary>
/// A request as an endpoint sees it when its answer is recorded: the same in everything but that its body was read already, that its response goes into
/// the recording, and that it is aborted when nobody reads the recording, not when the first client goes.
/// </summary>
internal sealed class RecordedContext : IHttpResponseBodyFeature, IHttpRequestLifetimeFeature
{
    private readonly Recording _recording;
    private readonly ResponseHead _head;
    private readonly Writer _writer;

    public RecordedContext(HttpContext original, Recording recording, byte[] body)
    {
        _recording = recording;
        RequestAborted = recording.Cancelled;
        _head = new ResponseHead(recording);
        _writer = new Writer(this);
        Stream = _writer.AsStream(leaveOpen: true);
        IHttpRequestFeature request = original.Features.GetRequiredFeature<IHttpRequestFeature>();
        FeatureCollection features = new(original.Features);
        features.Set<IHttpRequestFeature>(new HttpRequestFeature
        {
            Protocol = request.Protocol,
            Scheme = request.Scheme,
            Method = request.Method,
            PathBase = request.PathBase,
            Path = request.Path,
            QueryString = request.QueryString,
            RawTarget = request.RawTarget,
            Headers = request.Headers,
            Body = new MemoryStream(body, writable: false),
        });
        features.Set<IHttpResponseFeature>(_head);
        features.Set<IHttpResponseBodyFeature>(this);
        features.Set<IHttpRequestLifetimeFeature>(this);
        Http = new DefaultHttpContext(features);
        features.Set<IRequestBodyPipeFeature>(new RequestBodyPipeFeature(Http));
    }

    public DefaultHttpContext Http { get; }

    public Stream Stream { get; }

    PipeWriter IHttpResponseBodyFeature.Writer => _writer;

    public CancellationToken RequestAborted { get; set; }

    /// <summary>The endpoint is done.</summary>
    public void Finish()
    {
        Begin();
        _writer.Pass();
    }

    public Task StartAsync(CancellationToken cancellationToken = default)
    {
        Begin();
        return Task.CompletedTask;
    }

    public Task CompleteAsync()
    {
        Finish();
        return Task.CompletedTask;
    }

    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) =>
        SendFileFallback.SendFileAsync(Stream, path, offset, count, cancellationToken);

    public void DisableBuffering()
    {
    }

    public void Abort() => _recording.Cancel();

    private void Begin() => _recording.Begin(_head.StatusCode, _head.Headers);

    private sealed class ResponseHead(Recording recording) : HttpResponseFeature
    {
        public override bool HasStarted => recording.HasBegun;
    }

    /// <summary>Passes on what was written at each flush, as the wire would see it. Never waits for a reader.</summary>
    private sealed class Writer(RecordedContext context) : PipeWriter
    {
        private readonly ArrayBufferWriter<byte> _pending = new();

        public override bool CanGetUnflushedBytes => true;

        public override long UnflushedBytes => _pending.WrittenCount;

        public override void Advance(int bytes) => _pending.Advance(bytes);

        public override Memory<byte> GetMemory(int sizeHint = 0) => _pending.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => _pending.GetSpan(sizeHint);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            context.Begin();
            Pass();
            return new(new FlushResult(isCanceled: false, isCompleted: context._recording.Cancelled.IsCancellationRequested));
        }

        public void Pass()
        {
            context._recording.Append(_pending.WrittenSpan);
            _pending.ResetWrittenCount();
        }

        public override void CancelPendingFlush()
        {
        }

        public override void Complete(Exception? exception = null)
        {
        }
    }
}
