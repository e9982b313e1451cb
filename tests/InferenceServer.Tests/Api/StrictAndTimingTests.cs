using System.Text.Json;
using InferenceServer.Engine;

namespace InferenceServer.Tests.Api;

public sealed class StrictAndTimingTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Completions = "/v1/completions";
    private const string ChatBody = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"";
    private const string CompletionBody = "\"model\":\"scripted\",\"prompt\":\"Hi\"";

    [Theory]
    [InlineData(Chat, ChatBody + "}],\"surprise\":1,\"another\":2", "surprise, another")]
    [InlineData(Chat, ChatBody + ",\"mood\":1}]", "messages[0].mood")]
    [InlineData(Completions, CompletionBody + ",\"surprise\":1", "surprise")]
    [InlineData("/tokenize", "\"content\":\"x\",\"surprise\":1", "surprise")]
    public async Task Unknown_fields_are_listed_or_refused_by_name_when_strict(string path, string body, string names)
    {
        await using TestHost lenient = await TestHost.StartAsync(new ScriptedEngine());
        ScriptedEngine engine = new();
        await using TestHost strict = await TestHost.StartAsync(engine, strict: true);

        using HttpResponseMessage answer = await lenient.PostAsync(path, $"{{{body}}}");
        Assert.Equal(names, answer.Headers.GetValues("x-ignored-params").Single());
        JsonElement error = await ErrorTests.AssertErrorAsync(await strict.PostAsync(path, $"{{{body}}}"), 400, names.Split(',')[0], "unknown_parameter");
        Assert.Contains(names, error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Empty(engine.Submitted);
    }

    [Theory]
    [InlineData(Chat, ChatBody + "}]")]
    [InlineData(Completions, CompletionBody)]
    public async Task Timing_is_there_when_asked_for_and_is_what_the_engine_measured(string path, string body)
    {
        int submitted = 0;
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("Hello");
                // Of two choices the second takes longer; the prompt is computed by the first, but for its 3 cached tokens.
                bool first = Interlocked.Increment(ref submitted) % 2 == 1;
                reply.Finish(timing: first ? new(0.5, 1, 0.001, 9) : new(0.00125, 0.25, 2.5, 3.75), cached: first ? 3 : reply.Request.PromptTokens.Length);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        JsonElement plain = await host.PostJsonAsync(path, $"{{{body},\"n\":2}}");
        JsonElement whole = await host.PostJsonAsync(path, $"{{{body},\"n\":2,\"timing\":true}}");
        using HttpResponseMessage streamed = await host.PostAsync(path, $"{{{body},\"n\":2,\"timing\":true,\"stream\":true}}");
        JsonElement last = SseReader.Chunks(await streamed.Content.ReadAsStringAsync())[^1];

        Assert.False(plain.TryGetProperty("timing", out _));
        int prompt = whole.GetProperty("usage").GetProperty("prompt_tokens").GetInt32();
        string expected = $$"""{"queue_ms":1.25,"prefill_ms":250,"decode_ms":2500,"prompt_tokens_computed":{{prompt - 3}},"prompt_tokens_cached":3,"mean_batch":3.75}""";
        Assert.Equal(expected, whole.GetProperty("timing").GetRawText());
        Assert.Equal(expected, last.GetProperty("timing").GetRawText());
        Assert.Equal(0, last.GetProperty("choices").GetArrayLength());
    }

    [Theory]
    [InlineData("/v1/responses", "\"model\":\"scripted\",\"input\":\"Hi\"")]
    [InlineData("/v1/responses/compact", "\"model\":\"scripted\",\"input\":\"Hi\"")]
    [InlineData("/v1/messages", "\"model\":\"scripted\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/api/chat", "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/api/generate", "\"model\":\"scripted\",\"prompt\":\"Hi\"")]
    [InlineData("/api/generate", "\"model\":\"scripted\",\"prompt\":\"Hi\",\"raw\":true")]
    public async Task Every_dialect_says_where_the_time_went_when_asked(string path, string body)
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("Hello");
                reply.Finish(timing: new(0.00125, 0.25, 2.5, 3.75), cached: 1);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        JsonElement plain = await host.PostJsonAsync(path, $"{{{body},\"stream\":false}}");
        JsonElement whole = await host.PostJsonAsync(path, $"{{{body},\"stream\":false,\"timing\":true}}");
        Assert.False(plain.TryGetProperty("timing", out _));
        Assert.Equal((1.25, 250, 2500, 1, 3.75), Read(whole.GetProperty("timing")));
        if (path.StartsWith("/api", StringComparison.Ordinal))
            Assert.Equal((250_000_000, 2_500_000_000), (whole.GetProperty("prompt_eval_duration").GetInt64(), whole.GetProperty("eval_duration").GetInt64()));
        if (path.EndsWith("compact", StringComparison.Ordinal))
            return;
        using HttpResponseMessage streamed = await host.PostAsync(path, $"{{{body},\"stream\":true,\"timing\":true}}");
        string line = Assert.Single((await streamed.Content.ReadAsStringAsync()).Split('\n'), line => line.Contains("\"timing\"", StringComparison.Ordinal));
        JsonElement last = JsonDocument.Parse(line[line.IndexOf('{')..]).RootElement;
        Assert.Equal((1.25, 250, 2500, 1, 3.75), Read((last.TryGetProperty("response", out JsonElement response) && response.ValueKind == JsonValueKind.Object ? response : last).GetProperty("timing")));

        static (double, double, double, int, double) Read(JsonElement timing) => (timing.GetProperty("queue_ms").GetDouble(), timing.GetProperty("prefill_ms").GetDouble(),
            timing.GetProperty("decode_ms").GetDouble(), timing.GetProperty("prompt_tokens_cached").GetInt32(), timing.GetProperty("mean_batch").GetDouble());
    }
}

/// <summary>The same from a model that computes.</summary>
public sealed class MeasuredTimingTests(TinyServer server) : IClassFixture<TinyServer>
{
    [Fact]
    public async Task A_real_request_has_real_times_and_its_second_run_finds_its_prompt_cached()
    {
        string body = $$"""{"model":"{{server.Model.Id}}","messages":[{"role":"user","content":"Where does the time go, and who counts it?"}],"max_tokens":8,"ignore_eos":true,"timing":true}""";
        JsonElement first = (await server.Host.PostJsonAsync("/v1/chat/completions", body)).GetProperty("timing");
        JsonElement answer = await server.Host.PostJsonAsync("/v1/chat/completions", body);
        JsonElement second = answer.GetProperty("timing");

        Assert.All((string[])["queue_ms", "prefill_ms", "decode_ms"], name => Assert.True(first.GetProperty(name).GetDouble() >= 0));
        Assert.True(first.GetProperty("prefill_ms").GetDouble() > 0);
        Assert.True(first.GetProperty("decode_ms").GetDouble() > 0);
        Assert.Equal(1, first.GetProperty("mean_batch").GetDouble());
        Assert.Equal(1, second.GetProperty("prompt_tokens_computed").GetInt32());
        Assert.Equal(answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32() - 1, second.GetProperty("prompt_tokens_cached").GetInt32());
    }
}
