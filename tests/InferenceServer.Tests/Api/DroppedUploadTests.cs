using System.Net.Sockets;
using System.Text;

namespace InferenceServer.Tests.Api;

/// <summary>A client that goes while it sends is no fault of the server's, whichever way its connection ends.</summary>
public sealed class DroppedUploadTests
{
    [Theory]
    [InlineData(true, "")]
    [InlineData(false, "")]
    [InlineData(true, "Idempotency-Key: k\r\n")]
    public async Task A_client_that_drops_in_mid_upload_counts_as_disconnected(bool resets, string header)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using (Socket socket = new(SocketType.Stream, ProtocolType.Tcp))
        {
            await socket.ConnectAsync(host.Client.BaseAddress!.Host, host.Client.BaseAddress.Port);
            await socket.SendAsync(Encoding.ASCII.GetBytes($"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{header}Content-Length: 5000\r\n\r\n{{\"model\":"));
            await Eventually.HoldsAsync(async () => (await TextAsync(host, "/v1/requests")).Contains("/v1/chat/completions", StringComparison.Ordinal));
            if (resets)
                socket.LingerState = new LingerOption(true, 0);
            else
                socket.Shutdown(SocketShutdown.Send);
        }

        await Eventually.HoldsAsync(async () => (await TextAsync(host, "/metrics")).Contains("endpoint=\"/v1/chat/completions\",outcome=", StringComparison.Ordinal));
        string metrics = await TextAsync(host, "/metrics");
        Assert.Contains("inference_requests_total{endpoint=\"/v1/chat/completions\",outcome=\"disconnected\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("server_error", metrics, StringComparison.Ordinal);
    }

    private static Task<string> TextAsync(TestHost host, string path) => host.Client.GetStringAsync(new Uri(path, UriKind.Relative));
}
