using System.Collections.Concurrent;
using System.Net;
using System.Text;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Tests.Operations;

public sealed class BrowserAccessTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Body = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

    [Theory]
    [InlineData("http://localhost:3000", true)]
    [InlineData("https://localhost", true)]
    [InlineData("http://app.localhost:5173", true)]
    [InlineData("http://127.0.0.1:8080", true)]
    [InlineData("http://[::1]:9000", true)]
    [InlineData("app://obsidian.md", true)]
    [InlineData("tauri://localhost", true)]
    [InlineData("vscode-webview://0a1b2c", true)]
    [InlineData("capacitor://localhost", true)]
    [InlineData("http://box.local", false)]
    [InlineData("null", false)]
    [InlineData("file://", false)]
    [InlineData("https://localhost.evil.example", false)]
    [InlineData("https://evil.example", false)]
    [InlineData("http://127.0.0.1.evil.example", false)]
    [InlineData("http://10.0.0.1", false)]
    [InlineData("chrome-extension://localhost", false)]
    public async Task Pages_of_this_machine_may_use_the_API_and_no_others(string origin, bool allowed)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        Assert.Equal(allowed ? origin : null, await AllowedOriginAsync(host, origin, HttpMethod.Post));
        Assert.Equal(allowed ? origin : null, await AllowedOriginAsync(host, origin, HttpMethod.Options));
    }

    [Theory]
    [InlineData("https://app.example", "https://app.example", "https://app.example")]
    [InlineData("https://app.example", "https://other.example", null)]
    [InlineData("https://app.example", "http://localhost:3000", null)]
    [InlineData("*", "https://other.example", "*")]
    [InlineData("*", "null", "*")]
    public async Task A_list_of_origins_replaces_those_of_this_machine(string option, string origin, string? answered)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: new AccessOptions { CorsOrigins = [option] });
        Assert.Equal(answered, await AllowedOriginAsync(host, origin, HttpMethod.Post));
        Assert.Equal(answered, await AllowedOriginAsync(host, origin, HttpMethod.Options));
    }

    [Fact]
    public async Task A_preflight_needs_no_key_and_what_follows_can_read_our_headers_even_of_an_error()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: new AccessOptions { Keys = new ApiKeyRing(["right"]) });

        using HttpResponseMessage preflight = await SendAsync(host, HttpMethod.Options, Chat, "http://localhost:3000");
        Assert.Equal(HttpStatusCode.NoContent, preflight.StatusCode);
        Assert.Contains("authorization", string.Join(',', preflight.Headers.GetValues("Access-Control-Allow-Headers")), StringComparison.OrdinalIgnoreCase);
        Assert.Contains("POST", string.Join(',', preflight.Headers.GetValues("Access-Control-Allow-Methods")), StringComparison.Ordinal);
        Assert.True(preflight.Headers.Contains("x-request-id"));

        using HttpResponseMessage refused = await SendAsync(host, HttpMethod.Post, Chat, "http://localhost:3000");
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Equal("http://localhost:3000", refused.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.Contains("x-request-id", string.Join(',', refused.Headers.GetValues("Access-Control-Expose-Headers")), StringComparison.Ordinal);
        Assert.False(refused.Headers.Contains("Access-Control-Allow-Credentials"));
    }

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST:8080", true)]
    [InlineData("127.0.0.1:1", true)]
    [InlineData("[::1]:8080", true)]
    [InlineData("192.168.1.7", true)]
    [InlineData("localhost.:8080", true)]
    [InlineData("host.docker.internal:8080", true)]
    [InlineData("box.local", true)]
    [InlineData("gpu.corp.internal", true)]
    [InlineData("local", false)]
    [InlineData("internal.example", false)]
    [InlineData("evil.example", false)]
    [InlineData("localhost.evil.example:8080", false)]
    public async Task A_name_that_was_made_to_point_here_is_refused(string name, bool served)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        HttpResponseMessage answer = await SendAsync(host, HttpMethod.Post, Chat, null, ("Host", name));
        Assert.Equal(served ? 1 : 0, engine.Submitted.Count);
        if (served)
            answer.Dispose();
        else
            await ErrorTests.AssertErrorAsync(answer, 403, "Host", "host_not_allowed");
    }

    [Theory]
    [InlineData("http://localhost:3000", true)]
    [InlineData("https://evil.example", false)]
    [InlineData("null", false)]
    [InlineData(null, true)]
    public async Task Where_a_body_needs_no_type_no_page_of_another_site_can_post(string? origin, bool served)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        HttpResponseMessage answer = await SendAsync(host, HttpMethod.Post, "/api/chat", origin);
        Assert.Equal((served ? 200 : 403, served ? 1 : 0), ((int)answer.StatusCode, engine.Submitted.Count));
        answer.Dispose();
    }

    [Fact]
    public async Task A_page_of_the_server_itself_may_use_all_of_it_whatever_its_name()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: new AccessOptions { AllowedHosts = ["box.lan"] });
        using HttpResponseMessage own = await SendAsync(host, HttpMethod.Get, "/api/tags", "http://box.lan:8080", ("Host", "box.lan:8080"));
        using HttpResponseMessage other = await SendAsync(host, HttpMethod.Get, "/api/tags", "http://fox.lan:8080", ("Host", "box.lan:8080"));
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.Forbidden), (own.StatusCode, other.StatusCode));
    }

    [Fact]
    public async Task A_name_that_the_operator_allows_is_served()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: new AccessOptions { AllowedHosts = ["box.lan"] });
        using HttpResponseMessage allowed = await SendAsync(host, HttpMethod.Post, Chat, null, ("Host", "Box.lan:8080"));
        using HttpResponseMessage other = await SendAsync(host, HttpMethod.Post, Chat, null, ("Host", "fox.lan"));
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.Forbidden), (allowed.StatusCode, other.StatusCode));
    }

    [Theory]
    [InlineData("POST", Chat, 200)]
    [InlineData("POST", "/v1/completions", 400)]
    [InlineData("GET", "/nowhere", 404)]
    [InlineData("GET", "/v1/completions", 405)]
    [InlineData("GET", "/health", 200)]
    [InlineData("GET", "/docs", 200)]
    public async Task Every_answer_has_an_id_the_callers_own_where_it_is_sane(string method, string path, int status)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage own = await SendAsync(host, new HttpMethod(method), path, null, ("X-Request-Id", "order-66.b_1"));
        using HttpResponseMessage forged = await SendAsync(host, new HttpMethod(method), path, null, ("X-Request-Id", "a b<script>"));
        Assert.Equal(status, (int)own.StatusCode);
        Assert.Equal("order-66.b_1", own.Headers.GetValues("x-request-id").Single());
        Assert.StartsWith("req_", forged.Headers.GetValues("x-request-id").Single(), StringComparison.Ordinal);
        Assert.Equal("nosniff", own.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.Equal(path == "/docs", own.Headers.Contains("X-Frame-Options"));
    }

    [Theory]
    [InlineData("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true)]
    [InlineData("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false)]
    [InlineData("nonsense", false)]
    public async Task The_callers_trace_is_in_the_log_and_no_key_is(string parent, bool isTaken)
    {
        using LogCollector logs = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: new AccessOptions { Keys = new ApiKeyRing(["sesame-open"]) },
            logLevel: LogLevel.Information);
        host.App.Services.GetRequiredService<ILoggerFactory>().AddProvider(logs);
        using HttpResponseMessage answer = await SendAsync(host, HttpMethod.Post, Chat, null, ("traceparent", parent), ("x-api-key", "sesame-open"));
        using HttpResponseMessage refused = await SendAsync(host, HttpMethod.Post, Chat, null, ("x-api-key", "sesame-shut"));
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.Unauthorized), (answer.StatusCode, refused.StatusCode));
        await host.App.StopAsync();

        Assert.Equal(isTaken, logs.Lines.Any(line => line.Contains("trace=4bf92f3577b34da6a3ce929d0e0e4736", StringComparison.Ordinal)));
        Assert.Equal(isTaken, logs.Lines.Any(line => line.StartsWith("TraceId:4bf92f3577b34da6a3ce929d0e0e4736 RequestId:req_", StringComparison.Ordinal)));
        Assert.Contains(logs.Lines, line => line.Contains("POST /v1/chat/completions 200", StringComparison.Ordinal));
        Assert.DoesNotContain(logs.Lines, line => line.Contains("sesame", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_a_page_asks_again_and_again_leaves_a_line_only_when_it_fails()
    {
        using LogCollector logs = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), logLevel: LogLevel.Information);
        host.App.Services.GetRequiredService<ILoggerFactory>().AddProvider(logs);
        foreach (string path in (string[])["/", "/health", "/health/live", "/health/ready", "/metrics", "/v1/requests", "/v1/requests?limit=0", "/v1/models", "/v1/models/none", "/api/version"])
            (await SendAsync(host, HttpMethod.Get, path, null)).Dispose();
        await host.App.StopAsync();
        Assert.Equal(["GET /v1/requests 400", "GET /v1/models/{id} 404", "GET /api/version 200"], logs.Lines.Where(line => line.Contains(" GET ", StringComparison.Ordinal)).Select(line => string.Join(' ', line.Split(' ')[1..4])));
    }

    [Fact]
    public async Task A_requests_line_has_no_field_without_a_value()
    {
        using LogCollector logs = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), logLevel: LogLevel.Information);
        host.App.Services.GetRequiredService<ILoggerFactory>().AddProvider(logs);
        (await SendAsync(host, HttpMethod.Post, Chat, null, ("X-Request-Id", "good"))).Dispose();
        (await SendAsync(host, HttpMethod.Post, "/v1/completions", null, ("X-Request-Id", "bad"))).Dispose();
        await host.App.StopAsync();
        Assert.Matches("^good POST /v1/chat/completions 200 ok prompt=[0-9]+ cached=3 completion=3 ttft_ms=[0-9.]+ total_ms=[0-9.]+ $", logs.Lines.Single(line => line.StartsWith("good ", StringComparison.Ordinal)));
        Assert.Matches("^bad POST /v1/completions 400 client_error total_ms=[0-9.]+: 'model' is required. $", logs.Lines.Single(line => line.StartsWith("bad ", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("/v1/chat/completions", "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"chat_template_kwargs\":{\"tools\":1}", "'chat_template_kwargs.tools'")]
    [InlineData("/v1/completions", "\"prompt\":\"x\",\"logit_bias\":{\"999999\":1}", "'logit_bias'")]
    public async Task A_requests_line_calls_a_field_what_its_client_calls_it(string path, string members, string name)
    {
        using LogCollector logs = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine().AsMarked(), logLevel: LogLevel.Information);
        host.App.Services.GetRequiredService<ILoggerFactory>().AddProvider(logs);
        using HttpResponseMessage answer = await host.PostAsync(path, $"{{\"model\":\"scripted\",{members}}}");
        Assert.Contains(name, await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        await host.App.StopAsync();
        string line = logs.Lines.Single(line => line.Contains($"POST {path} 400", StringComparison.Ordinal));
        Assert.Contains(name, line, StringComparison.Ordinal);
        Assert.DoesNotMatch("TemplateArguments|LogitBias", line);
    }

    [Fact]
    public async Task A_probe_that_says_not_now_leaves_no_line()
    {
        using LogCollector logs = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), logLevel: LogLevel.Information);
        host.App.Services.GetRequiredService<ILoggerFactory>().AddProvider(logs);
        host.Service<Readiness>().Drains();
        using HttpResponseMessage answer = await host.Client.GetAsync(new Uri("/health/ready", UriKind.Relative));
        Assert.Equal(503, (int)answer.StatusCode);
        await host.App.StopAsync();
        Assert.DoesNotContain(logs.Lines, line => line.Contains("GET /health/ready", StringComparison.Ordinal));
    }

    private static async Task<string?> AllowedOriginAsync(TestHost host, string origin, HttpMethod method)
    {
        using HttpResponseMessage answer = await SendAsync(host, method, Chat, origin);
        Assert.True(answer.IsSuccessStatusCode);
        return answer.Headers.TryGetValues("Access-Control-Allow-Origin", out IEnumerable<string>? values) ? values.Single() : null;
    }

    private static async Task<HttpResponseMessage> SendAsync(TestHost host, HttpMethod method, string path, string? origin, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(method, path);
        if (method == HttpMethod.Post)
            request.Content = new StringContent(path == Chat ? Body : "{}", Encoding.UTF8, "application/json");
        if (origin is not null)
            request.Headers.Add("Origin", origin);
        if (method == HttpMethod.Options)
        {
            request.Headers.Add("Access-Control-Request-Method", "POST");
            request.Headers.Add("Access-Control-Request-Headers", "authorization,content-type");
        }

        if (path == "/api/chat")
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(Body));
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        return await host.Client.SendAsync(request);
    }

    private sealed class LogCollector : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull
        {
            Lines.Enqueue($"{state}");
            return null;
        }

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue($"{formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}
