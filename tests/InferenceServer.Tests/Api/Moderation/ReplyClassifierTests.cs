using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Engine.Embedding;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Tests.Api.Responses;
using InferenceServer.Tests.Spec;

namespace InferenceServer.Tests.Api.Moderation;

/// <summary>The model that judges replies: nothing is shown before its verdict, and nothing at all where there is none.</summary>
public sealed class ReplyClassifierTests
{
    private const string Path = "/v1/chat/completions";

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    // 'bad' is a word of the model's and 'dragon' one of the rules'.
    private static readonly ModerationRules Rules = ModerationRulesReader.Read(Encoding.UTF8.GetBytes(
        """{"refusal":"No.","threshold":0.9,"categories":{"dragons":{"rules":[{"phrases":["dragon"]}]},"bad":{}}}"""), "test");

    /// <summary>Flags what holds "bad"; what it does before it answers is the test's.</summary>
    private sealed class Judge
    {
        public ConcurrentQueue<string> Seen { get; } = new();

        public Func<string, CancellationToken, Task> Before { get; init; } = (_, _) => Task.CompletedTask;

        public ModerationGate Gate(ModerationMode mode) => new(Rules, mode, ModerationClassifier.For(new ServedEmbedder
        {
            Id = "judge",
            Created = TestHost.Created,
            Vocabulary = ScriptedVocabulary.Instance,
            Dimensions = 2,
            MaxInputTokens = 10_000,
            Ranking = new RankingPrompt(null, false, [], [], []),
            Engine = new ScriptedEmbedding(async (inputs, cancellation) =>
            {
                string[] texts = [.. inputs.Select(input => string.Concat(input.Select(token => (char)token)))];
                foreach (string text in texts)
                {
                    Seen.Enqueue(text);
                    await Before(text, cancellation);
                }

                return [.. texts.Select(text => (float[])[text.Contains("bad", StringComparison.Ordinal) ? 9 : -9, 0])];
            }),
        }, ["bad", "fine"], Rules));
    }

    private static Task<TestHost> StartAsync(ScriptedEngine engine, Judge judge, ModerationMode mode = ModerationMode.Refuse) => TestHost.StartAsync(engine, moderation: judge.Gate(mode));

    private static string Body(string fields = "") => $$"""{"model":"scripted","messages":[{"role":"user","content":"Hi"}]{{fields}}}""";

    private static async Task<List<JsonElement>> StreamAsync(TestHost host, string fields = "")
    {
        using HttpResponseMessage answer = await host.PostAsync(Path, Body(",\"stream\":true" + fields));
        return SseReader.Chunks(await answer.Content.ReadAsStringAsync());
    }

    private static string Joined(IEnumerable<JsonElement> chunks, string field) => string.Concat(chunks.SelectMany(chunk => chunk.GetProperty("choices").EnumerateArray())
        .Select(choice => choice.GetProperty("delta").TryGetProperty(field, out JsonElement text) ? text.GetString() : ""));

    private static bool OutputFlagged(JsonElement answer)
    {
        JsonElement output = answer.GetProperty("moderation").GetProperty("output");
        Assert.Equal($"{Rules.Id}+judge", output.GetProperty("model").GetString());
        return output.GetProperty("results")[0].GetProperty("flagged").GetBoolean();
    }

