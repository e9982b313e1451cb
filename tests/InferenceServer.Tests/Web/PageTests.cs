using System.IO.Compression;
using System.Net;
using System.Text;
using System.Text.Json;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Web;

/// <summary>The page as a browser gets it: which file under which address, how it is packed, kept and guarded.</summary>
public sealed class PageTests : IDisposable
{
    private const string Index = "<!doctype html><title>Chat</title>";
    private const string Script = "console.log('hello');";
    private readonly string _directory = Directory.CreateTempSubdirectory("page-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private void Build()
    {
        Put("index.html", Index);
        Put("assets/main-1a2b.js", Script);
        File.WriteAllText(Path.Combine(_directory, "favicon.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>");
        File.WriteAllText(Path.Combine(_directory, "notes"), "a file of no type that a browser shows");
    }

    private void Put(string name, string text)
    {
        string path = Path.Combine(_directory, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        using (Stream packed = new BrotliStream(File.Create(path + ".br"), CompressionLevel.SmallestSize))
            packed.Write(Encoding.UTF8.GetBytes(text));
        using (Stream packed = new GZipStream(File.Create(path + ".gz"), CompressionLevel.SmallestSize))
            packed.Write(Encoding.UTF8.GetBytes(text));
    }

    private Task<TestHost> StartAsync(AccessOptions? access = null) => TestHost.StartAsync(new ScriptedEngine(), access: access, pageDirectory: _directory);

    private static async Task<HttpResponseMessage> SendAsync(TestHost host, string path, HttpMethod? method = null, params (string Name, string Value)[] headers)
    {
        using HttpRequestMessage request = new(method ?? HttpMethod.Get, new Uri(path, UriKind.Relative));
        // What asks for the page is a browser.
        request.Headers.Accept.ParseAdd("text/html,application/xhtml+xml,*/*;q=0.8");
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        return await host.Client.SendAsync(request);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/c/conv_123")]
    [InlineData("/status")]
    [InlineData("/playground")]
    [InlineData("/feedback")]
    [InlineData("/?q=hello")]
    public async Task Each_place_of_the_page_is_its_index_that_is_asked_for_again(string path)
    {
        Build();
        await using TestHost host = await StartAsync();
        using HttpResponseMessage answer = await SendAsync(host, path);
        Assert.Equal((HttpStatusCode.OK, Index), (answer.StatusCode, await answer.Content.ReadAsStringAsync()));
        Assert.Equal("text/html; charset=utf-8", answer.Content.Headers.ContentType!.ToString());
        Assert.True(answer.Headers.CacheControl!.NoCache);
        Assert.False(answer.Headers.Contains("x-ignored-params"));

        using HttpResponseMessage again = await SendAsync(host, path, null, ("If-None-Match", answer.Headers.ETag!.Tag));
        Assert.Equal((HttpStatusCode.NotModified, 0), (again.StatusCode, (await again.Content.ReadAsByteArrayAsync()).Length));
        using HttpResponseMessage other = await SendAsync(host, path, null, ("If-None-Match", "\"0\""));
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
        using HttpResponseMessage head = await SendAsync(host, path, HttpMethod.Head);
        Assert.Equal((HttpStatusCode.OK, Index.Length, 0), (head.StatusCode, head.Content.Headers.ContentLength, (await head.Content.ReadAsByteArrayAsync()).Length));
    }

    [Fact]
    public async Task Pages_may_run_their_own_files_only_and_are_framed_by_nobody()
    {
        Build();
        await using TestHost host = await StartAsync();
        foreach (string path in (string[])["/", "/favicon.svg"])
        {
            using HttpResponseMessage answer = await SendAsync(host, path);
            Assert.Equal("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                answer.Headers.GetValues("Content-Security-Policy").Single());
            Assert.Equal("nosniff", answer.Headers.GetValues("X-Content-Type-Options").Single());
            Assert.Equal("no-referrer", answer.Headers.GetValues("Referrer-Policy").Single());
        }
    }

    [Fact]
    public async Task The_map_of_the_files_integrity_is_the_one_script_in_the_page_that_may_run()
    {
        Build();
        Put("index.html", "<!doctype html><script type=\"importmap\">{\"integrity\":{}}</script><script>alert(1)</script>");
        await using TestHost host = await StartAsync();
        using HttpResponseMessage answer = await SendAsync(host, "/", null, ("Accept-Encoding", "br"));
        // printf '{"integrity":{}}' | openssl dgst -sha256 -binary | base64
        Assert.Contains("; script-src 'self' 'sha256-v1IUEqDyKCfHdg2mkshdZlh1JwxKZIMqsI0JxkeP1Qo='; style-src", answer.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gzip, deflate, br, zstd", "br")]
    [InlineData("BR;q=0.1, gzip", "br")]
    [InlineData("gzip", "gzip")]
    [InlineData("br;q=0, gzip;q=0.5", "gzip")]
    [InlineData("br;q=0", null)]
    [InlineData("identity", null)]
    [InlineData("nonsense;;", null)]
    [InlineData(null, null)]
    public async Task A_file_goes_out_as_small_as_the_client_can_read_and_is_kept_for_ever(string? accepted, string? coding)
    {
        Build();
        await using TestHost host = await StartAsync();
        using HttpResponseMessage answer = await SendAsync(host, "/assets/main-1a2b.js", null, accepted is null ? [] : [("Accept-Encoding", accepted)]);
        Assert.Equal(coding, answer.Content.Headers.ContentEncoding.SingleOrDefault());
        Stream body = await answer.Content.ReadAsStreamAsync();
        using StreamReader text = new(coding switch
        {
            "br" => new BrotliStream(body, CompressionMode.Decompress),
            "gzip" => new GZipStream(body, CompressionMode.Decompress),
            _ => body,
        });
        Assert.Equal(Script, await text.ReadToEndAsync());
        Assert.Equal("text/javascript; charset=utf-8", answer.Content.Headers.ContentType!.ToString());
        Assert.True(answer.Headers.CacheControl is { Public: true, MaxAge.Days: 365 } kept && kept.Extensions.Any(extension => extension.Name == "immutable"));
        Assert.Equal("Accept-Encoding", answer.Headers.Vary.Single());
    }

    [Fact]
    public async Task Files_beside_the_index_are_there_and_asked_for_again()
    {
        Build();
        await using TestHost host = await StartAsync();
        using HttpResponseMessage icon = await SendAsync(host, "/favicon.svg", null, ("Accept-Encoding", "br"));
        Assert.Equal((HttpStatusCode.OK, "image/svg+xml"), (icon.StatusCode, icon.Content.Headers.ContentType!.ToString()));
        Assert.Empty(icon.Content.Headers.ContentEncoding);
        Assert.True(icon.Headers.CacheControl!.NoCache);
    }

    [Fact]
    public async Task The_icon_that_browsers_ask_for_is_the_pages_or_nothing()
    {
        Build();
        await using (TestHost host = await StartAsync())
        {
            using HttpResponseMessage none = await SendAsync(host, "/favicon.ico");
            Assert.Equal((HttpStatusCode.NoContent, 0), (none.StatusCode, (await none.Content.ReadAsByteArrayAsync()).Length));
        }

        Put("index.html", "<!doctype html><link rel=\"icon\" type=\"image/svg+xml\" href=\"/favicon.svg\">");
        await using TestHost later = await StartAsync();
        using HttpResponseMessage icon = await SendAsync(later, "/favicon.ico");
        Assert.Equal((HttpStatusCode.OK, "image/svg+xml"), (icon.StatusCode, icon.Content.Headers.ContentType!.ToString()));
        Assert.Contains("<svg", await icon.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Programs_are_told_at_the_address_itself_what_runs_there()
    {
        Build();
        await using TestHost host = await StartAsync(new AccessOptions { Keys = new ApiKeyRing(["right"]) });
        foreach (string agent in (string[])["ollama/0.5.1 (amd64 linux) Go/go1.22", "ollama-python/0.4.7 (x86_64 linux) Python/3.11"])
            Assert.Equal("Ollama is running", await GreetingAsync(host, ("User-Agent", agent), ("Accept", "application/json")));
        using JsonDocument greeting = JsonDocument.Parse(await GreetingAsync(host, ("User-Agent", "curl/8.5.0"), ("Accept", "*/*")));
        Assert.Equal(("InferenceServer", "/docs"), (greeting.RootElement.GetProperty("name").GetString(), greeting.RootElement.GetProperty("docs").GetString()));
        Assert.Equal(ServerVersion.Text, greeting.RootElement.GetProperty("version").GetString());
    }

    private static async Task<string> GreetingAsync(TestHost host, params (string Name, string Value)[] headers)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, new Uri("/", UriKind.Relative));
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        using HttpResponseMessage answer = await host.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.Content.ReadAsStringAsync();
    }

    [Theory]
    [InlineData("/assets/none.js")]
    [InlineData("/assets/")]
    [InlineData("/assets/main-1a2b.js.br")]
    [InlineData("/assets/..%2findex.html")]
    [InlineData("/assets/%2e%2e/%2e%2e/etc/passwd")]
    [InlineData("/assets/..%5c..%5cindex.html")]
    [InlineData("/notes")]
    [InlineData("/index.htm")]
    public async Task What_is_no_file_of_the_page_is_not_there(string path)
    {
        Build();
        await using TestHost host = await StartAsync();
        await ErrorTests.AssertErrorAsync(await SendAsync(host, path), 404, null, "unknown_url");
    }

    [Fact]
    public async Task The_page_needs_no_key_and_what_it_asks_does()
    {
        Build();
        await using TestHost host = await StartAsync(new AccessOptions { Keys = new ApiKeyRing(["right"]) });
        foreach (string path in (string[])["/", "/c/x", "/status", "/assets/main-1a2b.js", "/favicon.svg"])
        {
            using HttpResponseMessage answer = await SendAsync(host, path);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }

        await ErrorTests.AssertErrorAsync(await SendAsync(host, "/v1/models"), 401, null, "invalid_api_key");
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/assets/main-1a2b.js")]
    public async Task A_name_that_was_made_to_point_here_gets_no_page(string path)
    {
        Build();
        await using TestHost host = await StartAsync();
        await ErrorTests.AssertErrorAsync(await SendAsync(host, path, null, ("Host", "evil.example")), 403, "Host", "host_not_allowed");
    }

    [Fact]
    public async Task Without_a_page_one_sentence_says_how_to_get_it()
    {
        await using TestHost host = await StartAsync();
        using HttpResponseMessage answer = await SendAsync(host, "/");
        Assert.Equal((HttpStatusCode.OK, "text/plain; charset=utf-8"), (answer.StatusCode, answer.Content.Headers.ContentType!.ToString()));
        Assert.Contains("install Node.js 20", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        await ErrorTests.AssertErrorAsync(await SendAsync(host, "/status"), 404, null, "no_page");
        await ErrorTests.AssertErrorAsync(await SendAsync(host, "/assets/main-1a2b.js"), 404, null, "unknown_url");
    }

    [Fact]
    public async Task A_page_that_is_built_anew_changes_nothing_of_a_running_server()
    {
        Build();
        await using TestHost host = await StartAsync();
        Put("index.html", "<!doctype html><title>Newer</title>");
        File.Delete(Path.Combine(_directory, "assets/main-1a2b.js"));
        using HttpResponseMessage page = await SendAsync(host, "/");
        Assert.Equal(Index, await page.Content.ReadAsStringAsync());
        Assert.Equal(Script, await host.Client.GetStringAsync(new Uri("/assets/main-1a2b.js", UriKind.Relative)));
    }
}
