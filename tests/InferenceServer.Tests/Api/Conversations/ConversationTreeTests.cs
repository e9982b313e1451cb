using System.Text.Json;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Tests.Api.Responses;

namespace InferenceServer.Tests.Api.Conversations;

/// <summary>Conversations as a chat page uses them: branches, imports, the list, and replies that go on without it.</summary>
public sealed class ConversationTreeTests
{
    private const string Path = "/v1/conversations";

    private static string User(string text) => $"<|im_start|>user\n{text}<|im_end|>\n";

    private static string Assistant(string text) => $"<|im_start|>assistant\n{text}<|im_end|>\n";

    private const string Turn = "<|im_start|>assistant\n";

    private static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;

    private static async Task<string> NewAsync(ResponseHost host, string body = "{}") => Id(await host.CallAsync(HttpMethod.Post, Path, "ConversationResource", body));

    private static async Task<List<JsonElement>> ItemsAsync(ResponseHost host, string conversation) =>
        [.. (await host.GetAsync($"{Path}/{conversation}/items?order=asc&limit=100", "ConversationItemList")).GetProperty("data").EnumerateArray()];

    private static Task<JsonElement> ListAsync(ResponseHost host, string query = "") => host.CallAsync(HttpMethod.Get, Path + query, null);

    /// <summary>Each item as the path of texts that leads to it.</summary>
    private static async Task<string[]> TreeAsync(ResponseHost host, string conversation)
    {
        List<JsonElement> items = await ItemsAsync(host, conversation);
        Dictionary<string, string> paths = [];
        foreach (JsonElement item in items)
            paths[Id(item)] = (item.GetProperty("parent_id").GetString() is { } parent ? paths[parent] + " " : "") + item.GetProperty("content")[0].GetProperty("text").GetString();
        return [.. paths.Values];
    }

    [Fact]
    public async Task A_turn_goes_on_from_the_item_it_names_and_another_from_the_newest()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string conversation = await NewAsync(host);
        JsonElement first = await host.CreateAsync($"\"input\":\"1\",\"conversation\":\"{conversation}\"");
        Assert.False(first.GetProperty("conversation").TryGetProperty("parent_id", out _));
        _ = await host.CreateAsync($"\"input\":\"2\",\"conversation\":{{\"id\":\"{conversation}\"}}");
        List<JsonElement> items = await ItemsAsync(host, conversation);
        Assert.Equal((Id(first), true), (items[1].GetProperty("response_id").GetString(), items[1].GetProperty("created_at").GetInt64() > 0));
        Assert.Equal(JsonValueKind.Null, items[0].GetProperty("response_id").ValueKind);
        Assert.Equal(JsonValueKind.Null, items[0].GetProperty("parent_id").ValueKind);

