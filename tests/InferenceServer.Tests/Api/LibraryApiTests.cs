using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using InferenceServer.Library;
using InferenceServer.Operations;
using InferenceServer.Tests.Library;

namespace InferenceServer.Tests.Api;

/// <summary>The library over HTTP, in our words and in Ollama's.</summary>
public sealed class LibraryApiTests : IAsyncLifetime
{
    private const string Model = "hf:maker/Tiny-GGUF:Q8_0";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("library-api-");
    private readonly byte[] _bytes = TestGguf.Make(128);
    private StandInHub _hub = null!;
    private ModelLibrary _library = null!;
    private string _sha = "";

    public async Task InitializeAsync()
    {
        _hub = await StandInHub.StartAsync();
        _sha = _hub.Add("maker/Tiny-GGUF", "Tiny-Q8_0.gguf", _bytes);
        _library = ModelLibrary.Open(_hub.Options(_folder.FullName));
    }

    public async Task DisposeAsync()
    {
        await _hub.DisposeAsync();
        _library.Dispose();
        _folder.Delete(recursive: true);
    }

    private Task<TestHost> StartAsync(bool allowPull = true, AccessOptions? access = null) => TestHost.StartAsync(new ScriptedEngine(), access: access, library: _library, allowPull: allowPull);

    private static async Task<HttpResponseMessage> SendAsync(TestHost host, HttpMethod method, string path, string? body = null)
    {
        using HttpRequestMessage request = new(method, new Uri(path, UriKind.Relative)) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        return await host.Client.SendAsync(request);
    }

    private static async Task<JsonElement[]> LinesAsync(HttpResponseMessage answer) =>
        [.. (await answer.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.StartsWith("data: ", StringComparison.Ordinal) ? line[6..] : line)
            .Where(line => line.StartsWith('{')).Select(line => JsonDocument.Parse(line).RootElement)];

