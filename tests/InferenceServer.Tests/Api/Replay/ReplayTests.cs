using System.Net;
using System.Text;
using InferenceServer.Engine;
using InferenceServer.Operations;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api.Replay;

/// <summary>Answers asked for again: by a retry with the same key, and by a reader that lost its stream.</summary>
public sealed class ReplayTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Whole = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
    private const string Streamed = "{\"model\":\"scripted\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

    private static readonly (string, string) Key = ("Idempotency-Key", "retry-1");

    [Theory]
    [InlineData(Chat, Whole)]
    [InlineData(Chat, Streamed)]
    [InlineData("/v1/completions", "{\"model\":\"scripted\",\"prompt\":\"x\",\"stream\":true,\"n\":2}")]
    [InlineData(Chat, "{\"model\":\"scripted\",\"surprise\":1,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}")]
    public async Task A_retry_gets_the_first_answer_byte_for_byte_and_generates_nothing(string path, string body)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);

        using HttpResponseMessage first = await SendAsync(host, path, body, Key);
        byte[] expected = await first.Content.ReadAsByteArrayAsync();
        int generated = engine.Submitted.Count;
        using HttpResponseMessage again = await SendAsync(host, path, body, Key);

        Assert.Equal(HttpStatusCode.OK, first.StatusCode);
        Assert.Equal(expected, await again.Content.ReadAsByteArrayAsync());
        Assert.Equal(generated, engine.Submitted.Count);
        Assert.Equal(first.Content.Headers.ContentType, again.Content.Headers.ContentType);
        Assert.Equal(Header(first, "x-ignored-params"), Header(again, "x-ignored-params"));
        Assert.Equal((null, "true"), (Header(first, "x-idempotent-replayed"), Header(again, "x-idempotent-replayed")));
        Assert.NotEqual(Header(first, "x-request-id"), Header(again, "x-request-id"));
    }

    [Fact]
    public async Task A_plain_request_is_not_recorded_and_its_events_have_no_ids()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await SendAsync(host, Chat, Streamed);
        Assert.DoesNotContain("id: ", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Null(Header(answer, "x-stream-id"));
    }

    [Fact]
    public async Task A_retry_joins_the_answer_that_still_runs_and_keeps_it_running_when_the_first_client_goes()
    {
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new() { Script = reply => BeginAndEndAsync(reply, release.Task) };
        await using TestHost host = await TestHost.StartAsync(engine);

        HttpResponseMessage first = await SendAsync(host, Chat, Streamed, Key);
        StringBuilder seen = new();
        await ReadUntilAsync(await first.Content.ReadAsStreamAsync(), seen, "begin");
        using HttpResponseMessage second = await SendAsync(host, Chat, Streamed, Key);
        Stream stream = await second.Content.ReadAsStreamAsync();
        StringBuilder all = new();
        await ReadUntilAsync(stream, all, "begin");
        first.Dispose();
        release.SetResult();
        await ReadUntilAsync(stream, all, "[DONE]\n\n");

        Assert.StartsWith(seen.ToString(), all.ToString(), StringComparison.Ordinal);
        Assert.Contains("end", all.ToString(), StringComparison.Ordinal);
        Assert.False(Assert.Single(engine.Submitted).CancelRequested);
    }

    [Fact]
    public async Task A_retry_of_an_answer_in_one_piece_waits_for_the_first()
    {
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new() { Script = reply => BeginAndEndAsync(reply, release.Task) };
        await using TestHost host = await TestHost.StartAsync(engine);

        Task<HttpResponseMessage> first = SendAsync(host, Chat, Whole, Key);
        await Eventually.HoldsAsync(() => engine.Submitted.Count == 1);
        Task<HttpResponseMessage> second = SendAsync(host, Chat, Whole, Key);
        await UntilMetricAsync(host, "inference_replays_total{outcome=\"joined\"} 1");
        release.SetResult();

        Assert.Equal(await (await first).Content.ReadAsStringAsync(), await (await second).Content.ReadAsStringAsync());
        Assert.Single(engine.Submitted);
    }

    [Fact]
    public async Task A_key_with_another_body_is_refused_and_another_path_or_owner_is_another_request()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine, access: new AccessOptions { Keys = new ApiKeyRing(["one", "two"]) });
        (string, string) one = ("x-api-key", "one"), two = ("x-api-key", "two");
        (await SendAsync(host, Chat, Whole, Key, one)).Dispose();

        await ErrorTests.AssertErrorAsync(await SendAsync(host, Chat, Whole + " ", Key, one), 422, "Idempotency-Key", "idempotency_key_reused");
        Assert.Single(engine.Submitted);
        (await SendAsync(host, Chat, Whole + " ", Key, two)).EnsureSuccessStatusCode().Dispose();
        (await SendAsync(host, "/apply-template", Whole + " ", Key, one)).EnsureSuccessStatusCode().Dispose();
        Assert.Equal(2, engine.Submitted.Count);
        await ErrorTests.AssertErrorAsync(await SendAsync(host, Chat, Whole, Key), 401, null, "invalid_api_key");
    }

    [Theory]
    [InlineData("Idempotency-Key", "two words")]
    [InlineData("X-Disconnect-Grace-Ms", "soon")]
    [InlineData("X-Disconnect-Grace-Ms", "600001")]
    [InlineData("Last-Event-ID", "7")]
    public async Task A_header_that_cannot_be_meant_is_refused_by_name(string name, string value)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        HttpResponseMessage answer = await SendAsync(host, Chat, Streamed, (name, value));
        Assert.Equal(name, (await ErrorTests.AssertErrorAsync(answer, 400, name, name.StartsWith('X') ? "out_of_range" : "invalid_value")).GetProperty("param").GetString());
    }

    [Fact]
    public async Task What_failed_is_tried_again_by_the_retry()
    {
        ScriptedEngine engine = new() { Refuse = number => number == 1 ? new EngineQueueFullException(1, TimeSpan.FromSeconds(1)) : null };
        await using TestHost host = await TestHost.StartAsync(engine);

        HttpResponseMessage full = await SendAsync(host, Chat, Whole, Key);
        Assert.NotNull(full.Headers.RetryAfter);
        await ErrorTests.AssertErrorAsync(full, 429, null, "queue_full");
        (await SendAsync(host, Chat, Whole, Key)).EnsureSuccessStatusCode().Dispose();
        await ErrorTests.AssertErrorAsync(await SendAsync(host, Chat, "{", ("Idempotency-Key", "other")), 400, null, "invalid_json");
        (await SendAsync(host, Chat, Whole, ("Idempotency-Key", "other"))).EnsureSuccessStatusCode().Dispose();
        await ErrorTests.AssertErrorAsync(await SendAsync(host, "/nowhere", Whole, Key), 404, null, "unknown_url");
    }

    [Fact]
    public async Task A_stream_that_fails_midway_says_so_and_is_not_kept()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("partial");
                reply.Finish(FinishReason.Failed, error: "decode returned -3");
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpResponseMessage answer = await SendAsync(host, Chat, Streamed, Key);
        string stream = await answer.Content.ReadAsStringAsync();
        Assert.Contains("generation_failed", stream, StringComparison.Ordinal);
        engine.Script = reply => reply.SayAsync("whole");
        using HttpResponseMessage again = await SendAsync(host, Chat, Streamed, Key);
        Assert.Contains("whole", await again.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task When_its_reader_goes_a_generation_stops_at_once_and_the_retry_starts_over()
    {
        ScriptedEngine engine = new() { Script = reply => BeginUntilCancelledAsync(reply) };
        await using TestHost host = await TestHost.StartAsync(engine);
        HttpResponseMessage first = await SendAsync(host, Chat, Streamed, Key);
        string lastId = await ReadOneIdAsync(first);
        first.Dispose();
        await Eventually.HoldsAsync(() => engine.Submitted.Single().CancelRequested);

        await ErrorTests.AssertErrorAsync(await SendAsync(host, Chat, Streamed, Key, ("Last-Event-ID", lastId)), 404, null, "stream_not_found");
        Assert.Single(engine.Submitted);
        engine.Script = reply => reply.SayAsync("whole");
        using HttpResponseMessage again = await SendAsync(host, Chat, Streamed, Key);
        Assert.Contains("whole", await again.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public async Task A_stream_whose_reader_goes_runs_on_when_asked_and_is_resumed_without_gap_or_repeat(bool withKey, bool byGet)
    {
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new() { Script = reply => BeginAndEndAsync(reply, release.Task) };
        await using TestHost host = await TestHost.StartAsync(engine);
        (string, string)[] headers = withKey ? [Key, ("X-Disconnect-Grace-Ms", "60000")] : [("X-Disconnect-Grace-Ms", "60000")];

        HttpResponseMessage first = await SendAsync(host, Chat, Streamed, headers);
        string streamId = Header(first, "x-stream-id")!;
        StringBuilder before = new();
        await ReadUntilAsync(await first.Content.ReadAsStreamAsync(), before, "begin");
        string[] got = before.ToString().Split("\n\n")[..^1];
        string lastId = got[^1].Split('\n')[0]["id: ".Length..];
        first.Dispose();
        await UntilMetricAsync(host, "inference_readerless_generations 1");
        Assert.False(engine.Submitted.Single().CancelRequested);

        using HttpResponseMessage rest = byGet
            ? await GetAsync(host, $"/v1/streams/{streamId}", ("Last-Event-ID", lastId))
            : await SendAsync(host, Chat, Streamed, [.. headers, ("Last-Event-ID", lastId)]);
        release.SetResult();
        string after = await rest.Content.ReadAsStringAsync();

        using HttpResponseMessage all = await GetAsync(host, $"/v1/streams/{streamId}");
        Assert.Equal(string.Concat(got.Select(one => one + "\n\n")) + after, await all.Content.ReadAsStringAsync());
        Assert.Equal("text/event-stream", rest.Content.Headers.ContentType!.MediaType);
        Assert.EndsWith("[DONE]\n\n", after, StringComparison.Ordinal);
        await UntilMetricAsync(host, "inference_readerless_generations_total{outcome=\"resumed\"} 1");
        await UntilMetricAsync(host, "inference_readerless_generations 0");
        Assert.False(Assert.Single(engine.Submitted).CancelRequested);
    }

    [Fact]
    public async Task The_time_that_a_generation_runs_on_is_limited_to_what_was_asked()
    {
        FakeTimeProvider clock = new(TestHost.Created);
        ScriptedEngine engine = new() { Script = reply => BeginUntilCancelledAsync(reply) };
        await using TestHost host = await TestHost.StartAsync(engine, clock);
        HttpResponseMessage first = await SendAsync(host, Chat, Streamed, ("X-Disconnect-Grace-Ms", "5000"));
        string lastId = await ReadOneIdAsync(first);
        first.Dispose();
        Generation generation = engine.Submitted.Single();
        await Eventually.PassesUntilAsync(clock, () => generation.CancelRequested);

        Assert.True(clock.GetUtcNow() - TestHost.Created >= TimeSpan.FromSeconds(5));
        await ErrorTests.AssertErrorAsync(await GetAsync(host, $"/v1/streams/{lastId[..lastId.IndexOf('.', StringComparison.Ordinal)]}"), 404, null, "stream_not_found");
        await UntilMetricAsync(host, "inference_readerless_generations_total{outcome=\"cancelled\"} 1");
    }

    [Fact]
    public async Task A_stream_is_its_owners_and_can_be_deleted_while_it_runs()
    {
        ScriptedEngine engine = new() { Script = reply => BeginUntilCancelledAsync(reply) };
        await using TestHost host = await TestHost.StartAsync(engine, access: new AccessOptions { Keys = new ApiKeyRing(["one", "two"]) });
        (string, string) one = ("x-api-key", "one"), two = ("x-api-key", "two");
        HttpResponseMessage first = await SendAsync(host, Chat, Streamed, Key, one, ("X-Disconnect-Grace-Ms", "60000"));
        string id = Header(first, "x-stream-id")!;
        _ = await ReadOneIdAsync(first);

        await ErrorTests.AssertErrorAsync(await GetAsync(host, $"/v1/streams/{id}", two), 404, null, "stream_not_found");
        await ErrorTests.AssertErrorAsync(await SendAsync(host, HttpMethod.Delete, $"/v1/streams/{id}", null, two), 404, null, "stream_not_found");
        Assert.False(engine.Submitted.Single().CancelRequested);
        using HttpResponseMessage deleted = await SendAsync(host, HttpMethod.Delete, $"/v1/streams/{id}", null, one);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await Eventually.HoldsAsync(() => engine.Submitted.Single().CancelRequested);
        first.Dispose();
    }

    [Fact]
    public async Task Metrics_tell_what_was_asked_for_again_and_what_keeping_it_takes()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        for (int i = 0; i < 3; i++)
            (await SendAsync(host, Chat, Whole, Key)).Dispose();
        (await SendAsync(host, Chat, Streamed, Key)).Dispose();
        await UntilMetricAsync(host, "inference_replays_total{outcome=\"replayed\"} 2");
        await UntilMetricAsync(host, "inference_replays_total{outcome=\"refused\"} 1");
        await UntilMetricAsync(host, "inference_recorded_answers 1");
        await UntilMetricAsync(host, "inference_recorded_bytes 0", absent: true);
    }

    private static async Task BeginAndEndAsync(ScriptedReply reply, Task release)
    {
        reply.Token("begin");
        await release;
        reply.Token("middle");
        reply.Token("end");
        reply.Finish();
    }

    private static Task BeginUntilCancelledAsync(ScriptedReply reply)
    {
        reply.Token("begin");
        return reply.UntilCancelledAsync();
    }

    private static string? Header(HttpResponseMessage answer, string name) =>
        answer.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.Single() : null;

    private static Task<HttpResponseMessage> SendAsync(TestHost host, string path, string body, params (string Name, string Value)[] headers) =>
        SendAsync(host, HttpMethod.Post, path, body, headers);

    private static Task<HttpResponseMessage> GetAsync(TestHost host, string path, params (string Name, string Value)[] headers) =>
        SendAsync(host, HttpMethod.Get, path, null, headers);

    private static async Task<HttpResponseMessage> SendAsync(TestHost host, HttpMethod method, string path, string? body, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        return await host.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    private static async Task<string> ReadOneIdAsync(HttpResponseMessage answer)
    {
        StringBuilder text = new();
        await ReadUntilAsync(await answer.Content.ReadAsStreamAsync(), text, "\n\n");
        return text.ToString().Split('\n')[0]["id: ".Length..];
    }

    private static async Task ReadUntilAsync(Stream stream, StringBuilder text, string wanted)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(20));
        byte[] buffer = new byte[4096];
        while (!text.ToString().Contains(wanted, StringComparison.Ordinal) || !text.ToString().EndsWith("\n\n", StringComparison.Ordinal))
        {
            int count = await stream.ReadAsync(buffer, limit.Token);
            Assert.True(count > 0, $"the stream ended without '{wanted}': {text}");
            text.Append(Encoding.UTF8.GetString(buffer, 0, count));
        }
    }

    private static Task UntilMetricAsync(TestHost host, string line, bool absent = false) => Eventually.HoldsAsync(
        async () => (await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative))).Contains(line, StringComparison.Ordinal) != absent, $"{line} in /metrics");
}
