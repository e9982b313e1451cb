using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace InferenceServer.Benchmarks;

/// <summary>One kept-alive connection that posts and reads a chunked answer to its end: of the work in this process as little as can be is the client's.</summary>
internal sealed class LeanConnection : IDisposable
{
    private static readonly byte[] LastChunk = "\r\n0\r\n\r\n"u8.ToArray();

    private readonly Socket _socket;
    private readonly string _host;
    private readonly byte[] _buffer = new byte[16384];

    private LeanConnection(Socket socket, string host) => (_socket, _host) = (socket, host);

    public static async Task<LeanConnection> OpenAsync(Uri server)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server.Host, server.Port);
        return new LeanConnection(socket, server.Authority);
    }

    /// <param name="onChunk">Called with the time whenever bytes arrive.</param>
    /// <exception cref="InvalidOperationException">Another status than 200, or a stream that ends without [DONE].</exception>
    public async Task PostAsync(string path, string body, Action<long>? onChunk)
    {
        byte[] request = Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: {_host}\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        for (int sent = 0; sent < request.Length;)
            sent += await _socket.SendAsync(request.AsMemory(sent));
        bool isFirst = true, done = false;
        int kept = 0;
        while (true)
        {
            int read = await _socket.ReceiveAsync(_buffer.AsMemory(kept));
            onChunk?.Invoke(Stopwatch.GetTimestamp());
            ReadOnlySpan<byte> bytes = _buffer.AsSpan(0, kept + read);
            if (read == 0 || (isFirst && !bytes.StartsWith("HTTP/1.1 200"u8)))
                throw new InvalidOperationException($"The server answered: {Encoding.UTF8.GetString(bytes)}");
            isFirst = false;
            done |= bytes.IndexOf("[DONE]"u8) >= 0;
            if (bytes.EndsWith(LastChunk))
                break;
            // A mark may be cut in two: its beginning stays in front of what comes next.
            kept = Math.Min(bytes.Length, LastChunk.Length - 1);
            bytes[^kept..].CopyTo(_buffer);
        }
        if (!done)
            throw new InvalidOperationException("A stream ended without [DONE].");
    }

    public void Dispose() => _socket.Dispose();
}
