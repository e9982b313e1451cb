using System.Text;
using System.Text.Json;
using InferenceServer.Api.Streaming;
using InferenceServer.Engine;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api;

public sealed class StreamTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Body = "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true}";

    [Fact]
    public async Task A_stream_that_fails_midway_sends_an_error_event_and_ends_without_DONE()
    {
        (ScriptedEngine engine, Action fail) = ScriptedEngine.FailingMidway();
        await using TestHost host = await TestHost.StartAsync(engine);

        using HttpResponseMessage answer = await host.PostAsync(Chat, Body);
        fail();
        string stream = await answer.Content.ReadAsStringAsync();

        Assert.True(answer.IsSuccessStatusCode);
        string[] events = stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("partial", stream, StringComparison.Ordinal);
        JsonElement error = SseReader.Parse(events[^1]).GetProperty("error");
        Assert.Equal("generation_failed", error.GetProperty("code").GetString());
        Assert.Equal(4, error.EnumerateObject().Count());
        Assert.DoesNotContain("[DONE]", stream, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_deadline_after_the_first_token_ends_the_reply_as_a_length_limit_does()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("part");
                reply.Finish(FinishReason.DeadlineExceeded);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        using HttpResponseMessage answer = await host.PostAsync(Chat, Body);
        List<JsonElement> chunks = SseReader.Chunks(await answer.Content.ReadAsStringAsync());

        Assert.Equal("length", chunks[^1].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task After_fifteen_silent_seconds_a_comment_keeps_the_connection_and_nothing_is_lost()
    {
        FakeTimeProvider clock = new(TestHost.Created);
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                reply.Token("before");
                await release.Task;
                reply.Token("after");
                reply.Finish();
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine, clock);

        using HttpResponseMessage answer = await host.PostAsync(Chat, Body);
        await using Stream stream = await answer.Content.ReadAsStreamAsync();
        StringBuilder text = new();
        await ReadUntilAsync(stream, text, "before");
        // Time passes in small steps until the ping is there: the pump may still be on its way to wait.
        Task reading = ReadUntilAsync(stream, text, ": ping\n\n");
        await Eventually.PassesUntilAsync(clock, () => reading.IsCompleted);

        await reading;
        release.SetResult();
        await ReadUntilAsync(stream, text, "[DONE]\n\n");
        Assert.Contains("after", text.ToString(), StringComparison.Ordinal);
        Assert.True(clock.GetUtcNow() - TestHost.Created >= StreamWatch.PingAfter);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_that_goes_away_cancels_its_generations(bool stream)
    {
        TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                reply.Token("first");
                await reply.UntilCancelledAsync();
                ended.TrySetResult();
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        using CancellationTokenSource gone = new();

        Task<HttpResponseMessage> asking = host.PostAsync(Chat, Body.Replace("true", stream ? "true" : "false", StringComparison.Ordinal), gone.Token);
        await Eventually.HoldsAsync(() => !engine.Submitted.IsEmpty);
        if (stream)
            (await asking).Dispose();
        else
            await gone.CancelAsync();

        await ended.Task.WaitAsync(TimeSpan.FromSeconds(8));
        Assert.True(engine.Submitted.Single().CancelRequested);
        if (!stream)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
    }

    [Fact]
    public async Task Sixty_four_streams_at_once_all_end_and_none_holds_a_word_of_another()
    {
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                string mine = string.Concat(reply.Request.PromptTokens.ToArray().Select(ScriptedVocabulary.Instance.Text));
                string name = mine[(mine.IndexOf("name=", StringComparison.Ordinal) + 5)..][..4];
                for (int i = 0; i < 20; i++)
                {
                    reply.Token(name);
                    await Task.Yield();
                }

                reply.Finish();
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        await Task.WhenAll(Enumerable.Range(0, 64).Select(async i =>
        {
            string name = $"n{i:000}";
            using HttpResponseMessage answer = await host.PostAsync(Chat, Body.Replace("Hi", $"name={name}", StringComparison.Ordinal));
            List<JsonElement> chunks = SseReader.Chunks(await answer.Content.ReadAsStringAsync());
            Assert.Equal(string.Concat(Enumerable.Repeat(name, 20)), string.Concat(chunks.Select(chunk =>
                chunk.GetProperty("choices")[0].GetProperty("delta").TryGetProperty("content", out JsonElement content) ? content.GetString() : "")));
        }));
    }

    [Fact]
    public async Task Completions_stream_and_answer_every_prompt_and_choice_under_its_own_index()
    {
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync(ScriptedVocabulary.Instance.Text(reply.Request.PromptTokens.Span[0]), "!") };
        await using TestHost host = await TestHost.StartAsync(engine);
        const string Two = "\"model\":\"scripted\",\"prompt\":[[65,66],[67]],\"n\":2,\"max_tokens\":4";

        JsonElement answer = await host.PostJsonAsync("/v1/completions", $"{{{Two}}}");
        using HttpResponseMessage streamed = await host.PostAsync("/v1/completions", $"{{{Two},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}");
        List<JsonElement> chunks = SseReader.Chunks(await streamed.Content.ReadAsStringAsync());

        string[] expected = ["A!", "A!", "C!", "C!"];
        Assert.Equal(expected, answer.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("text").GetString()));
        Assert.Equal(expected, Enumerable.Range(0, 4).Select(index => string.Concat(chunks.SelectMany(chunk => chunk.GetProperty("choices").EnumerateArray())
            .Where(choice => choice.GetProperty("index").GetInt32() == index).Select(choice => choice.GetProperty("text").GetString()))));
        Assert.Equal(answer.GetProperty("usage").GetRawText(), chunks[^1].GetProperty("usage").GetRawText());
        Assert.Equal(3, answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
    }

    private static async Task ReadUntilAsync(Stream stream, StringBuilder text, string wanted)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(20));
        byte[] buffer = new byte[4096];
        while (!text.ToString().Contains(wanted, StringComparison.Ordinal))
        {
            int count = await stream.ReadAsync(buffer, limit.Token);
            Assert.True(count > 0, $"the stream ended without '{wanted}': {text}");
            text.Append(Encoding.UTF8.GetString(buffer, 0, count));
        }
    }
}
