namespace InferenceServer.Mcp;

/// <summary>A stream that fails once a message in it is longer than a server's messages may be: it would be held whole in memory.</summary>
/// <param name="isByLine">A message is a line, as on standard streams and among server-sent events; else it is the whole stream.</param>
internal sealed class BoundedStream(Stream inner, long maxBytes, bool isByLine) : Stream
{
    private long _bytes;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        int read = inner.Read(buffer);
        Count(buffer[..read]);
        return read;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        int read = await inner.ReadAsync(buffer, cancellationToken);
        Count(buffer.Span[..read]);
        return read;
    }

    public override void Flush()
    {
        // Nothing is written.
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            inner.Dispose();
        base.Dispose(disposing);
    }

    private void Count(ReadOnlySpan<byte> read)
    {
        // Within what was read a line cannot be too long: a read is smaller than the limit.
        int last = isByLine ? read.LastIndexOf((byte)'\n') : -1;
        int first = last < 0 ? read.Length : read.IndexOf((byte)'\n');
        if (_bytes + first > maxBytes)
            throw new IOException($"the server sent a message of more than {maxBytes} bytes");
        _bytes = last < 0 ? _bytes + read.Length : read.Length - last - 1;
    }
}
