using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Store;
using InferenceServer.Tests.Spec;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>What outlives a request: chains, conversations, background runs, and what can be done with them.</summary>
public sealed class ResponseStateTests
{
    private static string User(string text) => $"<|im_start|>user\n{text}<|im_end|>\n";

    private static string Assistant(string text) => $"<|im_start|>assistant\n{text}<|im_end|>\n";

    private const string Turn = "<|im_start|>assistant\n";

    private static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;

    private static async Task<JsonElement> UntilAsync(ResponseHost host, string id, params string[] statuses)
    {
        JsonElement response = default;
        await Eventually.HoldsAsync(async () =>
        {
            response = await host.GetAsync($"{ResponseHost.Path}/{id}", "Response");
            return statuses.Contains(response.GetProperty("status").GetString());
        }, $"the response {string.Join(" or ", statuses)}");
        return response;
    }

    [Fact]
    public async Task A_chain_carries_input_and_output_on_but_not_instructions()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement first = await host.CreateAsync("\"input\":\"1\",\"instructions\":\"S\"");
        JsonElement second = await host.CreateAsync($"\"input\":\"2\",\"previous_response_id\":\"{Id(first)}\"");
        _ = await host.CreateAsync($"\"input\":\"3\",\"previous_response_id\":\"{Id(second)}\"");
        Assert.Equal(User("1") + Assistant("A") + User("2") + Assistant("A") + User("3") + Turn, host.LastPrompt);
        Assert.Equal(Id(first), second.GetProperty("previous_response_id").GetString());
        // One session, so that its cached prefix is kept for it.
        Assert.Equal(Id(first), Assert.Single(host.Engine.Submitted.Select(generation => generation.Request.SessionId).Distinct()));
        JsonElement own = await host.GetAsync($"{ResponseHost.Path}/{Id(second)}/input_items", "ResponseItemList");
        Assert.Equal(["user: 2"], ResponseHost.Items(own.GetProperty("data")));
    }

    [Fact]
    public async Task A_link_that_was_deleted_breaks_the_chain_with_a_word_about_it()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement first = await host.CreateAsync("\"input\":\"1\"");
        JsonElement second = await host.CreateAsync($"\"input\":\"2\",\"previous_response_id\":\"{Id(first)}\"");
        JsonElement deleted = await host.CallAsync(HttpMethod.Delete, $"{ResponseHost.Path}/{Id(first)}", null);
        Assert.True(deleted.GetProperty("deleted").GetBoolean());
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{Id(first)}"));
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Delete, $"{ResponseHost.Path}/{Id(first)}"));
        Assert.Equal((400, "previous_response_id", "previous_response_not_found"), await host.FailAsync($"\"input\":\"3\",\"previous_response_id\":\"{Id(second)}\""));
        JsonElement unstored = await host.CreateAsync("\"input\":\"1\",\"store\":false");
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{Id(unstored)}"));
    }

    [Fact]
    public async Task Items_can_be_referred_to_by_id_from_responses_and_conversations()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement first = await host.CreateAsync("\"input\":\"1\"");
        JsonElement conversation = await host.CallAsync(HttpMethod.Post, "/v1/conversations", "ConversationResource", "{\"items\":[{\"role\":\"user\",\"content\":\"C\"}]}");
        JsonElement items = await host.GetAsync($"/v1/conversations/{Id(conversation)}/items", "ConversationItemList");
        JsonElement input = await host.GetAsync($"{ResponseHost.Path}/{Id(first)}/input_items", "ResponseItemList");
        _ = await host.CreateAsync($"\"input\":[{{\"type\":\"item_reference\",\"id\":\"{Id(items.GetProperty("data")[0])}\"}},{{\"type\":\"item_reference\",\"id\":\"{Id(first.GetProperty("output")[0])}\"}},{{\"id\":\"{Id(input.GetProperty("data")[0])}\"}}]");
        Assert.Equal(User("C") + Assistant("A") + User("1") + Turn, host.LastPrompt);
    }

    [Fact]
    public async Task A_conversation_takes_each_turn_in_and_gives_it_back()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement conversation = await host.CallAsync(HttpMethod.Post, "/v1/conversations", "ConversationResource",
            "{\"metadata\":{\"a\":\"b\"},\"items\":[{\"type\":\"message\",\"role\":\"system\",\"content\":\"S\"}]}");
        string path = $"/v1/conversations/{Id(conversation)}";
        JsonElement response = await host.CreateAsync($"\"input\":\"1\",\"conversation\":\"{Id(conversation)}\"");
        Assert.Equal(Id(conversation), Id(response.GetProperty("conversation")));
        _ = await host.StreamAsync($"\"input\":\"2\",\"store\":false,\"conversation\":{{\"id\":\"{Id(conversation)}\"}}");
        Assert.Equal("<|im_start|>system\nS<|im_end|>\n" + User("1") + Assistant("A") + User("2") + Turn, host.LastPrompt);
        Assert.Equal(Id(conversation), host.Engine.Submitted.Last().Request.SessionId);
        JsonElement items = await host.GetAsync(path + "/items?order=asc", "ConversationItemList");
        Assert.Equal(["system: S", "user: 1", "assistant: A", "user: 2", "assistant: A"], ResponseHost.Items(items.GetProperty("data")));

        JsonElement page = await host.GetAsync(path + "/items?limit=2", "ConversationItemList");
        Assert.Equal((true, "assistant: A|user: 2"), (page.GetProperty("has_more").GetBoolean(), string.Join('|', ResponseHost.Items(page.GetProperty("data")))));
        page = await host.GetAsync($"{path}/items?limit=2&after={page.GetProperty("last_id")}", "ConversationItemList");
        Assert.Equal(["assistant: A", "user: 1"], ResponseHost.Items(page.GetProperty("data")));
        JsonElement added = await host.CallAsync(HttpMethod.Post, path + "/items", "ConversationItemList",
            "{\"items\":[{\"role\":\"user\",\"content\":\"3\"},{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"n\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}]}");
        Assert.Equal(["user: 3", "call n {}", "output o"], ResponseHost.Items(added.GetProperty("data")));
        string first = added.GetProperty("first_id").GetString()!;
        Assert.Equal(first, Id(await host.GetAsync($"{path}/items/{first}", "ConversationItem")));
        Assert.Equal(Id(conversation), Id(await host.CallAsync(HttpMethod.Delete, $"{path}/items/{first}", "ConversationResource")));
        Assert.Equal((404, "item_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{path}/items/{first}"));
        Assert.Equal((404, "item_id", "not_found"), await host.FailAsync(HttpMethod.Delete, $"{path}/items/{first}"));

        JsonElement updated = await host.CallAsync(HttpMethod.Post, path, "ConversationResource", "{\"metadata\":{\"c\":\"d\"}}");
        // What nobody said is not taken for an order to clear it; null is one.
        Assert.Equal((400, "metadata", "missing_required_parameter"), await host.FailAsync(HttpMethod.Post, path, "{}"));
        Assert.Equal("d", (await host.GetAsync(path, "ConversationResource")).GetProperty("metadata").GetProperty("c").GetString());
        string cleared = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", "ConversationResource", "{\"metadata\":{\"a\":\"b\"}}"));
        Assert.Equal("{}", (await host.CallAsync(HttpMethod.Post, $"/v1/conversations/{cleared}", "ConversationResource", "{\"metadata\":null}")).GetProperty("metadata").GetRawText());
        Assert.Equal("{\"c\":\"d\"}", updated.GetProperty("metadata").GetRawText());
        Assert.Equal("{\"c\":\"d\"}", (await host.GetAsync(path, "ConversationResource")).GetProperty("metadata").GetRawText());
        _ = await host.CallAsync(HttpMethod.Delete, path, "DeletedConversationResource");
        foreach ((HttpMethod method, string at) in ((HttpMethod, string)[])[(HttpMethod.Get, path), (HttpMethod.Delete, path), (HttpMethod.Get, path + "/items")])
            Assert.Equal((404, "conversation_id", "not_found"), await host.FailAsync(method, at));
        Assert.Equal((404, "conversation", "not_found"), await host.FailAsync($"\"input\":\"3\",\"conversation\":\"{Id(conversation)}\""));
        // What was made in it goes with it.
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{Id(response)}"));
    }

    [Theory]
    [InlineData("{\"items\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"u\"}]}]}", "items[0].content[0].type")]
    [InlineData("{\"items\":[{\"type\":\"item_reference\",\"id\":\"msg_1\"}]}", "items[0].type")]
    [InlineData("{\"items\":7}", "items")]
    [InlineData("{\"metadata\":{\"a\":1}}", "metadata.a")]
    public async Task What_a_conversation_cannot_hold_is_named(string body, string param)
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        (int status, string? named, _) = await host.FailAsync(HttpMethod.Post, "/v1/conversations", body);
        Assert.Equal((400, param), (status, named));
    }

    [Theory]
    [InlineData("partial")]
    [InlineData("")]
    public async Task Of_a_turn_that_failed_what_was_seen_is_part_of_its_conversation_and_nothing_if_nothing_was(string said)
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                if (said.Length > 0)
                    reply.Token(said);
                reply.Finish(FinishReason.Failed, error: "decode returned -3");
                return Task.CompletedTask;
            },
        };
        await using ResponseHost host = await ResponseHost.StartAsync(engine);
        JsonElement conversation = await host.CallAsync(HttpMethod.Post, "/v1/conversations", "ConversationResource", "{}");
        _ = await host.StreamAsync($"\"input\":\"1\",\"conversation\":\"{Id(conversation)}\"");
        JsonElement items = await host.GetAsync($"/v1/conversations/{Id(conversation)}/items", "ConversationItemList");
        Assert.Equal(said.Length > 0 ? ["assistant: partial", "user: 1"] : [], ResponseHost.Items(items.GetProperty("data")));
        if (said.Length > 0)
            Assert.Equal("incomplete", items.GetProperty("data")[0].GetProperty("status").GetString());
        else
            Assert.Equal("", items.GetProperty("first_id").GetString());
    }

    [Fact]
    public async Task A_background_response_answers_at_once_and_is_fetched_when_it_has_ended()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        Assert.Equal(("queued", true), (queued.GetProperty("status").GetString(), queued.GetProperty("background").GetBoolean()));
        _ = await UntilAsync(host, Id(queued), "in_progress");
        Assert.Equal((400, "previous_response_id", "invalid_value"), await host.FailAsync($"\"input\":\"?\",\"previous_response_id\":\"{Id(queued)}\""));
        held.Release();
        JsonElement ended = await UntilAsync(host, Id(queued), "completed");
        Assert.Equal(["assistant: one two"], ResponseHost.Items(ended.GetProperty("output")));
        Assert.True(JsonElement.DeepEquals(ended, await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/{Id(queued)}/cancel", "Response")));
    }

    [Fact]
    public async Task A_background_stream_is_taken_up_again_where_it_broke_off_while_it_runs_and_after()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        _ = await UntilAsync(host, Id(queued), "in_progress");
        Task<string> running = host.Host.Client.GetStringAsync(new Uri($"{ResponseHost.Path}/{Id(queued)}?stream=true&starting_after=1", UriKind.Relative));
        held.Release();
        List<JsonElement> live = ResponseHost.Events(await running, first: 2);
        List<JsonElement> all = ResponseHost.Events(await host.Host.Client.GetStringAsync(new Uri($"{ResponseHost.Path}/{Id(queued)}?stream=true", UriKind.Relative)));
        Assert.Equal(["response.created", "response.queued", "response.in_progress"], ResponseHost.Types(all).Take(3));
        Assert.Equal("response.completed", ResponseHost.Types(all)[^1]);
        Assert.Equal(all.Skip(2).Select(data => data.GetRawText()), live.Select(data => data.GetRawText()));
        _ = await UntilAsync(host, Id(queued), "completed");
        List<JsonElement> tail = ResponseHost.Events(await host.Host.Client.GetStringAsync(
            new Uri($"{ResponseHost.Path}/{Id(queued)}?stream=true&starting_after={all.Count - 2}", UriKind.Relative)), first: all.Count - 1);
        Assert.Equal(all[^1].GetRawText(), Assert.Single(tail).GetRawText());
        Assert.Equal((400, "starting_after", "invalid_value"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{Id(queued)}?starting_after=1"));
        JsonElement other = await host.CreateAsync("\"input\":\"Hi\"");
        Assert.Equal((400, "stream", "invalid_value"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{Id(other)}?stream=true"));
        Assert.Equal((400, "response_id", "invalid_value"), await host.FailAsync(HttpMethod.Post, $"{ResponseHost.Path}/{Id(other)}/cancel"));
    }

    [Fact]
    public async Task A_background_response_is_cancelled_and_keeps_what_it_had()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        _ = await UntilAsync(host, Id(queued), "in_progress");
        JsonElement cancelled = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/{Id(queued)}/cancel", "Response");
        Assert.Equal("cancelled", cancelled.GetProperty("status").GetString());
        Assert.Equal(["assistant: one "], ResponseHost.Items(cancelled.GetProperty("output")));
        Assert.True(host.Engine.Submitted.Single().CancelRequested);
        Assert.Equal("cancelled", (await host.GetAsync($"{ResponseHost.Path}/{Id(queued)}", "Response")).GetProperty("status").GetString());
        List<JsonElement> events = ResponseHost.Events(await host.Host.Client.GetStringAsync(new Uri($"{ResponseHost.Path}/{Id(queued)}?stream=true", UriKind.Relative)));
        Assert.Equal("cancelled", events[^1].GetProperty("code").GetString());
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Post, $"{ResponseHost.Path}/resp_none/cancel"));
    }

    [Fact]
    public async Task A_running_response_that_is_deleted_stops_and_stays_deleted()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        _ = await UntilAsync(host, Id(queued), "in_progress");
        _ = await host.CallAsync(HttpMethod.Delete, $"{ResponseHost.Path}/{Id(queued)}", null);
        await Eventually.HoldsAsync(() => host.Engine.Submitted.Single().CancelRequested);
        Assert.True(host.Engine.Submitted.Single().CancelRequested);
        await Eventually.HoldsAsync(() => host.Host.Service<InferenceServer.Api.OpenAI.Responses.ResponseRuns>().Find("", Id(queued)) is null);
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{Id(queued)}"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_second_turn_of_a_conversation_is_refused_while_one_runs_and_taken_after_it(bool background)
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        string conversation = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{}"));
        string fields = $"\"conversation\":\"{conversation}\",\"input\":";
        Task<JsonElement> first = host.CreateAsync($"{fields}\"Hi\",\"background\":{(background ? "true" : "false")}");
        await Eventually.HoldsAsync(() => !host.Engine.Submitted.IsEmpty);
        Assert.Equal((400, "conversation", "conversation_locked"), await host.FailAsync($"{fields}\"And?\""));
        // Others are free meanwhile.
        string other = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{}"));
        Task<JsonElement> beside = host.CreateAsync($"\"conversation\":\"{other}\",\"input\":\"Hi\"");
        held.Release();
        _ = await UntilAsync(host, Id(await first), "completed");
        _ = await beside;
        string id = Id(await first);
        await Eventually.HoldsAsync(() => host.Host.Service<InferenceServer.Api.OpenAI.Responses.ResponseRuns>().Find("", id) is null);
        _ = await host.CreateAsync($"{fields}\"And?\"");
        Assert.Equal(User("Hi") + Assistant("one two") + User("And?") + Turn, host.LastPrompt);
        // A turn that could not begin holds nothing.
        Assert.Equal((400, "temperature", "out_of_range"), await host.FailAsync($"{fields}\"x\",\"temperature\":9"));
        host.Engine.Refuse = _ => new EngineUnavailableException("Gone.");
        Assert.Equal(503, (await host.FailAsync($"{fields}\"x\"")).Status);
        host.Engine.Refuse = _ => null;
        _ = await host.CreateAsync($"{fields}\"Well?\"");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Items_are_neither_added_nor_deleted_while_a_turn_runs_and_are_after_it(bool background)
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        const string Item = "{\"items\":[{\"role\":\"user\",\"content\":\"Before\"}]}";
        string path = $"/v1/conversations/{Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, Item))}";
        string item = Id((await host.GetAsync(path + "/items", "ConversationItemList")).GetProperty("data")[0]);
        Task<JsonElement> turn = host.CreateAsync($"\"conversation\":\"{path.Split('/')[^1]}\",\"input\":\"Hi\",\"background\":{(background ? "true" : "false")}");
        await Eventually.HoldsAsync(() => !host.Engine.Submitted.IsEmpty);
        Assert.Equal((400, "conversation_id", "conversation_locked"), await host.FailAsync(HttpMethod.Post, path + "/items", Item));
        Assert.Equal((400, "conversation_id", "conversation_locked"), await host.FailAsync(HttpMethod.Delete, $"{path}/items/{item}"));
        // Reading is free, and so are other conversations.
        Assert.Equal(["user: Before"], ResponseHost.Items((await host.GetAsync(path + "/items", "ConversationItemList")).GetProperty("data")));
        string other = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{}"));
        _ = await host.CallAsync(HttpMethod.Post, $"/v1/conversations/{other}/items", "ConversationItemList", Item);
        held.Release();
        _ = await UntilAsync(host, Id(await turn.WaitAsync(TimeSpan.FromSeconds(20))), "completed");

        _ = await host.CallAsync(HttpMethod.Delete, $"{path}/items/{item}", "ConversationResource");
        // Those who change items do not wait for each other.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => host.CallAsync(HttpMethod.Post, path + "/items", "ConversationItemList", Item))).WaitAsync(TimeSpan.FromSeconds(20));
        JsonElement items = await host.GetAsync(path + "/items?order=asc&limit=100", "ConversationItemList");
        Assert.Equal(["user: Hi", "assistant: one two", .. Enumerable.Repeat("user: Before", 8)], ResponseHost.Items(items.GetProperty("data")));
    }

    [Fact]
    public async Task Changes_of_items_share_a_conversation_and_a_turn_has_it_for_itself()
    {
        InferenceServer.Api.OpenAI.Responses.ConversationLocks locks = new(TimeProvider.System);
        using (await locks.ChangeAsync("o", "c", CancellationToken.None))
        {
            using (await locks.ChangeAsync("o", "c", CancellationToken.None))
                Assert.Equal("conversation_locked", (await Assert.ThrowsAsync<RequestProblem>(() => locks.TakeAsync("o", "c", CancellationToken.None))).Code);
            // One of two is left.
            Assert.Equal("conversation", (await Assert.ThrowsAsync<RequestProblem>(() => locks.TakeAsync("o", "c", CancellationToken.None))).Where);
            (await locks.TakeAsync("other", "c", CancellationToken.None)).Dispose();
        }

        using (await locks.TakeAsync("o", "c", CancellationToken.None))
            Assert.Equal("conversation_id", (await Assert.ThrowsAsync<RequestProblem>(() => locks.ChangeAsync("o", "c", CancellationToken.None))).Where);
        (await locks.TakeAsync("o", "c", CancellationToken.None)).Dispose();
    }

    [Theory]
    [InlineData(ResponseHost.Path)]
    [InlineData(ResponseHost.Path + "/input_tokens")]
    public async Task A_response_that_nobody_runs_any_more_can_be_continued_without_having_been_asked_for(string path)
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        string next = $"{{\"model\":\"scripted\",\"input\":\"And?\",\"previous_response_id\":\"{Id(queued)}\"}}";
        Assert.Equal((400, "previous_response_id", "invalid_value"), await host.FailAsync(HttpMethod.Post, path, next));
        await host.Store.Database.WriteAsync(connection => connection.Execute("CREATE TRIGGER full BEFORE UPDATE ON responses BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"));
        held.Release();
        await Eventually.HoldsAsync(() => host.Host.Service<InferenceServer.Api.OpenAI.Responses.ResponseRuns>().Find("", Id(queued)) is null);
        await host.Store.Database.WriteAsync(connection => connection.Execute("DROP TRIGGER full"));
        Assert.True((await host.Store.Store.Responses.FindAsync("", Id(queued)))!.Running);
        _ = await host.CallAsync(HttpMethod.Post, path, null, next);
        Assert.False((await host.Store.Store.Responses.FindAsync("", Id(queued)))!.Running);
        if (path == ResponseHost.Path)
            Assert.Equal(User("Hi") + User("And?") + Turn, host.LastPrompt);
    }

    [Fact]
    public async Task A_background_response_whose_end_cannot_be_stored_has_failed_and_not_at_the_next_start_only()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        await host.Store.Database.WriteAsync(connection => connection.Execute("CREATE TRIGGER full BEFORE UPDATE ON responses BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"));
        held.Release();
        JsonElement failed = await UntilAsync(host, Id(queued), "failed");
        Assert.Contains("could not be stored", failed.GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);
        await Eventually.HoldsAsync(() => host.Host.Service<InferenceServer.Api.OpenAI.Responses.ResponseRuns>().Find("", Id(queued)) is null);
        // Nothing of it runs any more, and on the disk it still does.
        Assert.True((await host.Store.Store.Responses.FindAsync("", Id(queued)))!.Running);
        _ = await UntilAsync(host, Id(queued), "failed");
        await host.Store.Database.WriteAsync(connection => connection.Execute("DROP TRIGGER full"));
        _ = await UntilAsync(host, Id(queued), "failed");
        Assert.False((await host.Store.Store.Responses.FindAsync("", Id(queued)))!.Running);
    }

    [Fact]
    public async Task A_response_that_ends_between_two_looks_at_it_is_not_taken_for_one_that_failed()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        var runs = host.Host.Service<InferenceServer.Api.OpenAI.Responses.ResponseRuns>();
        JsonElement queued = await host.CreateAsync("\"input\":\"Hi\",\"background\":true");
        StoredResponse seen = (await host.Store.Store.Responses.FindAsync("", Id(queued)))!;
        Assert.True(seen.Running);
        held.Release();
        await Eventually.HoldsAsync(() => runs.Find("", Id(queued)) is null);
        Assert.False((await runs.SettleAsync(seen)).Running);
        Assert.Equal("completed", (await UntilAsync(host, Id(queued), "completed")).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_client_that_leaves_its_stream_stops_the_response()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        using (HttpResponseMessage answer = await host.Host.PostAsync(ResponseHost.Path, "{\"model\":\"scripted\",\"input\":\"Hi\",\"stream\":true}"))
            Assert.True(answer.IsSuccessStatusCode);
        await Eventually.HoldsAsync(() => host.Engine.Submitted.Single().CancelRequested);
        Assert.True(host.Engine.Submitted.Single().CancelRequested);
    }

    [Fact]
    public async Task Truncation_auto_drops_the_oldest_turns_whole_and_says_how_many()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string filler = new('x', 1200);
        string input = string.Join(',', Enumerable.Range(1, 4).Select(i =>
            $"{{\"role\":\"user\",\"content\":\"{i}{filler}\"}},{{\"type\":\"function_call\",\"call_id\":\"c{i}\",\"name\":\"n\",\"arguments\":\"{{}}\"}},{{\"type\":\"function_call_output\",\"call_id\":\"c{i}\",\"output\":\"o{i}\"}}"));
        string fields = $"\"instructions\":\"S\",\"input\":[{input},{{\"role\":\"user\",\"content\":\"last\"}}],\"max_output_tokens\":100";
        Assert.Equal((400, "input", "context_length_exceeded"), await host.FailAsync(fields));
        JsonElement response = await host.CreateAsync(fields + ",\"truncation\":\"auto\"");
        Assert.Equal((1, 3), (response.GetProperty("x_truncation").GetProperty("dropped_turns").GetInt32(), response.GetProperty("x_truncation").GetProperty("dropped_messages").GetInt32()));
        Assert.StartsWith("<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n2x", host.LastPrompt, StringComparison.Ordinal);
        Assert.DoesNotContain("o1", host.LastPrompt, StringComparison.Ordinal);
        Assert.Contains("o2", host.LastPrompt, StringComparison.Ordinal);
        JsonElement roomy = await host.CreateAsync("\"input\":\"Hi\",\"truncation\":\"auto\"");
        Assert.False(roomy.TryGetProperty("x_truncation", out _));
    }

    [Fact]
    public async Task Input_tokens_are_those_of_the_prompt_and_need_no_response()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        JsonElement first = await host.CreateAsync("\"input\":\"Hi\"");
        JsonElement counted = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/input_tokens", "TokenCountsResource", "{\"input\":\"Hi\"}");
        Assert.Equal(first.GetProperty("usage").GetProperty("input_tokens").GetInt32(), counted.GetProperty("input_tokens").GetInt32());
        counted = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/input_tokens", "TokenCountsResource", $"{{\"model\":\"scripted\",\"input\":\"More\",\"previous_response_id\":\"{Id(first)}\"}}");
        JsonElement second = await host.CreateAsync($"\"input\":\"More\",\"previous_response_id\":\"{Id(first)}\"");
        Assert.Equal(second.GetProperty("usage").GetProperty("input_tokens").GetInt32(), counted.GetProperty("input_tokens").GetInt32());
        Assert.Equal(2, host.Engine.Submitted.Count);
    }

    [Fact]
    public async Task A_compaction_is_the_models_summary_and_is_taken_as_input()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("They said hello.");
        JsonElement first = await host.CreateAsync("\"input\":\"Hi\"");
        JsonElement compacted = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/compact", "CompactResource", $"{{\"model\":\"scripted\",\"previous_response_id\":\"{Id(first)}\"}}");
        Assert.StartsWith(User("Hi") + Assistant("They said hello.") + "<|im_start|>user\nSummarise", host.LastPrompt, StringComparison.Ordinal);
        Assert.Equal(["user: Hi", "compaction"], ResponseHost.Items(compacted.GetProperty("output")));
        string items = string.Join(',', compacted.GetProperty("output").EnumerateArray().Select(item => item.GetRawText()));
        _ = await host.CreateAsync($"\"input\":[{items},{{\"role\":\"user\",\"content\":\"Go on\"}}]");
        Assert.Equal(User("Hi") + "<|im_start|>system\nSummary of the conversation so far:\nThey said hello.<|im_end|>\n" + User("Go on") + Turn, host.LastPrompt);
        Assert.Equal((400, "input", "missing_required_parameter"), await host.FailAsync(HttpMethod.Post, $"{ResponseHost.Path}/compact", "{\"model\":\"scripted\"}"));
    }

    [Fact]
    public async Task A_path_of_a_conversation_is_counted_and_compacted_without_input_and_left_as_it_was()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string conversation = Id(await host.CallAsync(HttpMethod.Post, "/v1/conversations", null, "{}"));
        _ = await host.CreateAsync($"\"input\":\"1\",\"conversation\":\"{conversation}\"");
        _ = await host.CreateAsync($"\"input\":\"2\",\"conversation\":\"{conversation}\"");
        JsonElement items = (await host.GetAsync($"/v1/conversations/{conversation}/items?order=asc", "ConversationItemList")).GetProperty("data");
        string whole = User("1") + Assistant("A") + User("2") + Assistant("A"), first = User("1") + Assistant("A");
        foreach ((string fields, string path) in ((string, string)[])
        [
            ($"\"conversation\":\"{conversation}\"", whole), ($"\"input\":[],\"conversation\":{{\"id\":\"{conversation}\"}}", whole),
            ($"\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{Id(items[1])}\"}}", first), ($"\"input\":[],\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{Id(items[1])}\"}}", first),
        ])
        {
            JsonElement compacted = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/compact", "CompactResource", $"{{\"model\":\"scripted\",{fields}}}");
            Assert.StartsWith(path + "<|im_start|>user\nSummarise", host.LastPrompt, StringComparison.Ordinal);
            Assert.Equal(path == whole ? ["user: 1", "user: 2", "compaction"] : ["user: 1", "compaction"], ResponseHost.Items(compacted.GetProperty("output")));
            JsonElement counted = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/input_tokens", "TokenCountsResource", $"{{{fields}}}");
            Assert.Equal(ScriptedVocabulary.Instance.Tokenize(path + Turn, false, true).Length, counted.GetProperty("input_tokens").GetInt32());
        }

        Assert.Equal(4, (await host.GetAsync($"/v1/conversations/{conversation}/items", "ConversationItemList")).GetProperty("data").GetArrayLength());
        foreach (string route in (string[])["compact", "input_tokens"])
        {
            Assert.Equal((400, "conversation.parent_id", "item_not_found"),
                await host.FailAsync(HttpMethod.Post, $"{ResponseHost.Path}/{route}", $"{{\"model\":\"scripted\",\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"msg_none\"}}}}"));
            Assert.Equal((404, "conversation", "not_found"), await host.FailAsync(HttpMethod.Post, $"{ResponseHost.Path}/{route}", "{\"model\":\"scripted\",\"conversation\":{\"id\":\"conv_none\"}}"));
        }

        Assert.Equal((400, "input", "missing_required_parameter"),
            await host.FailAsync(HttpMethod.Post, $"{ResponseHost.Path}/compact", $"{{\"model\":\"scripted\",\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":null}}}}"));
    }
}
