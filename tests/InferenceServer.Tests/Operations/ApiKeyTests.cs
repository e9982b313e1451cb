using System.Net;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Operations;

/// <summary>The whole server with two keys.</summary>
public sealed class KeyedServer : TinyServer
{
    internal override AccessOptions Access => new() { Keys = new ApiKeyRing(["first-key", "second-key"]) };
}

public sealed class ApiKeyTests(KeyedServer server) : IClassFixture<KeyedServer>
{
    private const string Chat = "/v1/chat/completions";
    private const string Body = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

    private static AccessOptions Keys(params string[] keys) => new() { Keys = new ApiKeyRing(keys) };

    private static async Task<HttpResponseMessage> SendAsync(TestHost host, HttpMethod method, string path, string? body = null, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(method, path);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        return await host.Client.SendAsync(request);
    }

    [Theory]
    [InlineData("Authorization", "Bearer right")]
    [InlineData("authorization", "bearer  right")]
    [InlineData("x-api-key", "right")]
    [InlineData("X-API-Key", "also-right")]
    public async Task A_known_key_is_let_in(string header, string value)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: Keys("right", "also-right"));
        using HttpResponseMessage answer = await SendAsync(host, HttpMethod.Post, Chat, Body, (header, value));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("Authorization", "Bearer wrong")]
    [InlineData("Authorization", "Bearer ")]
    [InlineData("Authorization", "Basic right")]
    [InlineData("Authorization", "right")]
    [InlineData("x-api-key", "righ")]
    [InlineData("x-api-key", "right2")]
    [InlineData("x-api-key", "RIGHT")]
    public async Task Any_other_is_told_so_and_reaches_nothing(string? header, string? value)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine, access: Keys("right"));
        (string, string)[] headers = header is null ? [] : [(header, value!)];
        foreach ((HttpMethod method, string path) in new[]
        {
            (HttpMethod.Post, Chat), (HttpMethod.Post, "/tokenize"), (HttpMethod.Get, "/v1/models"), (HttpMethod.Get, "/v1/sessions"),
            (HttpMethod.Get, "/metrics"), (HttpMethod.Get, "/nowhere"),
        })
        {
            HttpResponseMessage answer = await SendAsync(host, method, path, method == HttpMethod.Post ? Body : null, headers);
            Assert.Equal("Bearer", answer.Headers.WwwAuthenticate.ToString());
            await ErrorTests.AssertErrorAsync(answer, 401, null, "invalid_api_key");
        }

        Assert.Empty(engine.Submitted);
    }

    [Fact]
    public async Task Other_dialects_get_the_refusal_in_their_own_shape()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: Keys("right"));

        using HttpResponseMessage anthropic = await SendAsync(host, HttpMethod.Post, "/v1/messages", "{}", ("x-api-key", "wrong"));
        JsonElement error = JsonDocument.Parse(await anthropic.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal((HttpStatusCode.Unauthorized, "error", "authentication_error"),
            (anthropic.StatusCode, error.GetProperty("type").GetString(), error.GetProperty("error").GetProperty("type").GetString()));

        using HttpResponseMessage ollama = await SendAsync(host, HttpMethod.Post, "/api/chat", "{}", ("Authorization", "Bearer wrong"));
        Assert.Equal(HttpStatusCode.Unauthorized, ollama.StatusCode);
        Assert.Equal(JsonValueKind.String, JsonDocument.Parse(await ollama.Content.ReadAsStringAsync()).RootElement.GetProperty("error").ValueKind);
    }

    [Theory]
    [InlineData("/health")]
    [InlineData("/health/live")]
    [InlineData("/health/ready")]
    [InlineData("/openapi/v1.json")]
    [InlineData("/docs")]
    public async Task Health_and_the_description_stay_open(string path)
    {
        // The warm-up passes through the keys as well, so a host that became ready has shown it can.
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), warmUp: true, access: Keys("right"));
        using HttpResponseMessage answer = await SendAsync(host, HttpMethod.Get, path);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Fact]
    public async Task Each_key_has_its_own_cache_with_salts_inside_it_and_its_own_turn()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine, access: Keys("one", "two"));
        string[] extras = ["", ",\"cache_salt\":\"a\"", ",\"user\":\"u\""];
        foreach (string key in (string[])["one", "two"])
            foreach (string extra in extras)
                (await SendAsync(host, HttpMethod.Post, Chat, Body[..^1] + extra + "}", ("x-api-key", key))).Dispose();

        GenerationRequest[] requests = [.. engine.Submitted.Select(generation => generation.Request)];
        Assert.Equal(4, requests.Select(request => request.CacheNamespace).Distinct().Count());
        Assert.Equal(requests[0].CacheNamespace, requests[2].CacheNamespace);
        Assert.Equal(2, requests.Select(request => request.FairnessKey).Distinct().Count());
        Assert.All(requests, request => Assert.DoesNotContain("one", request.CacheNamespace + request.FairnessKey, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_key_sees_and_deletes_only_its_own_sessions()
    {
        string body = $$"""{"model":"{{server.Model.Id}}","messages":[{"role":"user","content":"Remember this."}],"max_tokens":4,"prompt_cache_key":"talk"}""";
        (await SendAsync(server.Host, HttpMethod.Post, Chat, body, ("x-api-key", "first-key"))).EnsureSuccessStatusCode().Dispose();

        Assert.Equal(["talk"], await SessionsAsync("first-key"));
        Assert.Empty(await SessionsAsync("second-key"));
        await ErrorTests.AssertErrorAsync(await SendAsync(server.Host, HttpMethod.Delete, "/v1/sessions/talk", null, ("x-api-key", "second-key")), 404, "id", "session_not_found");
        Assert.Equal(["talk"], await SessionsAsync("first-key"));
        (await SendAsync(server.Host, HttpMethod.Delete, "/v1/sessions/talk", null, ("x-api-key", "first-key"))).EnsureSuccessStatusCode().Dispose();
        Assert.Empty(await SessionsAsync("first-key"));
    }

    [Fact]
    public async Task The_same_words_under_another_key_find_nothing_in_the_cache()
    {
        string body = $$"""{"model":"{{server.Model.Id}}","messages":[{"role":"user","content":"The quick brown fox jumps over the lazy dog, they say."}],"max_tokens":2}""";
        Assert.Equal(0, await CachedAsync("first-key"));
        Assert.NotEqual(0, await CachedAsync("first-key"));
        Assert.Equal(0, await CachedAsync("second-key"));

        async Task<int> CachedAsync(string key)
        {
            using HttpResponseMessage answer = await SendAsync(server.Host, HttpMethod.Post, Chat, body, ("Authorization", $"Bearer {key}"));
            JsonElement usage = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("usage");
            return usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();
        }
    }

    [Fact]
    public void A_key_file_has_one_a_line_and_what_is_wrong_is_told_without_repeating_it()
    {
        string file = Path.Combine(AppContext.BaseDirectory, $"keys-{Guid.NewGuid():N}.txt");
        try
        {
            File.WriteAllText(file, "# ours\nalpha\n\n  beta  \n");
            ApiKeyRing ring = ApiKeyRing.Load(["gamma"], file);
            Assert.All((string[])["alpha", "beta", "gamma"], key => Assert.NotNull(ring.Find(key)));
            Assert.Null(ring.Find("# ours"));
            Assert.Null(ring.Find(""));

            File.WriteAllText(file, "alpha\nsecret with spaces\n");
            ServerStartException wrong = Assert.Throws<ServerStartException>(() => ApiKeyRing.Load([], file));
            Assert.Contains("line 2", wrong.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("secret", wrong.Message, StringComparison.Ordinal);

            File.WriteAllText(file, "# none\n");
            Assert.Throws<ServerStartException>(() => ApiKeyRing.Load([], file));
        }
        finally
        {
            File.Delete(file);
        }

        Assert.Throws<ServerStartException>(() => ApiKeyRing.Load([], file));
        Assert.True(ApiKeyRing.Load([], null).IsEmpty);
    }

    private async Task<string[]> SessionsAsync(string key)
    {
        using HttpResponseMessage answer = await SendAsync(server.Host, HttpMethod.Get, "/v1/sessions", null, ("x-api-key", key));
        JsonElement list = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        return [.. list.GetProperty("data").EnumerateArray().Select(session => session.GetProperty("id").GetString()!)];
    }
}
