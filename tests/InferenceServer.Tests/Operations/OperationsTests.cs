using System.Net;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Operations;

public sealed class OperationsTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Body = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

    [Fact]
    public async Task Readiness_says_no_before_the_warm_up_when_draining_and_when_the_engine_failed()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine, warmUp: true);
        // The warm-up is two real requests, a free and a constrained one: the engine saw them before the host counted as started.
        Assert.Equal(["warm-up", "warm-up"], engine.Submitted.Select(generation => generation.Request.CacheNamespace));
        Assert.Equal([false, true], engine.Submitted.Select(generation => generation.Request.Constraint is not null));
        Assert.Equal((200, "ready"), await ProbeAsync(host, "/health/ready"));

        Assert.Contains("inference_engine_up{model=\"scripted\"} 1\n", await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
        engine.Failure = "A decode step has been running for 130 s.";
        Assert.Contains("inference_engine_up{model=\"scripted\"} 0\n", await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)), StringComparison.Ordinal);
        Assert.Equal((503, "failed"), await ProbeAsync(host, "/health/ready"));
        Assert.Equal((503, "failed"), await ProbeAsync(host, "/health/live"));
        engine.Failure = null;

        host.Service<Readiness>().Drains();
        Assert.Equal((503, "draining"), await ProbeAsync(host, "/health/ready"));
        Assert.Equal((200, "draining"), await ProbeAsync(host, "/health/live"));
    }

    [Fact]
    public async Task A_probe_that_says_not_now_is_no_error_of_the_server()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        host.Service<Readiness>().Drains();
        Assert.Equal((503, "draining"), await ProbeAsync(host, "/health/ready"));
        string metrics = "";
        await Eventually.HoldsAsync(async () => (metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative))).Contains("endpoint=\"/health/ready\"", StringComparison.Ordinal));
        Assert.DoesNotContain("server_error", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_the_server_rehearses_before_it_is_ready_is_no_users_and_counted_nowhere()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine, warmUp: true, rehearsal: TimeSpan.FromSeconds(10));
        Assert.True(engine.Submitted.Count > 2);
        Assert.All(engine.Submitted, generation => Assert.Equal("warm-up", generation.Request.CacheNamespace));
        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.DoesNotContain("endpoint=\"/v1/", metrics, StringComparison.Ordinal);
        Assert.Contains("inference_time_to_first_token_seconds_count 0", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stop_lets_running_replies_finish_before_the_web_server_closes()
    {
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                reply.Token("begin");
                await release.Task;
                reply.Token(" end");
                reply.Finish();
            },
        };
        engine.OnStop = () => release.Task;
        await using TestHost host = await TestHost.StartAsync(engine);
        Task<JsonElement> running = host.PostJsonAsync(Chat, Body);
        await Eventually.HoldsAsync(() => !engine.Submitted.IsEmpty);

        Task stopping = host.App.StopAsync();
        await engine.Stopping.Task.WaitAsync(TimeSpan.FromSeconds(10));
        engine.Refuse = _ => new EngineUnavailableException("The server is stopping.");
        await ErrorTests.AssertErrorAsync(await host.PostAsync(Chat, Body), 503, null, "unavailable");
        release.SetResult();

        Assert.Equal("begin end", (await running).GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        await stopping.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task Metrics_count_outcomes_and_copy_the_engines_own_numbers()
    {
        ScriptedEngine engine = new()
        {
            Snapshot = EngineSnapshot.Empty with
            {
                CellsTotal = 100,
                CellsFree = 40,
                CellsCached = 30,
                CellsPinned = 20,
                CellsPrivate = 10,
                PromptTokensComputed = 11,
                PromptTokensCached = 22,
                CompletionTokens = 33,
                DecodeSteps = 4,
                DecodeRows = 18,
                RunningRequests = 2,
                WaitingRequests = 3,
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        await host.PostJsonAsync(Chat, Body);
        await ErrorTests.AssertErrorAsync(await host.PostAsync(Chat, "{"), 400, null, "invalid_json");

        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));

        foreach (string line in (string[])
        [
            "inference_requests_total{endpoint=\"/v1/chat/completions\",outcome=\"ok\"} 1",
            "inference_requests_total{endpoint=\"/v1/chat/completions\",outcome=\"client_error\"} 1",
            "inference_time_to_first_token_seconds_count 1", "inference_inter_token_seconds_count 2",
            "gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"scripted\",error_type=\"\"} 1",
            "gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"\",error_type=\"client_error\"} 1",
            "gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"scripted\"} 1",
            "gen_ai_server_time_per_output_token_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_request_model=\"scripted\"} 1",
            "http_server_request_duration_seconds_count{method=\"POST\",route=\"/v1/chat/completions\",status=\"200\"} 1",
            "http_server_request_duration_seconds_count{method=\"POST\",route=\"/v1/chat/completions\",status=\"400\"} 1",
            "inference_kv_cells{model=\"scripted\",state=\"free\"} 40", "inference_kv_capacity_cells{model=\"scripted\"} 100",
            "inference_prompt_tokens_total{model=\"scripted\",source=\"cached\"} 22", "inference_completion_tokens_total{model=\"scripted\"} 33",
            "inference_decode_rows_total{model=\"scripted\"} 18", "inference_decode_steps_total{model=\"scripted\"} 4",
            "inference_requests_waiting{model=\"scripted\"} 3", "inference_requests_running{model=\"scripted\"} 2",
        ])
            Assert.Contains(line + "\n", metrics, StringComparison.Ordinal);
        Assert.Contains("\nprocess_cpu_seconds_total ", metrics, StringComparison.Ordinal);
        Assert.Contains("\ndotnet_collection_count_total{generation=\"0\"} ", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_OpenAPI_document_describes_requests_and_answers()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());

        JsonElement document = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative))).RootElement;

        JsonElement post = document.GetProperty("paths").GetProperty(Chat).GetProperty("post");
        Assert.Equal("#/components/schemas/ChatCompletionRequest", Schema(post.GetProperty("requestBody")));
        Assert.Equal("#/components/schemas/ChatCompletion", Schema(post.GetProperty("responses").GetProperty("200")));
        Assert.True(post.GetProperty("responses").GetProperty("200").GetProperty("content").TryGetProperty("text/event-stream", out _));
        Assert.Equal("#/components/schemas/ErrorResponse", Schema(post.GetProperty("responses").GetProperty("429")));
        JsonElement request = document.GetProperty("components").GetProperty("schemas").GetProperty("ChatCompletionRequest");
        Assert.Contains("messages", request.GetProperty("required").EnumerateArray().Select(name => name.GetString()));
        JsonElement properties = request.GetProperty("properties");
        Assert.Equal(2, properties.GetProperty("temperature").GetProperty("maximum").GetDouble());
        Assert.Equal("number", properties.GetProperty("temperature").GetProperty("type").GetString());
        Assert.Equal(2, properties.GetProperty("stop").GetProperty("anyOf").GetArrayLength());
    }

    [Fact]
    public async Task The_docs_page_loads_nothing_from_other_hosts()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.Client.GetAsync(new Uri("/docs", UriKind.Relative));
        string page = await answer.Content.ReadAsStringAsync();

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Contains("<script", page, StringComparison.Ordinal);
        Assert.DoesNotMatch("(src|href)=\"(https?:)?//", page);
        Assert.DoesNotContain("cdn.", page, StringComparison.Ordinal);
    }

    private static string? Schema(JsonElement body) =>
        body.GetProperty("content").GetProperty("application/json").GetProperty("schema").GetProperty("$ref").GetString();

    private static async Task<(int, string?)> ProbeAsync(TestHost host, string path)
    {
        using HttpResponseMessage answer = await host.Client.GetAsync(new Uri(path, UriKind.Relative));
        return ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("status").GetString());
    }
}
