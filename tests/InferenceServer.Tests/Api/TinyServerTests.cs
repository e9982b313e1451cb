using System.ClientModel;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;

namespace InferenceServer.Tests.Api;

/// <summary>Nothing scripted: what official clients and plain HTTP see of a real model that decodes in a shared batch.</summary>
[Collection(nameof(RunsAlone))]
public sealed class TinyServerTests(TinyServer server) : IClassFixture<TinyServer>
{
    private const string Chat = "/v1/chat/completions";

    private OpenAIClient Client => new(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Host.Client.BaseAddress!, "/v1") });

    private string ModelId => server.Model.Id;

    [Fact]
    public async Task The_official_client_streams_the_same_greedy_text_that_it_gets_in_one_piece()
    {
        ChatClient chat = Client.GetChatClient(ModelId);
        ChatCompletionOptions options = new() { Temperature = 0, MaxOutputTokenCount = 24 };
        ChatMessage[] messages = [new SystemChatMessage("You are terse."), new UserChatMessage("Say something.")];

        ChatCompletion whole = await chat.CompleteChatAsync(messages, options);
        StringBuilder streamed = new();
        ChatTokenUsage? usage = null;
        ChatFinishReason? finish = null;
        await foreach (StreamingChatCompletionUpdate update in chat.CompleteChatStreamingAsync(messages, options))
        {
            foreach (ChatMessageContentPart part in update.ContentUpdate)
                streamed.Append(part.Text);
            usage ??= update.Usage;
            finish ??= update.FinishReason;
        }

        Assert.Equal(whole.Content.Count == 0 ? "" : whole.Content[0].Text, streamed.ToString());
        Assert.Equal(whole.FinishReason, finish);
        Assert.NotNull(usage);
        Assert.Equal(whole.Usage.InputTokenCount, usage.InputTokenCount);
        Assert.Equal(whole.Usage.OutputTokenCount, usage.OutputTokenCount);
        // The second request found all but the last prompt token in the cache, and says so.
        Assert.Equal(usage.InputTokenCount - 1, usage.InputTokenDetails.CachedTokenCount);
    }

    private async Task<JsonElement> PostAsync(object body)
    {
        using StringContent content = new(JsonSerializer.Serialize(body), Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await server.Host.Client.PostAsync(new Uri(Chat, UriKind.Relative), content);
        Assert.Equal(System.Net.HttpStatusCode.OK, answer.StatusCode);
        return JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
    }

    private async Task<(int Status, JsonElement Body)> SessionsAsync(HttpMethod method, string id, string salt)
    {
        using HttpRequestMessage request = new(method, new Uri($"/v1/sessions{id}", UriKind.Relative));
        request.Headers.Add("X-Cache-Salt", salt);
        using HttpResponseMessage answer = await server.Host.Client.SendAsync(request);
        return ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement);
    }

    [Fact]
    public async Task A_session_can_be_dropped_whatever_its_name_and_without_one_there_is_none()
    {
        foreach (string name in (string[])["a b/c", "a%2Fb", "\u00e9?#", ""])
            await PostAsync(new { model = ModelId, messages = (object[])[new { role = "user", content = $"I am {name}" }], max_tokens = 2, cache_salt = "names", prompt_cache_key = name });
        Assert.Equal(3, (await SessionsAsync(HttpMethod.Get, "", "names")).Body.GetProperty("data").GetArrayLength());
        foreach (string name in (string[])["a b/c", "a%2Fb", "\u00e9?#"])
        {
            (int status, JsonElement dropped) = await SessionsAsync(HttpMethod.Delete, "/" + Uri.EscapeDataString(name), "names");
            Assert.Equal((200, name), (status, dropped.GetProperty("id").GetString()));
        }
        Assert.Equal(0, (await SessionsAsync(HttpMethod.Get, "", "names")).Body.GetProperty("data").GetArrayLength());
    }

    [Fact]
    public async Task A_session_is_listed_to_its_namespace_alone_and_dropping_it_makes_the_next_turn_cold()
    {
        object[] messages = [new { role = "user", content = "Remember the number seventeen, please." }];
        object body = new { model = ModelId, messages, max_tokens = 4, temperature = 0, cache_salt = "mine", prompt_cache_key = "talk", x_cache_report = true };
        JsonElement cold = (await PostAsync(body)).GetProperty("x_cache");
        Assert.Equal((0, "nothing_cached", 0), (cold.GetProperty("cached_tokens").GetInt32(), cold.GetProperty("reason").GetString(), cold.GetProperty("diverged_at").GetInt32()));
        JsonElement warm = (await PostAsync(body)).GetProperty("x_cache");
        Assert.Equal(JsonValueKind.Null, warm.GetProperty("reason").ValueKind);
        int cached = warm.GetProperty("cached_tokens").GetInt32();

        JsonElement listed = (await SessionsAsync(HttpMethod.Get, "", "mine")).Body.GetProperty("data");
        JsonElement session = Assert.Single(listed.EnumerateArray());
        Assert.Equal("talk", session.GetProperty("id").GetString());
        Assert.True(session.GetProperty("tokens").GetInt32() > cached);
        JsonElement tiers = session.GetProperty("tiers");
        Assert.Equal(session.GetProperty("tokens").GetInt32(),
            tiers.GetProperty("kv").GetInt32() + tiers.GetProperty("host").GetInt32() + tiers.GetProperty("disk").GetInt32());
        Assert.InRange(session.GetProperty("last_used").GetInt64(), DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 60, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        Assert.Empty((await SessionsAsync(HttpMethod.Get, "", "theirs")).Body.GetProperty("data").EnumerateArray());
        Assert.Equal(404, (await SessionsAsync(HttpMethod.Delete, "/talk", "theirs")).Status);

        Assert.Equal(200, (await SessionsAsync(HttpMethod.Delete, "/talk", "mine")).Status);
        Assert.Equal(404, (await SessionsAsync(HttpMethod.Delete, "/talk", "mine")).Status);
        JsonElement again = (await PostAsync(body)).GetProperty("x_cache");
        Assert.Equal((0, "nothing_cached"), (again.GetProperty("cached_tokens").GetInt32(), again.GetProperty("reason").GetString()));
    }

    [Fact]
    public async Task A_stream_reports_the_cache_in_its_last_chunk_with_and_without_usage()
    {
        foreach (bool usage in (bool[])[true, false])
        {
            string body = JsonSerializer.Serialize(new
            {
                model = ModelId,
                messages = (object[])[new { role = "user", content = "Count to three." }],
                max_tokens = 3,
                stream = true,
                stream_options = new { include_usage = usage },
                x_cache_report = true,
            });
            using StringContent content = new(body, Encoding.UTF8, "application/json");
            using HttpResponseMessage answer = await server.Host.Client.PostAsync(new Uri(Chat, UriKind.Relative), content);
            string[] events = (await answer.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
            JsonElement last = JsonDocument.Parse(events[^2]["data: ".Length..]).RootElement;
            Assert.Empty(last.GetProperty("choices").EnumerateArray());
            Assert.Equal(usage, last.TryGetProperty("usage", out _));
            Assert.True(last.GetProperty("x_cache").GetProperty("cached_tokens").GetInt32() >= 0);
        }
    }

    [Fact]
    public async Task The_official_client_lists_the_model_and_reads_our_errors()
    {
        OpenAIModelCollection models = await Client.GetOpenAIModelClient().GetModelsAsync();
        Assert.Equal(ModelId, Assert.Single(models).Id);

        ClientResultException wrong = await Assert.ThrowsAsync<ClientResultException>(
            () => Client.GetChatClient("other").CompleteChatAsync(new UserChatMessage("Hi")));
        Assert.Equal(404, wrong.Status);
        Assert.Contains("model_not_found", wrong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_official_client_reads_log_probabilities()
    {
        ChatCompletion reply = await Client.GetChatClient(ModelId).CompleteChatAsync(
            [new UserChatMessage("Hi")], new ChatCompletionOptions { MaxOutputTokenCount = 5, IncludeLogProbabilities = true, TopLogProbabilityCount = 3, Temperature = 0 });

        Assert.Equal(reply.Usage.OutputTokenCount, reply.ContentTokenLogProbabilities.Count);
        Assert.All(reply.ContentTokenLogProbabilities, token =>
        {
            Assert.Equal(3, token.TopLogProbabilities.Count);
            Assert.Equal(token.TopLogProbabilities[0].LogProbability, token.LogProbability);
            Assert.True(token.LogProbability <= 0);
        });
    }

    [Fact]
    public async Task The_choices_of_a_request_differ()
    {
        JsonElement reply = await server.Host.PostJsonAsync(Chat,
            $$"""{"model":"{{ModelId}}","messages":[{"role":"user","content":"Hi"}],"n":3,"seed":5,"max_tokens":20,"ignore_eos":true}""");
        Assert.Equal(3, Texts(reply).Distinct().Count());
    }

    [Fact]
    public async Task A_stop_string_split_over_tokens_ends_the_reply_before_it()
    {
        string open = $$"""{"model":"{{ModelId}}","messages":[{"role":"user","content":"Go"}],"seed":3,"max_tokens":60,"ignore_eos":true""";
        string free = Texts(await server.Host.PostJsonAsync(Chat, open + "}"))[0];
        // A byte-level vocabulary: any three characters are at least three tokens.
        int at = Enumerable.Range(10, free.Length - 13).First(i => free.Substring(i, 3).All(c => c is > ' ' and < '\u007f') && free.IndexOf(free.Substring(i, 3), StringComparison.Ordinal) == i);
        string stop = free.Substring(at, 3);
        string stopped = open + $",\"stop\":{JsonSerializer.Serialize(stop)}";

        JsonElement whole = await server.Host.PostJsonAsync(Chat, stopped + "}");
        using HttpResponseMessage streamed = await server.Host.PostAsync(Chat, stopped + ",\"stream\":true}");
        List<JsonElement> chunks = SseReader.Chunks(await streamed.Content.ReadAsStringAsync());

        Assert.Equal(free[..at], Texts(whole)[0]);
        Assert.Equal("stop", whole.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        Assert.Equal(free[..at], string.Concat(chunks.Select(chunk =>
            chunk.GetProperty("choices")[0].GetProperty("delta").TryGetProperty("content", out JsonElement content) ? content.GetString() : "")));
    }

    [Fact]
    public async Task Sixty_four_requests_at_once_all_end_and_share_batches()
    {
        EngineSnapshot before = server.Model.Engine.Snapshot;
        JsonElement[] replies = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => server.Host.PostJsonAsync(Chat,
            $$"""{"model":"{{ModelId}}","messages":[{"role":"user","content":"Request {{i}}"}],"max_tokens":100,"ignore_eos":true,"seed":{{i}}}""")));

        Assert.All(replies, reply => Assert.Equal(100, reply.GetProperty("usage").GetProperty("completion_tokens").GetInt32()));
        EngineSnapshot after = server.Model.Engine.Snapshot;
        (long rows, long steps) = (after.DecodeRows - before.DecodeRows, after.DecodeSteps - before.DecodeSteps);
        Assert.True(rows >= 4 * steps, $"{rows} rows in {steps} steps");
    }

    [Fact]
    public async Task A_client_that_goes_away_frees_its_cells()
    {
        using (HttpResponseMessage answer = await server.Host.PostAsync(Chat,
            $$"""{"model":"{{ModelId}}","messages":[{"role":"user","content":"Go on"}],"max_tokens":4000,"ignore_eos":true,"stream":true}"""))
            Assert.True(answer.IsSuccessStatusCode);

        await Eventually.HoldsAsync(() => server.Model.Engine.Snapshot is { RunningRequests: 0, CellsPrivate: 0 });
        Assert.Equal((0, 0), (server.Model.Engine.Snapshot.RunningRequests, server.Model.Engine.Snapshot.CellsPrivate));
    }

    [Fact]
    public async Task Tokens_and_text_of_the_same_prompt_complete_alike()
    {
        int[] tokens = server.Model.Vocabulary.Tokenize("Once upon", true, true);
        JsonElement text = await server.Host.PostJsonAsync("/v1/completions", $$"""{"model":"{{ModelId}}","prompt":"Once upon","temperature":0,"logprobs":2}""");
        JsonElement ids = await server.Host.PostJsonAsync("/v1/completions",
            $$"""{"model":"{{ModelId}}","prompt":[{{string.Join(',', tokens)}}],"temperature":0,"logprobs":2}""");

        Assert.Equal(text.GetProperty("choices")[0].GetProperty("text").GetString(), ids.GetProperty("choices")[0].GetProperty("text").GetString());
        JsonElement logprobs = text.GetProperty("choices")[0].GetProperty("logprobs");
        int count = text.GetProperty("usage").GetProperty("completion_tokens").GetInt32();
        foreach (string array in (string[])["tokens", "token_logprobs", "top_logprobs", "text_offset"])
            Assert.Equal(count, logprobs.GetProperty(array).GetArrayLength());
    }

    private static string[] Texts(JsonElement answer) =>
        [.. answer.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("message").GetProperty("content").GetString()!)];
}
