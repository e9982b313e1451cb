using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;
using InferenceServer.Tests.Spec;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api;

/// <summary>Chat completions that a client asked to keep.</summary>
public sealed class StoredCompletionTests
{
    private const string Path = "/v1/chat/completions";
    private const string Hi = "\"model\":\"scripted\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Hi\"}],\"store\":true";

    private static async Task<(int Status, JsonElement Body)> SendAsync(TestHost host, HttpMethod method, string path, string? body = null, string? key = null)
    {
        using HttpRequestMessage request = new(method, new Uri(path, UriKind.Relative));
        if (body is not null)
            request.Content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        if (key is not null)
            request.Headers.Add("x-api-key", key);
        using HttpResponseMessage answer = await host.Client.SendAsync(request);
        JsonElement json = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        OpenAISpec.CheckAnswer(json);
        return ((int)answer.StatusCode, json);
    }

    private static string Ids(JsonElement list)
    {
        if (list.GetProperty("data").EnumerateArray().FirstOrDefault() is { ValueKind: JsonValueKind.Object } first && first.TryGetProperty("choices", out _))
            OpenAISpec.Check("ChatCompletionList", list);
        return string.Join(' ', list.GetProperty("data").EnumerateArray().Select(item => item.GetProperty("id").GetString()));
    }

    [Fact]
    public async Task A_kept_completion_is_listed_fetched_changed_and_deleted()
    {
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: store.Store);
        JsonElement first = await host.PostJsonAsync(Path, $"{{{Hi},\"metadata\":{{\"topic\":\"greeting\"}}}}");
        JsonElement second = await host.PostJsonAsync(Path, $"{{{Hi}}}");
        JsonElement unstored = await host.PostJsonAsync(Path, $"{{{Hi.Replace("true", "false", StringComparison.Ordinal)}}}");
        string a = first.GetProperty("id").GetString()!, b = second.GetProperty("id").GetString()!;

        Assert.Equal($"{a} {b}", Ids((await SendAsync(host, HttpMethod.Get, Path)).Body));
        Assert.Equal($"{b} {a}", Ids((await SendAsync(host, HttpMethod.Get, Path + "?order=desc")).Body));
        JsonElement page = (await SendAsync(host, HttpMethod.Get, Path + "?limit=1")).Body;
        Assert.Equal((a, true, a, a), (Ids(page), page.GetProperty("has_more").GetBoolean(), page.GetProperty("first_id").GetString(), page.GetProperty("last_id").GetString()));
        Assert.Equal(b, Ids((await SendAsync(host, HttpMethod.Get, $"{Path}?after={a}&model=scripted")).Body));
        Assert.Equal(a, Ids((await SendAsync(host, HttpMethod.Get, Path + "?metadata[topic]=greeting")).Body));
        Assert.Equal("", Ids((await SendAsync(host, HttpMethod.Get, Path + "?model=other")).Body));
        Assert.Equal(404, (await SendAsync(host, HttpMethod.Get, $"{Path}/{unstored.GetProperty("id").GetString()}")).Status);

        JsonElement fetched = (await SendAsync(host, HttpMethod.Get, $"{Path}/{a}")).Body;
        Assert.True(JsonElement.DeepEquals(first, fetched), fetched.GetRawText());
        JsonElement messages = (await SendAsync(host, HttpMethod.Get, $"{Path}/{a}/messages?limit=1")).Body;
        Assert.Equal(("system", "Be brief.", true), (messages.GetProperty("data")[0].GetProperty("role").GetString(),
            messages.GetProperty("data")[0].GetProperty("content").GetString(), messages.GetProperty("has_more").GetBoolean()));
        JsonElement rest = (await SendAsync(host, HttpMethod.Get, $"{Path}/{a}/messages?after={messages.GetProperty("last_id").GetString()}")).Body;
        Assert.Equal("Hi", Assert.Single(rest.GetProperty("data").EnumerateArray()).GetProperty("content").GetString());

        JsonElement updated = (await SendAsync(host, HttpMethod.Post, $"{Path}/{a}", """{"metadata":{"topic":"other"}}""")).Body;
        Assert.Equal("other", updated.GetProperty("metadata").GetProperty("topic").GetString());
        (int refused, JsonElement missing) = await SendAsync(host, HttpMethod.Post, $"{Path}/{a}", "{}");
        Assert.Equal((400, "metadata", "missing_required_parameter"), (refused, missing.GetProperty("error").GetProperty("param").GetString(), missing.GetProperty("error").GetProperty("code").GetString()));
        Assert.Equal("other", (await SendAsync(host, HttpMethod.Get, $"{Path}/{a}")).Body.GetProperty("metadata").GetProperty("topic").GetString());
        Assert.Equal("", Ids((await SendAsync(host, HttpMethod.Get, Path + "?metadata[topic]=greeting")).Body));