    [Fact]
    public async Task Ollamas_pull_tells_its_states_in_their_order_and_the_model_is_listed_shown_and_deleted()
    {
        await using TestHost host = await StartAsync();
        using HttpResponseMessage answer = await host.PostAsync("/api/pull", $"{{\"model\":\"{Model}\"}}");
        Assert.Equal("application/x-ndjson", answer.Content.Headers.ContentType!.ToString());
        JsonElement[] lines = await LinesAsync(answer);
        Assert.Equal(["pulling manifest", $"pulling {_sha[..12]}", "verifying sha256 digest", "writing manifest", "success"], lines.Select(line => line.GetProperty("status").GetString()).Distinct());
        JsonElement pulling = lines.Last(line => line.TryGetProperty("total", out _));
        Assert.Equal(($"sha256:{_sha}", _bytes.Length), (pulling.GetProperty("digest").GetString(), pulling.GetProperty("total").GetInt32()));

        JsonElement tags = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/api/tags", UriKind.Relative))).RootElement.GetProperty("models");
        Assert.Equal(["scripted:latest", "maker/Tiny-GGUF:Q8_0"], tags.EnumerateArray().Select(tag => tag.GetProperty("name").GetString()));
        JsonElement shown = await host.PostJsonAsync("/api/show", "{\"model\":\"maker/Tiny-GGUF:Q8_0\"}");
        Assert.Equal(("{{ messages }}", 4096, "llama"), (shown.GetProperty("template").GetString(), shown.GetProperty("model_info").GetProperty("llama.context_length").GetInt32(), shown.GetProperty("details").GetProperty("family").GetString()));
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(host, HttpMethod.Delete, "/api/delete", "{\"model\":\"maker/Tiny-GGUF:Q8_0\"}")).StatusCode);
        using HttpResponseMessage gone = await SendAsync(host, HttpMethod.Delete, "/api/delete", "{\"model\":\"maker/Tiny-GGUF:Q8_0\"}");
        Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        Assert.Contains("There is no model", await gone.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Our_pull_answers_whole_or_as_events_and_the_model_is_listed_as_not_loaded()
    {
        await using TestHost host = await StartAsync();
        using HttpResponseMessage streamed = await host.PostAsync("/v1/models/pull", $"{{\"model\":\"{Model}\",\"name\":\"tiny\",\"stream\":true}}");
        string text = await streamed.Content.ReadAsStringAsync();
        Assert.EndsWith("data: [DONE]\n\n", text, StringComparison.Ordinal);
        JsonElement[] events = [.. text.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonDocument.Parse(line[6..]).RootElement)];
        Assert.Equal(["reading", "downloading", "verifying", "writing", "success"], events.Select(each => each.GetProperty("status").GetString()).Distinct());
        Assert.Equal("tiny", events[^1].GetProperty("model").GetProperty("id").GetString());

        JsonElement whole = await host.PostJsonAsync("/v1/models/pull", $"{{\"model\":\"{Model}\"}}");
        Assert.Equal(("maker/Tiny-GGUF:Q8_0", _sha), (whole.GetProperty("id").GetString(), whole.GetProperty("files")[0].GetProperty("sha256").GetString()));
        JsonElement data = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative))).RootElement.GetProperty("data");
        Assert.Equal([("scripted", true), ("maker/Tiny-GGUF:Q8_0", false), ("tiny", false)], data.EnumerateArray().Select(model => (model.GetProperty("id").GetString()!, model.GetProperty("loaded").GetBoolean())));
        JsonElement one = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/v1/models/maker/Tiny-GGUF:Q8_0", UriKind.Relative))).RootElement;
        Assert.Equal(4096, one.GetProperty("context_length").GetInt32());

        JsonElement verified = await host.PostJsonAsync("/v1/models/verify", "{}");
        Assert.True(verified.GetProperty("ok").GetBoolean());
        using HttpResponseMessage deleted = await SendAsync(host, HttpMethod.Delete, "/v1/models/maker/Tiny-GGUF:Q8_0");
        Assert.Equal("""{"id":"maker/Tiny-GGUF:Q8_0","object":"model","deleted":true}""", await deleted.Content.ReadAsStringAsync());
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(host, HttpMethod.Delete, "/v1/models/tiny")).StatusCode);
        Assert.Empty(_library.List());
    }

    [Fact]
    public async Task A_second_request_joins_the_pull_that_runs()
    {
        _hub.HoldAfter = 16_000;
        await using TestHost host = await StartAsync();
        Task<HttpResponseMessage> first = host.PostAsync("/api/pull", $"{{\"model\":\"{Model}\"}}");
        await Eventually.HoldsAsync(() => _hub.SentBytes >= 16_000);
        Task<JsonElement> second = host.PostJsonAsync("/v1/models/pull", $"{{\"model\":\"{Model}\"}}");
        using HttpResponseMessage running = await first;
        Assert.Contains("inference_pulls 1\n", await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
        _hub.Go.SetResult();
        Assert.Equal("success", (await LinesAsync(running))[^1].GetProperty("status").GetString());
        await second;
        Assert.Single(_hub.Requests, asked => asked.Path.StartsWith("api/models/", StringComparison.Ordinal));
        Assert.Contains("inference_pulls_total{outcome=\"done\"} 1\n", await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pull_ends_with_its_last_listener_and_goes_on_with_the_next()
    {
        _hub.HoldAfter = 16_000;
        await using TestHost host = await StartAsync();
        using (CancellationTokenSource leave = new())
        {
            using HttpResponseMessage answer = await host.PostAsync("/api/pull", $"{{\"model\":\"{Model}\"}}", leave.Token);
            await Eventually.HoldsAsync(() => _library.FetchedBytes >= 4 * 16_000);
            await leave.CancelAsync();
        }

        await Eventually.HoldsAsync(async () => (await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative))).Contains("inference_pulls_total{outcome=\"cancelled\"} 1\n", StringComparison.Ordinal));
        (_hub.HoldAfter, long sent) = (null, _hub.SentBytes);
        await host.PostJsonAsync("/v1/models/pull", $"{{\"model\":\"{Model}\"}}");
        Assert.True(_hub.SentBytes - sent < _bytes.Length - 40_000, $"{_hub.SentBytes - sent} of {_bytes.Length} bytes were fetched again");
    }

    [Fact]
    public async Task A_failure_is_a_status_before_the_stream_and_a_last_line_within()
    {
        await using TestHost host = await StartAsync();
        using HttpResponseMessage streamed = await host.PostAsync("/api/pull", "{\"model\":\"hf:maker/None\"}");
        Assert.Contains("HF_TOKEN", (await LinesAsync(streamed))[^1].GetProperty("error").GetString(), StringComparison.Ordinal);
        using HttpResponseMessage whole = await host.PostAsync("/api/pull", "{\"model\":\"hf:maker/None\",\"stream\":false}");
        Assert.Equal(HttpStatusCode.Forbidden, whole.StatusCode);
        using HttpResponseMessage ours = await host.PostAsync("/v1/models/pull", "{\"model\":\"hf:maker/None\",\"stream\":true}");
        Assert.Equal("hub_unauthorized", (await LinesAsync(ours))[^1].GetProperty("error").GetProperty("code").GetString());
        using HttpResponseMessage bad = await host.PostAsync("/v1/models/pull", "{\"model\":\"../x\"}");
        Assert.Equal(HttpStatusCode.BadRequest, bad.StatusCode);
        Assert.Contains("inference_pulls_total{outcome=\"hub_unauthorized\"} 3\n", await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_pulls_are_off_nothing_changes_the_disk()
    {
        await using TestHost host = await StartAsync(allowPull: false);
        foreach ((HttpMethod method, string path, string? body) in new (HttpMethod, string, string?)[]
        {
            (HttpMethod.Post, "/api/pull", "{\"model\":\"x\"}"), (HttpMethod.Post, "/api/create", "{\"model\":\"x\",\"from\":\"y\"}"), (HttpMethod.Post, "/api/copy", "{\"source\":\"x\",\"destination\":\"y\"}"),
            (HttpMethod.Delete, "/api/delete", "{\"model\":\"x\"}"), (HttpMethod.Post, $"/api/blobs/sha256:{_sha}", "{}"), (HttpMethod.Post, "/v1/models/pull", "{\"model\":\"x\"}"),
            (HttpMethod.Post, "/v1/models/verify", "{}"), (HttpMethod.Delete, "/v1/models/x", null),
        })
        {
            using HttpResponseMessage answer = await SendAsync(host, method, path, body);
            Assert.Equal((path, HttpStatusCode.Forbidden), (path, answer.StatusCode));
            Assert.Contains("--allow-pull on", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Fact]
    public async Task Keys_are_wanted_for_what_changes_the_disk_as_for_everything()
    {
        await using TestHost host = await StartAsync(access: new AccessOptions { Keys = new ApiKeyRing(["key"]) });
        using HttpResponseMessage answer = await host.PostAsync("/v1/models/pull", $"{{\"model\":\"{Model}\"}}");
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public async Task A_model_is_uploaded_and_made_as_Ollamas_clients_do_it()
    {
        await using TestHost host = await StartAsync();
        string blob = $"/api/blobs/sha256:{_sha}";
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(host, HttpMethod.Head, blob)).StatusCode);
        using (HttpResponseMessage wrong = await host.Client.PostAsync(new Uri(blob, UriKind.Relative), new ByteArrayContent(_bytes[1..])))
            Assert.Contains("the hash", (await wrong.Content.ReadAsStringAsync()).Replace("The upload has the hash", "the hash", StringComparison.Ordinal), StringComparison.Ordinal);
        using (HttpResponseMessage added = await host.Client.PostAsync(new Uri(blob, UriKind.Relative), new ByteArrayContent(_bytes)))
            Assert.Equal(HttpStatusCode.Created, added.StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(host, HttpMethod.Head, blob)).StatusCode);

        using HttpResponseMessage made = await host.PostAsync("/api/create", $"{{\"model\":\"mine\",\"files\":{{\"a.gguf\":\"sha256:{_sha}\"}},\"system\":\"Be kind.\",\"parameters\":{{\"temperature\":0.5,\"stop\":[\"x\"]}},\"template\":\"{{{{ messages }}}}\",\"license\":[\"MIT\"]}}");
        JsonElement[] lines = await LinesAsync(made);
        Assert.Equal("success", lines[^1].GetProperty("status").GetString());
        ModelManifest mine = _library.Show("mine");
        Assert.Equal(("Be kind.", "MIT", 0.5), (mine.System, mine.License, mine.Parameters["temperature"].GetDouble()));
        Assert.Contains("SYSTEM \"\"\"Be kind.\"\"\"", (await host.PostJsonAsync("/api/show", "{\"model\":\"mine\"}")).GetProperty("modelfile").GetString(), StringComparison.Ordinal);

        await host.PostJsonAsync("/api/create", "{\"name\":\"old\",\"modelfile\":\"FROM mine\\nPARAMETER top_k 3\",\"stream\":false}");
        Assert.Equal(3, _library.Show("old").Parameters["top_k"].GetInt32());
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(host, HttpMethod.Post, "/api/copy", "{\"source\":\"old\",\"destination\":\"older\"}")).StatusCode);
        Assert.NotNull(_library.Find("older"));
    }

    [Theory]
    [InlineData("{\"model\":\"x\"}", 400, "'from'")]
    [InlineData("{\"from\":\"x\"}", 400, "'model'")]
    [InlineData("{\"model\":\"x\",\"from\":\"/etc/passwd\"}", 400, "over HTTP")]
    [InlineData("{\"model\":\"../x\",\"from\":\"y\"}", 400, "is no model's name")]
    [InlineData("{\"model\":\"x\",\"from\":\"none\"}", 404, "no model 'none'")]
    [InlineData("{\"model\":\"x\",\"from\":\"y\",\"quantize\":\"q4_0\"}", 400, "quantize")]
    [InlineData("{\"model\":\"x\",\"from\":\"y\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 400, "messages")]
    [InlineData("{\"model\":\"x\",\"from\":\"y\",\"parameters\":{\"mirostat\":1}}", 400, "parameters.mirostat")]
    [InlineData("{\"model\":\"x\",\"modelfile\":\"FROM y\\nBAD z\"}", 400, "line 2")]
    [InlineData("{\"model\":\"x\",\"files\":{\"a\":\"md5:1\"}}", 400, "digests")]
    [InlineData("{\"model\":\"x\",\"files\":{\"a\":\"sha256:../../x\"}}", 404, "upload it first")]
    public async Task What_cannot_be_made_is_an_error_that_says_what(string body, int status, string says)
    {
        await using TestHost host = await StartAsync();
        using HttpResponseMessage answer = await host.PostAsync("/api/create", body.Insert(body.Length - 1, ",\"stream\":false"));
        string text = await answer.Content.ReadAsStringAsync();
        Assert.Equal((status, text), ((int)answer.StatusCode, text));
        Assert.Contains(says, text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_without_a_library_says_how_to_have_one()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), allowPull: true);
        using HttpResponseMessage answer = await host.PostAsync("/v1/models/pull", "{\"model\":\"x\"}");
        Assert.Contains("--models-dir", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Single(JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative))).RootElement.GetProperty("data").EnumerateArray());
    }
}
