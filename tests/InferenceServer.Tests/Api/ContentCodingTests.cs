using System.IO.Compression;
using System.Net;
using System.Text;
using System.Text.Json;
using ZstdSharp;

namespace InferenceServer.Tests.Api;

/// <summary>Bodies that are compressed: a coding that is not read must be named, and none may expand past the limit or hold a stream back.</summary>
public sealed class ContentCodingTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Body = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

    [Theory]
    [InlineData("gzip")]
    [InlineData("x-gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    [InlineData("zstd")]
    [InlineData("GZIP")]
    [InlineData("identity")]
    public async Task A_compressed_body_is_read(string coding)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await PostAsync(host, Chat, coding, Compress(coding, Body));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        using HttpResponseMessage kept = await PostAsync(host, Chat, coding, Compress(coding, Body), ("Idempotency-Key", "once"));
        Assert.Equal(HttpStatusCode.OK, kept.StatusCode);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task What_a_body_expands_to_counts_and_what_does_not_expand_is_refused(string coding)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), maxBodyBytes: 100_000);
        string bomb = $"{{\"model\":\"scripted\",\"x\":\"{new string('x', 1_000_000)}\"}}";
        await ErrorTests.AssertErrorAsync(await PostAsync(host, Chat, coding, Compress(coding, bomb)), 413, null, "request_too_large");
        await ErrorTests.AssertErrorAsync(await PostAsync(host, Chat, coding, Encoding.UTF8.GetBytes(Body)), 400, null, "invalid_content_encoding");
    }

    [Fact]
    public async Task A_zstd_body_cannot_ask_for_a_large_window()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using MemoryStream packed = new();
        using (CompressionStream zstd = new(packed, leaveOpen: true))
        {
            zstd.SetParameter(ZstdSharp.Unsafe.ZSTD_cParameter.ZSTD_c_windowLog, 27);
            zstd.Write(Encoding.UTF8.GetBytes(Body));
        }

        await ErrorTests.AssertErrorAsync(await PostAsync(host, Chat, "zstd", packed.ToArray()), 400, null, "invalid_content_encoding");
    }

    [Theory]
    [InlineData("compress")]
    [InlineData("gzip, br")]
    public async Task An_unknown_coding_is_named(string coding)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        JsonElement error = await ErrorTests.AssertErrorAsync(await PostAsync(host, Chat, coding, Encoding.UTF8.GetBytes(Body)), 415, "Content-Encoding", "unsupported_content_encoding");
        Assert.Contains($"'{coding}'", error.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gzip", "gzip")]
    [InlineData("br", "br")]
    [InlineData("gzip, deflate, br", "br")]
    [InlineData("zstd", null)]
    [InlineData(null, null)]
    public async Task An_answer_is_compressed_as_the_client_asks(string? accepted, string? coding)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        (string, string)[] headers = accepted is null ? [] : [("Accept-Encoding", accepted)];
        using HttpResponseMessage answer = await PostAsync(host, Chat, "identity", Encoding.UTF8.GetBytes(Body), headers);
        Assert.Equal(coding, answer.Content.Headers.ContentEncoding.SingleOrDefault());
        string text = await TextAsync(answer);
        Assert.Equal("Hello, world", JsonDocument.Parse(text).RootElement.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());

        // An error is answered alike, and a retry's recorded answer is compressed for whoever asks for it.
        using HttpResponseMessage refused = await PostAsync(host, Chat, "identity", "{"u8.ToArray(), headers);
        Assert.Equal((HttpStatusCode.BadRequest, coding), (refused.StatusCode, refused.Content.Headers.ContentEncoding.SingleOrDefault()));
        Assert.Contains("invalid_json", await TextAsync(refused), StringComparison.Ordinal);
        using HttpResponseMessage first = await PostAsync(host, Chat, "identity", Encoding.UTF8.GetBytes(Body), ("Idempotency-Key", "k"));
        using HttpResponseMessage retry = await PostAsync(host, Chat, "identity", Encoding.UTF8.GetBytes(Body), [("Idempotency-Key", "k"), .. headers]);
        Assert.Equal((null, coding), (first.Content.Headers.ContentEncoding.SingleOrDefault(), retry.Content.Headers.ContentEncoding.SingleOrDefault()));
        Assert.Equal(await TextAsync(first), await TextAsync(retry));
    }

    [Theory]
    [InlineData(Chat, "{\"stream\":true,")]
    [InlineData("/api/chat", "{")]
    public async Task A_stream_is_never_compressed(string path, string start)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await PostAsync(host, path, "identity", Encoding.UTF8.GetBytes(start + Body[1..]), ("Accept-Encoding", "gzip, br"));
        Assert.Empty(answer.Content.Headers.ContentEncoding);
        Assert.Contains("world", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static async Task<HttpResponseMessage> PostAsync(TestHost host, string path, string coding, byte[] body, params (string Name, string Value)[] headers)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, new Uri(path, UriKind.Relative)) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new("application/json");
        Assert.True(request.Content.Headers.TryAddWithoutValidation("Content-Encoding", coding));
        foreach ((string name, string value) in headers)
            request.Headers.Add(name, value);
        return await host.Client.SendAsync(request);
    }

    private static byte[] Compress(string coding, string text)
    {
        using MemoryStream packed = new();
        using (Stream packer = coding switch
        {
            "gzip" or "x-gzip" or "GZIP" => new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            "deflate" => new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            "zstd" => new CompressionStream(packed, leaveOpen: true),
            _ => new BufferedStream(packed),
        })
        {
            packer.Write(Encoding.UTF8.GetBytes(text));
            packer.Flush();
            if (coding == "identity")
                return packed.ToArray();
        }

        return packed.ToArray();
    }

    private static async Task<string> TextAsync(HttpResponseMessage answer)
    {
        Stream body = await answer.Content.ReadAsStreamAsync();
        using StreamReader text = new(answer.Content.Headers.ContentEncoding.SingleOrDefault() switch
        {
            "br" => new BrotliStream(body, CompressionMode.Decompress),
            "gzip" => new GZipStream(body, CompressionMode.Decompress),
            _ => body,
        });
        return await text.ReadToEndAsync();
    }
}