        // Another question in the place of the second, then another reply to the first, and a branch from the very beginning.
        JsonElement edited = await host.CreateAsync($"\"input\":\"2b\",\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{Id(items[1])}\"}}");
        Assert.Equal(User("1") + Assistant("A") + User("2b") + Turn, host.LastPrompt);
        Assert.Equal(Id(items[1]), edited.GetProperty("conversation").GetProperty("parent_id").GetString());
        _ = await host.CreateAsync($"\"input\":[],\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{Id(items[0])}\"}}");
        Assert.Equal(User("1") + Turn, host.LastPrompt);
        _ = await host.CreateAsync($"\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{Id(items[0])}\"}}");
        _ = await host.CreateAsync($"\"input\":\"0\",\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":null}}");
        Assert.Equal(User("0") + Turn, host.LastPrompt);
        _ = await host.CreateAsync($"\"input\":\"newest\",\"conversation\":\"{conversation}\"");
        Assert.Equal(User("0") + Assistant("A") + User("newest") + Turn, host.LastPrompt);
        Assert.Equal(["1", "1 A", "1 A 2", "1 A 2 A", "1 A 2b", "1 A 2b A", "1 A", "1 A", "0", "0 A", "0 A newest", "0 A newest A"], await TreeAsync(host, conversation));

        JsonElement counted = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/input_tokens", null, $"{{\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{Id(items[0])}\"}}}}");
        Assert.Equal((User("1") + Turn).Replace("<|im_start|>", "s", StringComparison.Ordinal).Replace("<|im_end|>", "e", StringComparison.Ordinal).Length, counted.GetProperty("input_tokens").GetInt32());
    }

    [Theory]
    [InlineData("\"input\":\"x\",\"conversation\":{\"id\":\"$\",\"parent_id\":\"msg_none\"}", "conversation.parent_id", "item_not_found")]
    [InlineData("\"input\":\"x\",\"conversation\":{\"id\":\"$\",\"parent_id\":7}", "conversation.parent_id", "invalid_type")]
    [InlineData("\"conversation\":{\"id\":\"$\",\"parent_id\":null}", "input", "missing_required_parameter")]
    [InlineData("\"input\":[],\"conversation\":\"$\"", "input", "missing_required_parameter")]
    public async Task A_place_that_is_not_there_is_named(string fields, string param, string code)
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string conversation = await NewAsync(host);
        Assert.Equal((400, param, code), await host.FailAsync(fields.Replace("$", conversation, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Two_replies_to_one_message_are_made_at_once_and_a_turn_without_a_place_waits_for_none_of_them()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        string conversation = await NewAsync(host, "{\"items\":[{\"role\":\"user\",\"content\":\"Q\"}]}");
        string question = Id((await ItemsAsync(host, conversation))[0]);
        string fields = $"\"background\":true,\"conversation\":{{\"id\":\"{conversation}\",\"parent_id\":\"{question}\"}}";
        string[] running = [Id(await host.CreateAsync(fields)), Id(await host.CreateAsync(fields))];
        JsonElement now = await host.GetAsync($"{Path}/{conversation}", "ConversationResource");
        Assert.Equal(running.Order(), now.GetProperty("running").EnumerateArray().Select(id => id.GetString()!).Order());
        Assert.Equal(2, (await ListAsync(host)).GetProperty("data")[0].GetProperty("running").GetArrayLength());
        Task<JsonElement> plain = host.CreateAsync($"\"input\":\"linear\",\"conversation\":\"{conversation}\"");
        await Eventually.HoldsAsync(() => host.Engine.Submitted.Count == 3);
        held.Release();
        _ = await plain;
        await Eventually.HoldsAsync(async () => (await host.GetAsync($"{Path}/{conversation}", "ConversationResource")).GetProperty("running").GetArrayLength() == 0);
        // The linear turn hangs on what it has seen, whoever was faster.
        Assert.Equal(["Q", "Q linear", "Q linear one two", "Q one two", "Q one two"], (await TreeAsync(host, conversation)).Order());
        Assert.Equal(running.Order(), (await ItemsAsync(host, conversation)).Where(item => item.GetProperty("parent_id").GetString() == question && item.GetProperty("role").GetString() == "assistant")
            .Select(item => item.GetProperty("response_id").GetString()!).Order());
    }

    [Fact]
    public async Task What_a_cancelled_reply_said_stays_as_incomplete_with_what_was_asked()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        string conversation = await NewAsync(host);
        string id = Id(await host.CreateAsync($"\"input\":\"Hi\",\"background\":true,\"conversation\":\"{conversation}\""));
        await Eventually.HoldsAsync(async () => (await host.GetAsync($"{ResponseHost.Path}/{id}", "Response")).GetProperty("status").GetString() == "in_progress");
        JsonElement cancelled = await host.CallAsync(HttpMethod.Post, $"{ResponseHost.Path}/{id}/cancel", "Response");
        Assert.Equal("cancelled", cancelled.GetProperty("status").GetString());
        List<JsonElement> items = await ItemsAsync(host, conversation);
        Assert.Equal(["Hi", "Hi one "], await TreeAsync(host, conversation));
        Assert.Equal(("incomplete", id), (items[1].GetProperty("status").GetString(), items[1].GetProperty("response_id").GetString()));
    }

    [Fact]
    public async Task A_conversation_that_is_deleted_takes_the_reply_that_is_being_made_with_it()
    {
        Held held = new();
        await using ResponseHost host = await ResponseHost.StartAsync(held.Engine);
        string conversation = await NewAsync(host);
        string id = Id(await host.CreateAsync($"\"input\":\"Hi\",\"background\":true,\"conversation\":\"{conversation}\""));
        Task<JsonElement> other = host.CreateAsync("\"input\":\"Hi\"");
        _ = await host.CallAsync(HttpMethod.Delete, $"{Path}/{conversation}", "DeletedConversationResource");
        Assert.True(host.Engine.Submitted.First().CancelRequested);
        await Eventually.HoldsAsync(() => host.Host.Service<ResponseRuns>().Find("", id) is null);
        Assert.Equal((404, "response_id", "not_found"), await host.FailAsync(HttpMethod.Get, $"{ResponseHost.Path}/{id}"));
        held.Release();
        Assert.Equal("completed", (await other).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_tree_is_imported_by_the_ids_it_was_sent_with_and_keeps_its_times()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string ours = $"msg_{Guid.NewGuid():N}";
        string conversation = await NewAsync(host, $$"""
            {"metadata":{"title":"Old"},"created_at":1600000000,"items":[
                {"id":"q","role":"user","content":"Q","created_at":1600000000},
                {"id":"a1","role":"assistant","content":"A1","parent_id":"q","created_at":1600000010},
                {"id":"{{ours}}","role":"assistant","content":"A2","parent_id":"q","created_at":1600000020},
                {"role":"user","content":"more","response_id":"resp_1"}]}
            """);
        List<JsonElement> items = await ItemsAsync(host, conversation);
        Assert.Equal(["Q", "Q A1", "Q A2", "Q A2 more"], await TreeAsync(host, conversation));
        Assert.Equal((ours, 1_600_000_020), (Id(items[2]), items[2].GetProperty("created_at").GetInt64()));
        Assert.NotEqual("a1", Id(items[1]));
        Assert.All(items, item => Assert.Equal(JsonValueKind.Null, item.GetProperty("response_id").ValueKind));

        // Later calls name items by the ids that they have now. An id that is taken, or none of ours, is not kept.
        JsonElement added = await host.CallAsync(HttpMethod.Post, $"{Path}/{conversation}/items", "ConversationItemList",
            $$"""{"parent_id":"{{Id(items[1])}}","items":[{"id":"{{ours}}","role":"user","content":"B"},{"id":"{{ours.ToUpperInvariant()}}","role":"user","content":"C","parent_id":"{{ours}}"},{"role":"user","content":"root","parent_id":null}]}""");
        Assert.DoesNotContain(ours, added.GetProperty("data").EnumerateArray().Select(Id), StringComparer.OrdinalIgnoreCase);
        Assert.Equal(["Q A1 B", "Q A1 B C", "root"], (await TreeAsync(host, conversation))[4..]);
        _ = await host.CallAsync(HttpMethod.Delete, $"{Path}/{conversation}/items/{Id(items[1])}", "ConversationResource");
        Assert.Equal(["Q B", "Q B C", "root"], (await TreeAsync(host, conversation))[3..]);
    }

    [Theory]
    [InlineData("{\"items\":[{\"role\":\"user\",\"content\":\"x\",\"parent_id\":\"msg_none\"}]}", "items[0].parent_id", "item_not_found")]
    [InlineData("{\"items\":[{\"id\":\"a\",\"role\":\"user\",\"content\":\"x\",\"parent_id\":\"a\"}]}", "items[0].parent_id", "item_not_found")]
    [InlineData("{\"items\":[{\"id\":\"a\",\"role\":\"user\",\"content\":\"x\",\"parent_id\":\"b\"},{\"id\":\"b\",\"role\":\"user\",\"content\":\"x\",\"parent_id\":\"a\"}]}", "items[0].parent_id", "item_not_found")]
    [InlineData("{\"parent_id\":\"msg_none\",\"items\":[{\"role\":\"user\",\"content\":\"x\"}]}", "parent_id", "item_not_found")]
    [InlineData("{\"parent_id\":[],\"items\":[{\"role\":\"user\",\"content\":\"x\"}]}", "parent_id", "invalid_type")]
    [InlineData("{\"items\":[{\"role\":\"user\",\"content\":\"x\",\"created_at\":-1}]}", "items[0].created_at", "out_of_range")]
    [InlineData("{\"items\":[{\"role\":\"user\",\"content\":\"x\",\"created_at\":1e99}]}", "items[0].created_at", "invalid_type")]
    public async Task A_tree_that_is_none_is_refused_by_name_and_leaves_nothing(string body, string param, string code)
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string conversation = await NewAsync(host, "{\"items\":[{\"role\":\"user\",\"content\":\"Q\"}]}");
        Assert.Equal((400, param, code), await host.FailAsync(HttpMethod.Post, $"{Path}/{conversation}/items", body));
        Assert.Equal(["Q"], await TreeAsync(host, conversation));
    }

    [Fact]
    public async Task The_list_is_paged_and_searched_and_each_key_has_its_own()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("The zebra is striped.");
        string plain = await NewAsync(host, "{\"created_at\":1600000000}");
        string titled = await NewAsync(host, "{\"metadata\":{\"title\":\"About zebras\"},\"created_at\":1600000001}");
        string said = await NewAsync(host, "{\"created_at\":1600000002}");
        _ = await host.CreateAsync($"\"input\":\"Tell me.\",\"conversation\":\"{said}\"");
        JsonElement all = await ListAsync(host, "?limit=2");
        Assert.Equal((said, titled, true), (all.GetProperty("first_id").GetString(), all.GetProperty("last_id").GetString(), all.GetProperty("has_more").GetBoolean()));
        Assert.False(all.GetProperty("data")[0].TryGetProperty("match", out _));
        Assert.Equal(plain, (await ListAsync(host, $"?limit=2&after={titled}")).GetProperty("data")[0].GetProperty("id").GetString());

        JsonElement found = await ListAsync(host, "?query=zeb");
        JsonElement[] matches = [.. found.GetProperty("data").EnumerateArray().Select(hit => hit.GetProperty("match"))];
        Assert.Equal([said, titled], found.GetProperty("data").EnumerateArray().Select(Id));
        Assert.Equal(("The ", "zebra", " is striped."), (matches[0].GetProperty("before").GetString(), matches[0].GetProperty("text").GetString(), matches[0].GetProperty("after").GetString()));
        Assert.Equal(Id((await ItemsAsync(host, said))[1]), matches[0].GetProperty("item_id").GetString());
        Assert.Equal((JsonValueKind.Null, "zebras"), (matches[1].GetProperty("item_id").ValueKind, matches[1].GetProperty("text").GetString()));
        foreach (string nothing in (string[])["horse", "%22", "*", "%27%20OR%201%3D1"])
            Assert.Equal((0, ""), ((await ListAsync(host, $"?query={nothing}")).GetProperty("data").GetArrayLength(), (await ListAsync(host, $"?query={nothing}")).GetProperty("first_id").GetString()));
        Assert.Equal((400, "query", "invalid_length"), await host.FailAsync(HttpMethod.Get, $"{Path}?query={new string('x', 257)}"));
        Assert.Equal((400, "after", "invalid_value"), await host.FailAsync(HttpMethod.Get, $"{Path}?query=zeb&after=conv_none"));
    }

    [Fact]
    public async Task Ten_calls_bring_ten_thousand_items_and_a_larger_call_is_refused()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        string conversation = await NewAsync(host);
        string items = string.Join(',', Enumerable.Repeat("{\"role\":\"user\",\"content\":\"Some words that are found again\"}", 1000));
        for (int i = 0; i < 10; i++)
            Assert.Equal(1000, (await host.CallAsync(HttpMethod.Post, $"{Path}/{conversation}/items", null, $"{{\"items\":[{items}]}}")).GetProperty("data").GetArrayLength());
        Assert.Equal(1, (await ListAsync(host, "?query=words+again")).GetProperty("data").GetArrayLength());
        Assert.Equal((400, "items", "invalid_length"), await host.FailAsync(HttpMethod.Post, $"{Path}/{conversation}/items", $"{{\"items\":[{items},{items}]}}"));
    }
}
