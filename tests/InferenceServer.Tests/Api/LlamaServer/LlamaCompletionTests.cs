using System.Text.Json;
using InferenceServer.Engine;

namespace InferenceServer.Tests.Api.LlamaServer;

/// <summary>POST /completion at its border to a scripted engine, in llama-server's shapes.</summary>
public sealed class LlamaCompletionTests
{
    private const string Path = "/completion";

    [Fact]
    public async Task A_whole_reply_says_how_it_ended_and_what_it_cost()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("one ");
                reply.Token("two");
                reply.Finish(cached: 3, timing: new GenerationTiming(0, 0.5, 0.25, 1), stop: "END");
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        JsonElement answer = await host.PostJsonAsync(Path, """{"prompt":"Hello","n_predict":9,"stop":["END"],"seed":5,"top_k":3,"repeat_penalty":1.5}""");
        Assert.Equal(("one two", true, "scripted", "word", "END", false),
            (answer.GetProperty("content").GetString(), answer.GetProperty("stop").GetBoolean(), answer.GetProperty("model").GetString(), answer.GetProperty("stop_type").GetString(), answer.GetProperty("stopping_word").GetString(), answer.GetProperty("truncated").GetBoolean()));
        Assert.Equal((2, 5, 3), (answer.GetProperty("tokens_predicted").GetInt32(), answer.GetProperty("tokens_evaluated").GetInt32(), answer.GetProperty("tokens_cached").GetInt32()));
        JsonElement timings = answer.GetProperty("timings");
        Assert.Equal((2, 500, 250, 4, 4), (timings.GetProperty("prompt_n").GetInt32(), timings.GetProperty("prompt_ms").GetDouble(), timings.GetProperty("prompt_per_token_ms").GetDouble(), timings.GetProperty("prompt_per_second").GetDouble(), timings.GetProperty("predicted_per_second").GetDouble()));
        GenerationRequest asked = Assert.Single(engine.Submitted).Request;
        Assert.Equal((9, 5UL, 3, 1.5f, 0.8f, 0.95f, 0.05f), (asked.MaxTokens, asked.Sampling.Seed, asked.Sampling.TopK, asked.Sampling.RepetitionPenalty, asked.Sampling.Temperature, asked.Sampling.TopP, asked.Sampling.MinP));
    }

    [Fact]
    public async Task A_stream_is_pieces_and_an_end_without_DONE()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync("one ", "two") });
        using HttpResponseMessage answer = await host.PostAsync(Path, """{"prompt":[72,105],"stream":true}""");
        string[] events = (await answer.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["{\"index\":0,\"content\":\"one \",\"stop\":false}", "{\"index\":0,\"content\":\"two\",\"stop\":false}"], events[..^1].Select(sent => sent["data: ".Length..]));
        JsonElement end = JsonDocument.Parse(events[^1]["data: ".Length..]).RootElement;
        Assert.Equal(("", true, "eos", 2), (end.GetProperty("content").GetString(), end.GetProperty("stop").GetBoolean(), end.GetProperty("stop_type").GetString(), end.GetProperty("tokens_evaluated").GetInt32()));
    }

    [Fact]
    public async Task A_stream_that_fails_midway_ends_in_an_error()
    {
        (ScriptedEngine engine, Action fail) = ScriptedEngine.FailingMidway();
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(Path, """{"prompt":"Hi","stream":true}""");
        fail();
        Assert.Contains("data: {\"error\":{\"code\":500,", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}", 400, "invalid_request_error", "'prompt'")]
    [InlineData("{\"prompt\":[\"a\",\"b\"]}", 400, "invalid_request_error", "'prompt'")]
    [InlineData("{\"prompt\":\"a\",\"n_predict\":-2}", 400, "invalid_request_error", "'n_predict'")]
    [InlineData("{\"prompt\":\"a\",\"grammar\":\"root ::= \\\"a\\\"\",\"json_schema\":{}}", 400, "invalid_request_error", "'json_schema'")]
    [InlineData("{\"prompt\":\"a\",\"grammar\":\"root\"}", 400, "invalid_request_error", "'grammar'")]
    [InlineData("{\"prompt\":\"a\",\"model\":\"other\"}", 404, "not_found_error", "other")]
    public async Task A_wrong_request_is_told_in_this_dialects_shape(string body, int status, string type, string named)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync(Path, body);
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal((status, status, type), ((int)answer.StatusCode, error.GetProperty("code").GetInt32(), error.GetProperty("type").GetString()));
        Assert.Contains(named, error.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Properties_are_those_of_the_model_of_the_start()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine { ContextLength = 512 });
        JsonElement properties = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/props", UriKind.Relative))).RootElement;
        Assert.Equal((512, "scripted", false), (properties.GetProperty("default_generation_settings").GetProperty("n_ctx").GetInt32(), properties.GetProperty("model_alias").GetString(), properties.GetProperty("modalities").GetProperty("vision").GetBoolean()));
        Assert.False(properties.TryGetProperty("model_path", out _));
    }
}
