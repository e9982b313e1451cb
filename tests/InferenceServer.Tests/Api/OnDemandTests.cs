using System.Text.Json;
using InferenceServer.Configuration;
using InferenceServer.Models;
using InferenceServer.Tests.Docs;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api;

/// <summary>A second model that is loaded when a request names it, in every dialect, and its metrics, which come and go with it.</summary>
public sealed class OnDemandTests
{
    private readonly FakeTimeProvider _clock = new();
    private int _loads;

    private ModelHost Host(Func<Task>? loading = null, float progress = 0) => new(
        new ModelHostOptions { Room = 1000 },
        name => !ModelCatalogue.IsNamed("second", name) ? null : new LoadableModel("second", () => 10, async (_, told) =>
        {
            told.Report(progress);
            Interlocked.Increment(ref _loads);
            await (loading?.Invoke() ?? Task.CompletedTask);
            ServedModel served = TestHost.Served(new ScriptedEngine { Script = reply => reply.SayAsync("From the second") }) with { Id = "second", Settings = () => new ModelSettings { System = "Be brief." } };
            return new HostedModel(served, null, 10, () => ValueTask.CompletedTask);
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

    public static TheoryData<string, string, string, string> Streams => new()
    {
        { "/v1/chat/completions", """{"model":"second","stream":true,"messages":[{"role":"user","content":"Hi"}]}""", ": loading model, 40", "data: {\"error\":{\"message\":" },
        { "/v1/completions", """{"model":"second","stream":true,"prompt":"Hi"}""", ": loading model, 40", "data: {\"error\":{\"message\":" },
        { "/v1/responses", """{"model":"second","stream":true,"input":"Hi","store":false}""", ": loading model, 40", "event: error\ndata: {\"type\":\"error\",\"code\":\"model_load_failed\"" },
        { "/v1/messages", """{"model":"second","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}""", ": loading model, 40", "event: error\ndata: {\"type\":\"error\",\"error\":{" },
        { "/api/chat", """{"model":"second","messages":[{"role":"user","content":"Hi"}]}""", "\"done\":false,\"status\":\"loading model, 40", "{\"error\":\"" },
        { "/api/generate", """{"model":"second","prompt":"Hi"}""", "\"response\":\"\",\"done\":false,\"status\":\"loading model, 40", "{\"error\":\"" },
    };

    /// <summary>Proxies cut what is silent, and somebody looks at a screen.</summary>
    [Theory]
    [MemberData(nameof(Streams))]
    public async Task A_stream_shows_signs_of_life_while_its_model_is_loaded_and_goes_on_as_ever(string path, string body, string sign, string error)
    {
        foreach (bool fails in (bool[])[false, true])
        {
            TaskCompletionSource loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
            await using ModelHost host = Host(() => loaded.Task, progress: 0.4f);
            await using TestHost server = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), _clock, onDemand: host);
            Task<HttpResponseMessage> asking = server.PostAsync(path, body);
            await Eventually.PassesUntilAsync(_clock, () => asking.IsCompleted);
            using HttpResponseMessage answer = await asking;
            Assert.True(answer.IsSuccessStatusCode);
            if (fails)
                loaded.SetException(new InvalidDataException("the file ends early"));
            else
                loaded.SetResult();
            string text = await answer.Content.ReadAsStringAsync();
            Assert.Contains(sign, text, StringComparison.Ordinal);
            Assert.Contains(fails ? error : "From the second", text, StringComparison.Ordinal);
            Assert.Equal(fails, text.Contains("the file ends early", StringComparison.Ordinal));
        }
    }

    /// <summary>An embedding model is a model of the library as any other.</summary>
    [Theory]
    [InlineData("/v1/embeddings", """{"model":"vectors","input":"Hi"}""")]
    [InlineData("/api/embed", """{"model":"vectors","input":"Hi","keep_alive":"10s"}""")]
    public async Task An_embedding_model_is_loaded_by_its_name_or_another_and_leaves_with_its_series(string path, string body)
    {
        ServedEmbedder served = EmbeddingProbes.Models[0] with { Id = "vectors" };
        await using ModelHost host = new(new ModelHostOptions { Room = 1000, KeepAlive = TimeSpan.FromSeconds(10) },
            name => ModelCatalogue.IsNamed("vectors", name) ? new LoadableModel("vectors", () => 10, (_, _) => Task.FromResult(new HostedModel(null, served, 10, () => ValueTask.CompletedTask))) : null, _clock, NullLogger.Instance);
        using LiveConfiguration configuration = new(ServerFileReader.Read("""{"models":{"vectors":{"model":"v.gguf","aliases":["text-embedding-3-small"]}}}"""u8, "server.json"), _clock, NullLogger.Instance);
        await using TestHost server = await TestHost.StartAsync(TestHost.Served(new ScriptedEngine()), onDemand: host, configuration: configuration);
        foreach (string name in (string[])["vectors", "text-embedding-3-small"])
        {
            using HttpResponseMessage answer = await server.PostAsync(path, body.Replace("vectors", name, StringComparison.Ordinal));
            Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        }
        Assert.Equal(1, host.Loads);
        JsonElement listed = JsonDocument.Parse(await server.Client.GetStringAsync(new Uri("/v1/models/text-embedding-3-small", UriKind.Relative))).RootElement;
        Assert.Equal(("vectors", "loaded", "embedding", "text-embedding-3-small"),
            (listed.GetProperty("id").GetString(), listed.GetProperty("state").GetString(), listed.GetProperty("capabilities")[0].GetString(), listed.GetProperty("aliases")[0].GetString()));
        await ErrorTests.AssertErrorAsync(await server.PostAsync("/v1/chat/completions", """{"model":"vectors","messages":[{"role":"user","content":"Hi"}]}"""), 400, "model", "invalid_value");
        Assert.Contains("inference_embedding_inputs_total{model=\"vectors\"}", await MetricsAsync(), StringComparison.Ordinal);
        await Eventually.PassesUntilAsync(_clock, () => host.Unloads == 1);
        Assert.DoesNotContain("inference_embedding_inputs_total{model=\"vectors\"}", await MetricsAsync(), StringComparison.Ordinal);

        Task<string> MetricsAsync() => server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
    }

    /// <summary>What a model's owner set holds for requests that say nothing else, in every dialect.</summary>
    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"Hi"}]}""", "\"temperature\":1")]
    [InlineData("/v1/responses", """{"model":"scripted","input":"Hi","store":false}""", "\"temperature\":1")]
    [InlineData("/v1/messages", """{"model":"scripted","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}""", "\"temperature\":1")]
    [InlineData("/api/chat", """{"model":"scripted","stream":false,"messages":[{"role":"user","content":"Hi"}]}""", "\"options\":{\"temperature\":1}")]
    public async Task Sampling_of_a_model_holds_unless_a_request_says_otherwise(string path, string body, string given)
    {
        ScriptedEngine engine = new();
        ServerConfiguration file = ServerFileReader.Read("""{"models":{"scripted":{"model":"v.gguf","sampling":{"temperature":0.25,"stop":"END"}}}}"""u8, "server.json");
        await using TestHost server = await TestHost.StartAsync(TestHost.Served(engine) with { Settings = () => file.Models[0].Settings });
        JsonElement answer = await server.PostJsonAsync(path, body);
        await server.PostJsonAsync(path, body.Replace("}]}", $"}}],{given}}}", StringComparison.Ordinal).Replace("\"store\":false", $"\"store\":false,{given}", StringComparison.Ordinal));
        Assert.Equal([0.25f, 1], engine.Submitted.Select(generation => generation.Request.Sampling.Temperature));
        Assert.All(engine.Submitted, generation => Assert.Equal("END", Assert.Single(generation.Request.StopStrings)));
        if (answer.TryGetProperty("temperature", out JsonElement told))
            Assert.Equal(0.25f, told.GetSingle());
    }

    private static async Task<string[]> IdsAsync(TestHost server) =>
        [.. JsonDocument.Parse(await server.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative))).RootElement.GetProperty("data").EnumerateArray().Select(model => model.GetProperty("id").GetString()!)];
}
