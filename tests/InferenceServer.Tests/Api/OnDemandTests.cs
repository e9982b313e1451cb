using System.Text.Json;
using InferenceServer.Models;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api;

/// <summary>A second model that is loaded when a request names it, in every dialect, and its metrics, which come and go with it.</summary>
public sealed class OnDemandTests
{
    private readonly FakeTimeProvider _clock = new();
    private int _loads;

    private ModelHost Host(Func<Task>? loading = null) => new(
        new ModelHostOptions { Room = 1000 },
        name => !ModelCatalogue.IsNamed("second", name) ? null : new LoadableModel("second", 10, async _ =>
        {
            Interlocked.Increment(ref _loads);
            await (loading?.Invoke() ?? Task.CompletedTask);
            ServedModel served = TestHost.Served(new ScriptedEngine { Script = reply => reply.SayAsync("From the second") }) with { Id = "second", System = "Be brief." };
            return new HostedModel(served, 10, () => ValueTask.CompletedTask);
        }), _clock, NullLogger.Instance);

    public static TheoryData<string, string> Requests => new()
    {
        { "/v1/chat/completions", """{"model":"second","messages":[{"role":"user","content":"Hi"}]}""" },
        { "/v1/chat/completions", """{"model":"Second:latest","stream":true,"messages":[{"role":"user","content":"Hi"}]}""" },
        { "/v1/completions", """{"model":"second","prompt":"Hi"}""" },
        { "/v1/responses", """{"model":"second","input":"Hi","store":false}""" },
        { "/v1/messages", """{"model":"second","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}""" },
        { "/api/chat", """{"model":"second","stream":false,"messages":[{"role":"user","content":"Hi"}]}""" },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public async Task A_request_that_names_it_loads_it_and_one_that_names_the_first_does_not(string path, string body)
    {
        await using ModelHost host = Host();
        await using TestHost server = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), onDemand: host);
        using HttpResponseMessage first = await server.PostAsync(path, body.Replace("Second:latest", "scripted", StringComparison.Ordinal).Replace("second", "scripted", StringComparison.Ordinal));
        Assert.True(first.IsSuccessStatusCode);
        Assert.Equal(0, _loads);
        using HttpResponseMessage second = await server.PostAsync(path, body);
        Assert.Contains("From the second", await second.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        using HttpResponseMessage again = await server.PostAsync(path, body);
        Assert.True(again.IsSuccessStatusCode);
        Assert.Equal(1, _loads);
    }

    [Fact]
    public async Task It_is_listed_while_it_is_loaded_and_leaves_with_its_series()
    {
        await using ModelHost host = Host();
        await using TestHost server = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), onDemand: host);
        await server.PostJsonAsync("/v1/chat/completions", """{"model":"second","messages":[{"role":"user","content":"Hi"}]}""");
        Assert.Equal(["scripted", "second"], await IdsAsync(server));
        string metrics = await server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("inference_engine_up{model=\"second\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("inference_model_loads_total{outcome=\"loaded\"} 1", metrics, StringComparison.Ordinal);

        JsonElement unloaded = await server.PostJsonAsync("/api/generate", """{"model":"second","keep_alive":0}""");
        Assert.Equal("unload", unloaded.GetProperty("done_reason").GetString());
        await Eventually.HoldsAsync(async () => (await IdsAsync(server)).Length == 1);
        // It is gone from the list first, and counted once it is unloaded.
        await Eventually.HoldsAsync(() => host.Unloads == 1);
        metrics = await server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.DoesNotContain("inference_engine_up{model=\"second\"}", metrics, StringComparison.Ordinal);
        Assert.Contains("inference_engine_up{model=\"scripted\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("inference_model_unloads_total 1", metrics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("10", 10)]
    [InlineData("\"90s\"", 90)]
    [InlineData("\"1h30m\"", 5400)]
    [InlineData("-1", -1)]
    [InlineData("\"-1m\"", -1)]
    public async Task How_long_it_stays_is_the_requests_to_say(string keepAlive, int seconds)
    {
        await using ModelHost host = Host();
        await using TestHost server = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), onDemand: host);
        await server.PostJsonAsync("/api/chat", $$"""{"model":"second","stream":false,"messages":[{"role":"user","content":"Hi"}],"keep_alive":{{keepAlive}}}""");
        Assert.Equal(seconds < 0 ? null : _clock.GetUtcNow().AddSeconds(seconds), Assert.Single(host.Status).Expires);
        await ErrorTests.AssertErrorAsync(await server.PostAsync("/v1/chat/completions", """{"model":"third","messages":[{"role":"user","content":"Hi"}]}"""), 404, "model", "model_not_found");
        using HttpResponseMessage wrong = await server.PostAsync("/api/chat", """{"model":"second","messages":[],"keep_alive":"soon"}""");
        Assert.Equal(400, (int)wrong.StatusCode);
    }

    [Fact]
    public async Task A_load_that_fails_is_the_answer_of_those_who_asked_for_it()
    {
        await using ModelHost host = Host(() => throw new InvalidDataException("the file ends early"));
        await using TestHost server = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), onDemand: host);
        using HttpResponseMessage answer = await server.PostAsync("/v1/chat/completions", """{"model":"second","messages":[{"role":"user","content":"Hi"}]}""");
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True((int)answer.StatusCode == 503 && text.Contains("the file ends early", StringComparison.Ordinal), text);
        await server.PostJsonAsync("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"Hi"}]}""");
        Assert.Contains("inference_model_loads_total{outcome=\"failed\"} 1", await server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
    }

    private static async Task<string[]> IdsAsync(TestHost server) =>
        [.. JsonDocument.Parse(await server.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative))).RootElement.GetProperty("data").EnumerateArray().Select(model => model.GetProperty("id").GetString()!)];
}