    [Fact]
    public async Task A_whole_reply_that_the_model_flags_is_refused_and_one_that_it_passes_is_not()
    {
        string said = "All is well. Or bad.";
        Judge judge = new();
        await using TestHost host = await StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync(said) }, judge);
        using HttpResponseMessage refused = await host.PostAsync(Path, Body());
        Assert.Equal("bad", Assert.Single(refused.Headers.GetValues("x-moderation")));
        JsonElement answer = JsonDocument.Parse(await refused.Content.ReadAsStringAsync()).RootElement;
        OpenAISpec.CheckAnswer(answer);
        JsonElement choice = answer.GetProperty("choices")[0];
        Assert.Equal((JsonValueKind.Null, "No.", "content_filter"),
            (choice.GetProperty("message").GetProperty("content").ValueKind, choice.GetProperty("message").GetProperty("refusal").GetString(), choice.GetProperty("finish_reason").GetString()));
        Assert.True(OutputFlagged(answer));
        // The whole of it at once: nobody waits for its first sentence.
        Assert.Equal(["Hi", said], judge.Seen);

        said = "All is well.";
        JsonElement passed = await host.PostJsonAsync(Path, Body());
        Assert.Equal(said, passed.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        Assert.False(OutputFlagged(passed));
    }

    [Fact]
    public async Task A_stream_shows_what_the_model_passed_and_then_the_refusal_and_stops_generating()
    {
        SemaphoreSlim judged = new(0);
        TaskCompletionSource<bool> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Judge judge = new()
        {
            Before = (_, _) =>
            {
                judged.Release();
                return Task.CompletedTask;
            },
        };
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                Assert.True(await judged.WaitAsync(Limit));
                reply.Token("One. ");
                // A sentence each time, or the model would be asked for both at once.
                Assert.True(await judged.WaitAsync(Limit));
                foreach (string text in (string[])["It is ", "b", "ad", ".", " And"])
                    reply.Token(text);
                await reply.UntilCancelledAsync();
                ended.SetResult(reply.Cancelled);
            },
        };
        await using TestHost host = await StartAsync(engine, judge);
        List<JsonElement> chunks = await StreamAsync(host);
        Assert.True(await ended.Task.WaitAsync(Limit));
        Assert.Equal(("One. ", "No."), (Joined(chunks, "content"), Joined(chunks, "refusal")));
        Assert.Equal("content_filter", chunks[^2].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.True(OutputFlagged(chunks[^1]));
        // What came before is judged along with it.
        Assert.Equal("One. It is bad.", judge.Seen.Last());
    }

    [Theory]
    [InlineData("Fine. And mo", "re. Then", " an end")]
    [InlineData("Fine. And bad", ". Then", " an end")]
    public async Task Nothing_is_shown_while_the_model_judges_and_generation_does_not_wait_for_it(params string[] tokens)
    {
        TaskCompletionSource asked = new(TaskCreationOptions.RunContinuationsAsynchronously), verdict = new(TaskCreationOptions.RunContinuationsAsynchronously),
            generated = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Judge judge = new()
        {
            Before = async (text, cancellation) =>
            {
                if (text == "Hi")
                    return;
                asked.TrySetResult();
                await verdict.Task.WaitAsync(Limit, cancellation);
            },
        };
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                reply.Token("Once.");
                await asked.Task.WaitAsync(Limit);
                await reply.SayAsync(tokens);
                generated.SetResult();
            },
        };
        await using TestHost host = await StartAsync(engine, judge);
        using HttpResponseMessage answer = await host.PostAsync(Path, Body(",\"stream\":true"));
        using StreamReader reader = new(await answer.Content.ReadAsStreamAsync());
        // All is generated and none of it judged: the reader has the role and no more.
        await generated.Task.WaitAsync(Limit);
        string first = await reader.ReadLineAsync().WaitAsync(Limit) ?? "";
        Assert.Equal("", SseReader.Parse(first).GetProperty("choices")[0].GetProperty("delta").GetProperty("content").GetString());
        Task<string> rest = reader.ReadToEndAsync();
        Assert.False(rest.IsCompleted);
        verdict.SetResult();
        List<JsonElement> chunks = SseReader.Chunks((await rest.WaitAsync(Limit)).TrimStart('\n'));
        bool bad = string.Concat(tokens).Contains("bad", StringComparison.Ordinal);
        Assert.Equal(bad ? ("Once.", "No.") : ("Once." + string.Concat(tokens), ""), (Joined(chunks, "content"), Joined(chunks, "refusal")));
        // Of what came meanwhile no more than whole sentences, and what is left at the end, was asked for.
        Assert.Equal(bad ? ["Hi", "Once.", "Once.Fine. And bad. Then an end"] : ["Hi", "Once.", "Once.Fine. And more. Then an end"], judge.Seen);
    }

    [Fact]
    public async Task What_the_rules_refuse_while_the_model_judges_is_refused_and_each_choice_by_itself()
    {
        int number = 0;
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync((string[])(Interlocked.Increment(ref number) switch { 1 => ["A dragon.", " Two"], 2 => ["A bad", " one"], _ => ["Good.", " One"] })) };
        await using TestHost host = await StartAsync(engine, new Judge());
        List<JsonElement> chunks = await StreamAsync(host, ",\"n\":3");
        IEnumerable<string> said = Enumerable.Range(0, 3).Select(choice => Joined(chunks.Where(chunk => chunk.GetProperty("choices").EnumerateArray().Any(of => of.GetProperty("index").GetInt32() == choice)), "content"));
        Assert.Equal(["", "", "Good. One"], said.Order());
        Assert.Equal("No.No.", Joined(chunks, "refusal"));
        Assert.Equal(["content_filter", "content_filter", "stop"], chunks.SelectMany(chunk => chunk.GetProperty("choices").EnumerateArray())
            .Select(choice => choice.GetProperty("finish_reason").GetString()).OfType<string>().Order());
    }

    [Fact]
    public async Task Flagging_shows_all_as_it_comes_and_reports_the_model_at_the_end()
    {
        Judge judge = new();
        await using TestHost host = await StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync("It is b", "ad.", " And") }, judge, ModerationMode.Flag);
        List<JsonElement> chunks = await StreamAsync(host);
        Assert.Equal(["", "It is b", "ad.", " And"], chunks.SkipLast(2).Select(chunk => Joined([chunk], "content")));
        Assert.True(OutputFlagged(chunks[^1]));
        JsonElement whole = await host.PostJsonAsync(Path, Body());
        Assert.Equal("It is bad. And", whole.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        Assert.True(OutputFlagged(whole));
        Assert.Equal(["Hi", "It is bad. And", "Hi", "It is bad. And"], judge.Seen);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_reply_that_the_model_cannot_judge_does_not_pass_and_is_counted(bool full)
    {
        Judge judge = new()
        {
            Before = (text, _) => text == "Hi" ? Task.CompletedTask : Task.FromException(full ? new EngineQueueFullException(3, TimeSpan.FromSeconds(1)) : new EmbeddingFailedException("The batch failed.")),
        };
        await using TestHost host = await StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync("Secret. ", "More") }, judge);
        using HttpResponseMessage whole = await host.PostAsync(Path, Body());
        await ErrorTests.AssertErrorAsync(whole, full ? 503 : 500, null, "moderation_failed");
        using HttpResponseMessage streamed = await host.PostAsync(Path, Body(",\"stream\":true"));
        string stream = await streamed.Content.ReadAsStringAsync();
        Assert.Contains("moderation_failed", stream, StringComparison.Ordinal);
        Assert.DoesNotContain("Secret", stream, StringComparison.Ordinal);
        using HttpResponseMessage response = await host.PostAsync(ResponseHost.Path, """{"model":"scripted","input":"Hi","store":false,"stream":true}""");
        string events = await response.Content.ReadAsStringAsync();
        Assert.Contains("response.failed", events, StringComparison.Ordinal);
        Assert.DoesNotContain("Secret", events, StringComparison.Ordinal);
        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("inference_moderation_failures_total{part=\"output\"} 3", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_input_that_the_model_cannot_judge_is_counted_too()
    {
        Judge judge = new() { Before = (_, _) => Task.FromException(new EmbeddingFailedException("The batch failed.")) };
        await using TestHost host = await StartAsync(new ScriptedEngine(), judge);
        using HttpResponseMessage chat = await host.PostAsync(Path, Body());
        await ErrorTests.AssertErrorAsync(chat, 500, null, "moderation_failed");
        using HttpResponseMessage asked = await host.PostAsync("/v1/moderations", """{"input":"Hi"}""");
        Assert.Equal(HttpStatusCode.InternalServerError, asked.StatusCode);
        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("inference_moderation_failures_total{part=\"input\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("inference_moderation_failures_total{part=\"request\"} 1", metrics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_that_goes_away_ends_the_judging(bool stream)
    {
        TaskCompletionSource asked = new(TaskCreationOptions.RunContinuationsAsynchronously), left = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Judge judge = new()
        {
            Before = async (text, cancellation) =>
            {
                if (text == "Hi")
                    return;
                asked.TrySetResult();
                try
                {
                    await Task.Delay(Timeout.Infinite, cancellation);
                }
                finally
                {
                    left.TrySetResult();
                }
            },
        };
        await using TestHost host = await StartAsync(new ScriptedEngine(), judge);
        using CancellationTokenSource gone = new();
        Task<HttpResponseMessage> call = host.PostAsync(Path, Body($",\"stream\":{(stream ? "true" : "false")}"), gone.Token);
        await asked.Task.WaitAsync(Limit);
        if (stream)
            (await call.WaitAsync(Limit)).Dispose();
        else
            await gone.CancelAsync();
        await left.Task.WaitAsync(Limit);
        if (!stream)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(Limit));
    }

    [Fact]
    public async Task A_response_is_judged_by_the_model_as_well()
    {
        Judge judge = new();
        await using TestHost host = await StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync("It is ", "bad.", " So") }, judge);
        foreach (string stream in (string[])["false", "true"])
        {
            using HttpResponseMessage answer = await host.PostAsync(ResponseHost.Path, $$"""{"model":"scripted","input":"Hi","store":false,"stream":{{stream}}}""");
            string text = await answer.Content.ReadAsStringAsync();
            Assert.DoesNotContain("It is", text, StringComparison.Ordinal);
            JsonElement response = stream == "true" ? ResponseHost.Events(text)[^1].GetProperty("response") : JsonDocument.Parse(text).RootElement;
            Assert.Equal(("incomplete", "content_filter"), (response.GetProperty("status").GetString(), response.GetProperty("incomplete_details").GetProperty("reason").GetString()));
            Assert.Equal("No.", response.GetProperty("output")[0].GetProperty("content")[0].GetProperty("refusal").GetString());
        }

        using HttpResponseMessage lines = await host.PostAsync("/api/chat", Body());
        string ollama = await lines.Content.ReadAsStringAsync();
        Assert.DoesNotContain("It is", ollama, StringComparison.Ordinal);
        Assert.Contains("\"content\":\"No.\"", ollama, StringComparison.Ordinal);
    }
}
