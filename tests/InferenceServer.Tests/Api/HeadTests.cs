using System.Net;

namespace InferenceServer.Tests.Api;

/// <summary>HEAD is answered wherever GET is, as GET and without a body: health checks and download tools use it.</summary>
public sealed class HeadTests
{
    [Theory]
    [InlineData("/")]
    [InlineData("/health")]
    [InlineData("/health/live")]
    [InlineData("/health/ready")]
    [InlineData("/metrics")]
    [InlineData("/v1/models")]
    [InlineData("/v1/models/scripted")]
    [InlineData("/v1/requests")]
    [InlineData("/api/tags")]
    [InlineData("/api/version")]
    [InlineData("/openapi/v1.json")]
    [InlineData("/docs")]
    public async Task What_can_be_read_can_be_asked_for_without_its_body(string path)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage get = await host.Client.GetAsync(new Uri(path, UriKind.Relative));
        using HttpResponseMessage head = await HeadAsync(host, path);
        Assert.Equal((HttpStatusCode.OK, get.Content.Headers.ContentType?.ToString()), (head.StatusCode, head.Content.Headers.ContentType?.ToString()));
        Assert.Empty(await head.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task What_cannot_be_read_is_refused_without_a_body()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        foreach ((string path, HttpStatusCode status) in new[]
        {
            ("/nowhere", HttpStatusCode.NotFound), ("/v1/completions", HttpStatusCode.MethodNotAllowed), ("/api/blobs/sha256:1", HttpStatusCode.BadRequest),
        })
        {
            using HttpResponseMessage head = await HeadAsync(host, path);
            Assert.Equal((path, status), (path, head.StatusCode));
            Assert.Empty(await head.Content.ReadAsByteArrayAsync());
        }
    }

    private static async Task<HttpResponseMessage> HeadAsync(TestHost host, string path)
    {
        using HttpRequestMessage request = new(HttpMethod.Head, new Uri(path, UriKind.Relative));
        return await host.Client.SendAsync(request);
    }
}
