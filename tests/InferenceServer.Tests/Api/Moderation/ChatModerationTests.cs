using System.Net;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Tests.Spec;

namespace InferenceServer.Tests.Api.Moderation;

/// <summary>The gate in front of chats and behind them.</summary>
public sealed class ChatModerationTests
{
    private const string Path = "/v1/chat/completions";

    private static readonly ModerationRules Rules = ModerationRulesReader.Read(Encoding.UTF8.GetBytes(
        """{"refusal":"No dragons, please.","categories":{"dragons":{"rules":[{"phrases":["dragon","red dragon"]}]}}}"""), "test");

    private static Task<TestHost> StartAsync(ScriptedEngine engine, ModerationMode mode) => TestHost.StartAsync(engine, moderation: new ModerationGate(Rules, mode));

    private static string Body(string text, string fields = "") => $$"""{"model":"scripted","messages":[{"role":"user","content":{{JsonSerializer.Serialize(text)}}}]{{fields}}}""";

    private static ScriptedEngine Says(params string[] texts) => new() { Script = reply => reply.SayAsync(texts) };

    private static JsonElement Message(JsonElement answer) => answer.GetProperty("choices")[0].GetProperty("message");

    private static string? Finish(JsonElement answer) => answer.GetProperty("choices")[0].GetProperty("finish_reason").GetString();

    private static bool[] Flags(JsonElement answer, string part) =>
        [.. answer.GetProperty("moderation").GetProperty(part).GetProperty("results").EnumerateArray().Select(result => result.GetProperty("flagged").GetBoolean())];

    private static async Task<List<JsonElement>> StreamAsync(TestHost host, string body)
    {
        using HttpResponseMessage answer = await host.PostAsync(Path, body);
        return SseReader.Chunks(await answer.Content.ReadAsStringAsync());
    }

    private static string Joined(IEnumerable<JsonElement> chunks, string field) => string.Concat(chunks.SelectMany(chunk => chunk.GetProperty("choices").EnumerateArray())
        .Select(choice => choice.GetProperty("delta").TryGetProperty(field, out JsonElement text) ? text.GetString() : ""));