        (int status, JsonElement deletion) = await SendAsync(host, HttpMethod.Delete, $"{Path}/{a}");
        Assert.Equal((200, "chat.completion.deleted", true), (status, deletion.GetProperty("object").GetString(), deletion.GetProperty("deleted").GetBoolean()));
        Assert.Equal(404, (await SendAsync(host, HttpMethod.Get, $"{Path}/{a}")).Status);
        Assert.Equal(404, (await SendAsync(host, HttpMethod.Delete, $"{Path}/{a}")).Status);
        Assert.Equal(404, (await SendAsync(host, HttpMethod.Post, $"{Path}/{a}", """{"metadata":{}}""")).Status);

        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        // Two kept, one changed, one deleted, and two that found nothing to change.
        Assert.Contains("inference_store_writes_total{outcome=\"made\"} 6", metrics, StringComparison.Ordinal);
        Assert.Matches("inference_store_bytes [1-9]", metrics);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task A_stream_is_kept_as_what_it_said_with_reasoning_and_calls(int choices)
    {
        const string Reply = "<think>\nHm.\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(
            new ScriptedEngine { Script = script => script.SayAsync([.. Reply.Chunk(3).Select(part => new string(part))]) }, store: store.Store,
            replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));
        using HttpResponseMessage answer = await host.PostAsync(Path,
            $"{{{Hi},\"n\":{choices},\"stream\":true,\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"now\"}}}}]}}");
        List<JsonElement> chunks = SseReader.Chunks(await answer.Content.ReadAsStringAsync());
        Assert.Equal(choices, chunks.Count(chunk => chunk.GetProperty("choices")[0].GetProperty("finish_reason").ValueKind == JsonValueKind.String));

        JsonElement kept = (await SendAsync(host, HttpMethod.Get, $"{Path}/{chunks[0].GetProperty("id").GetString()}")).Body;
        Assert.Equal(choices, kept.GetProperty("choices").GetArrayLength());
        foreach (JsonElement choice in kept.GetProperty("choices").EnumerateArray())
        {
            JsonElement message = choice.GetProperty("message"), function = message.GetProperty("tool_calls")[0].GetProperty("function");
            Assert.Equal(("tool_calls", "One moment.", "Hm.", "now", "{\"a\": 1}"), (choice.GetProperty("finish_reason").GetString(), message.GetProperty("content").GetString(),
                message.GetProperty("reasoning_content").GetString(), function.GetProperty("name").GetString(), function.GetProperty("arguments").GetString()));
        }
    }

    [Fact]
    public async Task A_stream_whose_completion_cannot_be_stored_ends_with_an_error_and_without_an_end()
    {
        TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: store.Store);
        await store.DisposeAsync();
        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},\"stream\":true}}");
        string stream = await answer.Content.ReadAsStringAsync();
        Assert.Contains("world", stream, StringComparison.Ordinal);
        Assert.Contains("\"error\"", stream, StringComparison.Ordinal);
        Assert.DoesNotContain("\"finish_reason\":\"stop\"", stream, StringComparison.Ordinal);
        Assert.DoesNotContain("[DONE]", stream, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_completion_that_failed_is_not_kept()
    {
        await using TempStore store = new();
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("partial");
                reply.Finish(FinishReason.Failed, error: "decode returned -3");
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine, store: store.Store);
        using (await host.PostAsync(Path, $"{{{Hi}}}"))
        using (HttpResponseMessage streamed = await host.PostAsync(Path, $"{{{Hi},\"stream\":true}}"))
            await streamed.Content.ReadAsStringAsync();
        Assert.Equal("", Ids((await SendAsync(host, HttpMethod.Get, Path)).Body));
    }

    [Fact]
    public async Task Each_key_sees_its_own_completions()
    {
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: store.Store, access: new AccessOptions { Keys = new ApiKeyRing(["alice", "bob"]) });
        string id = (await SendAsync(host, HttpMethod.Post, Path, $"{{{Hi}}}", "alice")).Body.GetProperty("id").GetString()!;
        Assert.Equal(id, Ids((await SendAsync(host, HttpMethod.Get, Path, key: "alice")).Body));
        Assert.Equal("", Ids((await SendAsync(host, HttpMethod.Get, Path, key: "bob")).Body));
        Assert.Equal(404, (await SendAsync(host, HttpMethod.Get, $"{Path}/{id}", key: "bob")).Status);
    }

    [Theory]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=101", "limit")]
    [InlineData("limit=x", "limit")]
    [InlineData("order=up", "order")]
    [InlineData("after=nothing", "after")]
    public async Task A_wrong_page_is_named(string query, string param)
    {
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: store.Store);
        (int status, JsonElement body) = await SendAsync(host, HttpMethod.Get, $"{Path}?{query}");
        Assert.Equal((400, param), (status, body.GetProperty("error").GetProperty("param").GetString()));
    }

    [Fact]
    public async Task A_server_without_a_data_directory_says_so()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        (int refused, JsonElement body) = await SendAsync(host, HttpMethod.Post, Path, $"{{{Hi}}}");
        Assert.Equal((400, "store"), (refused, body.GetProperty("error").GetProperty("param").GetString()));
        (int off, body) = await SendAsync(host, HttpMethod.Get, Path);
        Assert.Equal((400, "store_off"), (off, body.GetProperty("error").GetProperty("code").GetString()));
    }
}
