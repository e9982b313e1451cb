using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Api.Responses;

namespace InferenceServer.Tests.Operations;

/// <summary>GET /v1/requests: the latest requests to models, each key's own, with their numbers and without a word of them.</summary>
public sealed class RecentRequestsTests
{
    private const string Path = "/v1/requests";
    private const string Chat = "/v1/chat/completions";

    private static string Body(string text, string more = "") => $"{{\"model\":\"scripted\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]{more}}}";

    private static async Task<(List<JsonElement> Requests, string Text)> ListAsync(TestHost host, string query = "", string? key = null)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, new Uri(Path + query, UriKind.Relative));
        if (key is not null)
            request.Headers.Add("x-api-key", key);
        using HttpResponseMessage answer = await host.Client.SendAsync(request);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        return ([.. JsonDocument.Parse(text).RootElement.GetProperty("data").EnumerateArray()], text);
    }

    private static string Line(JsonElement request) =>
        $"{request.GetProperty("endpoint").GetString()} {request.GetProperty("status")} {request.GetProperty("outcome").GetString()} {request.GetProperty("model").GetString()} stream={request.GetProperty("stream").GetBoolean()} "
        + $"{request.GetProperty("prompt_tokens")}/{request.GetProperty("cached_tokens")}/{request.GetProperty("completion_tokens")}";

    [Fact]
    public async Task Requests_are_listed_with_what_they_took_the_newest_first_and_nothing_that_was_said()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("a-secret-word");
                reply.Finish(timing: new GenerationTiming(0.001, 0.002, 0.003, 1));
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        (await host.PostAsync(Chat, Body("another-secret"))).Dispose();
        using (HttpResponseMessage streamed = await host.PostAsync(Chat, Body("another-secret", ",\"stream\":true")))
            _ = await streamed.Content.ReadAsStringAsync();
        (await host.PostAsync(Chat, Body("another-secret", ",\"temperature\":9"))).Dispose();
        (await host.PostAsync("/v1/completions", "{\"model\":\"scripted\",\"prompt\":\"another-secret\"}")).Dispose();
        engine.Refuse = _ => new EngineQueueFullException(7, TimeSpan.FromSeconds(1));
        (await host.PostAsync(Chat, Body("another-secret"))).Dispose();
        (await host.PostAsync("/tokenize", "{\"content\":\"no work for a model\"}")).Dispose();

        List<JsonElement> requests = [];
        string text = "";
        // An answer is out a moment before its request has ended.
        await Eventually.HoldsAsync(async () =>
        {
            (requests, text) = await ListAsync(host);
            return requests.Count == 5 && requests.TrueForAll(request => request.GetProperty("outcome").GetString() != "running");
        });
        Assert.Equal(
        [
            $"{Chat} 429 queue_full scripted stream=False 33/0/0", "/v1/completions 200 ok scripted stream=False 14/3/1", $"{Chat} 400 client_error  stream=False 0/0/0",
            $"{Chat} 200 ok scripted stream=True 33/3/1", $"{Chat} 200 ok scripted stream=False 33/3/1",
        ], [.. requests.Select(Line)]);
        Assert.DoesNotContain("secret", text, StringComparison.Ordinal);
        JsonElement first = requests[^1];
        Assert.Equal((1, 2, 3, 0), (first.GetProperty("queue_ms").GetDouble(), first.GetProperty("prefill_ms").GetDouble(), first.GetProperty("decode_ms").GetDouble(), first.GetProperty("preemptions").GetInt32()));
        Assert.True(first.GetProperty("first_token_ms").GetDouble() <= first.GetProperty("total_ms").GetDouble());
        Assert.True(first.GetProperty("created_at").GetDouble() > 1.7e9);
        Assert.StartsWith("req_", first.GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.Equal(3, first.GetProperty("cache").GetProperty("cached_tokens").GetInt32());
        Assert.Equal(JsonValueKind.Null, requests[0].GetProperty("cache").ValueKind);
        Assert.Equal(2, (await ListAsync(host, "?limit=2")).Requests.Count);
        foreach (string wrong in (string[])["0", "257", "x"])
            await ErrorTests.AssertErrorAsync(await host.Client.GetAsync(new Uri($"{Path}?limit={wrong}", UriKind.Relative)), 400, "limit", "out_of_range");
    }

    [Fact]
    public async Task What_runs_is_there_and_a_background_response_is_one_entry_under_its_own_id()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        string id = (await host.CreateAsync("\"input\":\"Hi\",\"background\":true")).GetProperty("id").GetString()!;
        JsonElement running = default;
        await Eventually.HoldsAsync(async () => (running = Assert.Single((await ListAsync(host.Host)).Requests)).GetProperty("completion_tokens").GetInt32() == 1);
        Assert.Equal(("running", id, JsonValueKind.Null), (running.GetProperty("outcome").GetString(), running.GetProperty("id").GetString(), running.GetProperty("status").ValueKind));
        held.Release();
        await Eventually.HoldsAsync(async () => Line(Assert.Single((await ListAsync(host.Host)).Requests)) == "/v1/responses 200 ok scripted stream=False 21/3/2");
        Held stopped = new();
        host.Engine.Script = stopped.Engine.Script;
        string other = (await host.CreateAsync("\"input\":\"Hi\",\"background\":true")).GetProperty("id").GetString()!;
        _ = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/{other}/cancel", "Response");
        Assert.Equal("cancelled", (await ListAsync(host.Host)).Requests[0].GetProperty("outcome").GetString());
    }

    [Fact]
    public async Task Who_waits_in_the_models_queue_is_told_its_place_until_it_begins()
    {
        ScriptedEngine engine = new() { Script = reply => reply.UntilCancelledAsync() };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        string id = (await host.CreateAsync("\"input\":\"Hi\",\"background\":true")).GetProperty("id").GetString()!;
        Generation response = Assert.Single(engine.Submitted);
        Assert.Null(await PlaceAsync());
        response.Queued(3);
        Assert.Equal(3, await PlaceAsync());
        response.Begun();
        Assert.Null(await PlaceAsync());
        response.Queued(1);
        _ = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/{id}/cancel", "Response");
        Assert.Null(await PlaceAsync());

        // Of several choices the first to come: who asked waits no longer than for that.
        Task<HttpResponseMessage> chat = host.Host.PostAsync(Chat, Body("Hi", ",\"n\":2"));
        await Eventually.HoldsAsync(() => engine.Submitted.Count == 3);
        Generation[] choices = [.. engine.Submitted.Skip(1)];
        choices[0].Queued(5);
        choices[1].Queued(4);
        await Eventually.HoldsAsync(async () => await PlaceAsync() == 4);
        choices[0].Begun();
        Assert.Null(await PlaceAsync());
        Array.ForEach(choices, choice => choice.Cancel());
        (await chat).Dispose();

        async Task<int?> PlaceAsync() => (await ListAsync(host.Host)).Requests[0].GetProperty("queue_position") is { ValueKind: JsonValueKind.Number } place ? place.GetInt32() : null;
    }

    [Fact]
    public async Task Each_key_has_its_own_and_no_more_than_are_kept()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), access: new AccessOptions { Keys = new ApiKeyRing(["first", "second"]) });
        for (int i = 0; i < RecentRequests.Kept + 3; i++)
            await PostAsync("first", $"r{i}");
        await PostAsync("second", "mine");
        await PostAsync("wrong", "nobodys");
        Assert.Equal("mine", Assert.Single((await ListAsync(host, key: "second")).Requests).GetProperty("id").GetString());
        List<JsonElement> first = (await ListAsync(host, $"?limit={RecentRequests.Kept}", "first")).Requests;
        Assert.Equal((RecentRequests.Kept, $"r{RecentRequests.Kept + 2}", "r3"), (first.Count, first[0].GetProperty("id").GetString(), first[^1].GetProperty("id").GetString()));
        await ErrorTests.AssertErrorAsync(await host.Client.GetAsync(new Uri(Path, UriKind.Relative)), 401, null, "invalid_api_key");

        async Task PostAsync(string key, string id)
        {
            using HttpRequestMessage request = new(HttpMethod.Post, Chat) { Content = new StringContent("{}", Encoding.UTF8, "application/json") };
            request.Headers.Add("x-api-key", key);
            request.Headers.Add("X-Request-Id", id);
            (await host.Client.SendAsync(request)).Dispose();
        }
    }
}