    [Fact]
    public async Task A_flagged_prompt_is_refused_before_the_model_runs()
    {
        ScriptedEngine engine = Says("Never.");
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        using HttpResponseMessage answer = await host.PostAsync(Path, Body("Draw a dragon", ",\"n\":2"));
        JsonElement whole = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        OpenAISpec.CheckAnswer(whole);
        Assert.Equal("dragons", Assert.Single(answer.Headers.GetValues("x-moderation")));
        Assert.Equal((JsonValueKind.Null, "No dragons, please.", "content_filter"),
            (Message(whole).GetProperty("content").ValueKind, Message(whole).GetProperty("refusal").GetString(), Finish(whole)));
        Assert.Equal(2, whole.GetProperty("choices").GetArrayLength());
        Assert.Equal(0, whole.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        Assert.True(whole.GetProperty("usage").GetProperty("prompt_tokens").GetInt32() > 10);
        Assert.Equal([true], Flags(whole, "input"));
        Assert.Empty(Flags(whole, "output"));
        Assert.Empty(engine.Submitted);

        List<JsonElement> chunks = await StreamAsync(host, Body("Draw a dragon", ",\"stream\":true"));
        Assert.Equal(("", "No dragons, please."), (Joined(chunks, "content"), Joined(chunks, "refusal")));
        Assert.Equal("content_filter", Finish(chunks[^2]));
        Assert.Equal([true], Flags(chunks[^1], "input"));
        Assert.Empty(engine.Submitted);
        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("inference_moderation_flags_total{category=\"dragons\",part=\"input\",action=\"refused\"} 2", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_response_is_judged_when_it_asks_for_it_and_reports_what_was_found()
    {
        await using TestHost host = await StartAsync(Says("A dragon."), ModerationMode.Off);
        const string Asked = ",\"moderation\":{\"model\":\"omni-moderation-latest\"}";
        JsonElement scored = await host.PostJsonAsync("/v1/responses", $"{{\"model\":\"scripted\",\"input\":\"Hi\"{Asked}}}");
        OpenAISpec.CheckAnswer(scored);
        Assert.Equal("completed", scored.GetProperty("status").GetString());
        Assert.Equal([false, true], ((string[])["input", "output"]).Select(part => scored.GetProperty("moderation").GetProperty(part).GetProperty("flagged").GetBoolean()));
        JsonElement plain = await host.PostJsonAsync("/v1/responses", "{\"model\":\"scripted\",\"input\":\"Hi\"}");
        Assert.False(plain.TryGetProperty("moderation", out _));

        string blocking = Asked[..^1] + ",\"policy\":{\"input\":{\"mode\":\"block\"}}}";
        JsonElement refused = await host.PostJsonAsync("/v1/responses", $"{{\"model\":\"scripted\",\"input\":\"Draw a dragon\"{blocking}}}");
        OpenAISpec.CheckAnswer(refused);
        Assert.Equal("content_filter", refused.GetProperty("incomplete_details").GetProperty("reason").GetString());
        Assert.Equal(("moderation_result", "error"), (refused.GetProperty("moderation").GetProperty("input").GetProperty("type").GetString(), refused.GetProperty("moderation").GetProperty("output").GetProperty("type").GetString()));
        using HttpResponseMessage unknown = await host.PostAsync("/v1/responses", "{\"model\":\"scripted\",\"input\":\"Hi\",\"moderation\":{\"model\":\"none\"}}");
        await ErrorTests.AssertErrorAsync(unknown, 404, "moderation.model", "model_not_found");
    }

    [Fact]
    public async Task What_the_application_says_is_not_judged_and_earlier_turns_are()
    {
        ScriptedEngine engine = Says("Fine.");
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        JsonElement system = await host.PostJsonAsync(Path,
            """{"model":"scripted","messages":[{"role":"system","content":"Never speak of a dragon."},{"role":"user","content":"Hi"}]}""");
        Assert.Equal("stop", Finish(system));
        JsonElement earlier = await host.PostJsonAsync(Path,
            """{"model":"scripted","messages":[{"role":"user","content":"The dragon."},{"role":"assistant","content":"Yes?"},{"role":"user","content":"Go on"}]}""");
        Assert.Equal("content_filter", Finish(earlier));
    }

    [Fact]
    public async Task A_flagged_reply_is_refused_whole_and_its_generation_stopped()
    {
        TaskCompletionSource<bool> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                foreach (string text in (string[])["Once. ", "There was a ", "drag", "on.", " And"])
                    reply.Token(text);
                await reply.UntilCancelledAsync();
                ended.SetResult(reply.Cancelled);
            },
        };
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        JsonElement whole = await host.PostJsonAsync(Path, Body("Tell me a story"));
        Assert.True(await ended.Task);
        Assert.Equal((JsonValueKind.Null, "No dragons, please.", "content_filter"),
            (Message(whole).GetProperty("content").ValueKind, Message(whole).GetProperty("refusal").GetString(), Finish(whole)));
        Assert.Equal([false], Flags(whole, "input"));
        Assert.Equal([true], Flags(whole, "output"));
    }

    [Fact]
    public async Task A_stream_shows_sentences_that_passed_and_then_the_refusal_instead_of_the_next()
    {
        TaskCompletionSource<bool> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                foreach (string text in (string[])["Once", ".", " There was a red ", "drag", "on", ".", " And"])
                    reply.Token(text);
                await reply.UntilCancelledAsync();
                ended.SetResult(reply.Cancelled);
            },
        };
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        List<JsonElement> chunks = await StreamAsync(host, Body("Tell me a story", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
        Assert.True(await ended.Task);
        Assert.Equal(("Once.", "No dragons, please."), (Joined(chunks, "content"), Joined(chunks, "refusal")));
        Assert.Equal("content_filter", Finish(chunks[^2]));
        Assert.Equal([true], Flags(chunks[^1], "output"));
        Assert.Equal(JsonValueKind.Object, chunks[^1].GetProperty("usage").ValueKind);
    }

    [Fact]
    public async Task Each_choice_is_judged_by_itself()
    {
        int number = 0;
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync(Interlocked.Increment(ref number) == 1 ? "A dragon" : "A mouse") };
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        JsonElement whole = await host.PostJsonAsync(Path, Body("Hi", ",\"n\":2"));
        Assert.Equal(["content_filter", "stop"], whole.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("finish_reason").GetString()).Order());
        Assert.Equal([false, true], Flags(whole, "output").Order());
    }

    [Fact]
    public async Task Flagging_reports_and_changes_nothing()
    {
        await using TestHost host = await StartAsync(Says("The ", "drag", "on", " sleeps"), ModerationMode.Flag);
        using HttpResponseMessage answer = await host.PostAsync(Path, Body("Hi"));
        JsonElement whole = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        OpenAISpec.CheckAnswer(whole);
        Assert.Equal("dragons", Assert.Single(answer.Headers.GetValues("x-moderation")));
        Assert.Equal(("The dragon sleeps", "stop"), (Message(whole).GetProperty("content").GetString(), Finish(whole)));
        Assert.Equal([true], Flags(whole, "output"));

        List<JsonElement> chunks = await StreamAsync(host, Body("Hi", ",\"stream\":true"));
        Assert.Equal(["", "The ", "drag", "on", " sleeps"], chunks.SkipLast(2).Select(chunk => Joined([chunk], "content")));
        Assert.Equal([true], Flags(chunks[^1], "output"));
    }

    [Fact]
    public async Task A_request_can_ask_for_scores_or_blocking_where_the_server_does_nothing_by_itself()
    {
        await using TestHost host = await StartAsync(Says("A dragon"), ModerationMode.Off);
        JsonElement plain = await host.PostJsonAsync(Path, Body("A dragon"));
        Assert.False(plain.TryGetProperty("moderation", out _));
        JsonElement scored = await host.PostJsonAsync(Path, Body("A dragon", ",\"moderation\":{\"model\":\"omni-moderation-latest\"}"));
        Assert.Equal(("A dragon", true, true), (Message(scored).GetProperty("content").GetString(), Flags(scored, "input")[0], Flags(scored, "output")[0]));
        JsonElement blocked = await host.PostJsonAsync(Path,
            Body("A dragon", ",\"moderation\":{\"model\":\"" + Rules.Id + "\",\"policy\":{\"input\":{\"mode\":\"score\"},\"output\":{\"mode\":\"block\"}}}"));
        Assert.Equal(("content_filter", "No dragons, please."), (Finish(blocked), Message(blocked).GetProperty("refusal").GetString()));
    }

    [Theory]
    [InlineData("{}", "moderation.model")]
    [InlineData("{\"model\":\"other\"}", "moderation.model")]
    [InlineData("{\"model\":\"omni-moderation-latest\",\"policy\":{\"input\":{\"mode\":\"ban\"}}}", "moderation.policy.input.mode")]
    [InlineData("{\"model\":\"omni-moderation-latest\",\"policy\":{\"output\":{}}}", "moderation.policy.output.mode")]
    public async Task A_wrong_moderation_is_refused_by_name(string moderation, string param)
    {
        await using TestHost host = await StartAsync(Says("Hi"), ModerationMode.Off);
        using HttpResponseMessage answer = await host.PostAsync(Path, Body("Hi", $",\"moderation\":{moderation}"));
        Assert.True(answer.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.NotFound);
        Assert.Equal(param, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("param").GetString());
    }

    [Fact]
    public async Task Held_back_pieces_keep_their_order_and_log_probabilities_and_long_ones_do_not_wait_for_ever()
    {
        string[] words = [.. Enumerable.Range(0, 300).Select(i => $"word{i} ")];
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                foreach (string word in words)
                    reply.Token(word, new TokenLogprobs(ScriptedVocabulary.First(word), -1, []));
                reply.Finish();
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        List<JsonElement> chunks = await StreamAsync(host, Body("Hi", ",\"stream\":true,\"logprobs\":true"));
        Assert.Equal(string.Concat(words), Joined(chunks, "content"));
        Assert.Equal(words.Length, chunks.Count(chunk => chunk.GetProperty("choices").EnumerateArray().Any(choice => choice.GetProperty("logprobs").ValueKind == JsonValueKind.Object)));
    }

    [Theory]
    [InlineData("Draw a dragon", "refused")]
    [InlineData("Hi", "Once.|refused")]
    public async Task A_response_refuses_with_a_part_of_that_type_and_is_incomplete(string input, string said)
    {
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                foreach (string text in (string[])["Once", ".", " A ", "dragon", "."])
                    reply.Token(text);
                await reply.UntilCancelledAsync();
            },
        };
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        using HttpResponseMessage answer = await host.PostAsync("/v1/responses", $$"""{"model":"scripted","input":"{{input}}","store":false,"stream":true}""");
        List<JsonElement> events = Responses.ResponseHost.Events(await answer.Content.ReadAsStringAsync());
        JsonElement response = events[^1].GetProperty("response");
        OpenAISpec.Check("Response", response);
        Assert.Equal(("incomplete", "content_filter"), (response.GetProperty("status").GetString(), response.GetProperty("incomplete_details").GetProperty("reason").GetString()));
        string[] parts = [.. response.GetProperty("output").EnumerateArray().Select(item => item.GetProperty("content")[0])
            .Select(part => part.TryGetProperty("refusal", out JsonElement refusal) && refusal.GetString() == "No dragons, please." ? "refused" : part.GetProperty("text").GetString()!)];
        Assert.Equal(said, string.Join('|', parts));
        Assert.Single(events, data => data.GetProperty("type").GetString() == "response.refusal.done");
    }

    [Fact]
    public async Task Other_dialects_say_the_refusal_as_text_and_why_in_their_own_words()
    {
        ScriptedEngine engine = Says("Never.");
        await using TestHost host = await StartAsync(engine, ModerationMode.Refuse);
        const string Draw = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Draw a dragon\"}]";
        JsonElement message = await host.PostJsonAsync("/v1/messages", $"{{{Draw},\"max_tokens\":10}}");
        Assert.Equal(("No dragons, please.", "refusal"), (message.GetProperty("content")[0].GetProperty("text").GetString(), message.GetProperty("stop_reason").GetString()));
        using HttpResponseMessage events = await host.PostAsync("/v1/messages", $"{{{Draw},\"max_tokens\":10,\"stream\":true}}");
        string stream = await events.Content.ReadAsStringAsync();
        Assert.Contains("\"text\":\"No dragons, please.\"", stream, StringComparison.Ordinal);
        Assert.Contains("\"stop_reason\":\"refusal\"", stream, StringComparison.Ordinal);

        JsonElement ollama = await host.PostJsonAsync("/api/chat", $"{{{Draw},\"stream\":false}}");
        Assert.Equal(("No dragons, please.", "stop"), (ollama.GetProperty("message").GetProperty("content").GetString(), ollama.GetProperty("done_reason").GetString()));
        using HttpResponseMessage lines = await host.PostAsync("/api/chat", $"{{{Draw}}}");
        Assert.Contains("\"content\":\"No dragons, please.\"", await lines.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Empty(engine.Submitted);
    }
}
