using System.Text;
using System.Text.Json;
using InferenceServer.Api;
using InferenceServer.Store;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Store;

/// <summary>Conversations as trees, their list by last use, and what a search finds.</summary>
public sealed class ConversationStoreTests
{
    private static readonly Dictionary<string, string> None = [];
    private static readonly PageQuery All = new(null, 100, true);

    private static NewItem Item(string id, string? text = null) => new(id, JsonSerializer.SerializeToUtf8Bytes(new
    {
        type = "message",
        content = new[] { new { type = "input_text", text = text ?? id } },
    }));

    private static NewItem Below(string id, params string[] candidates) => Item(id) with { Parent = new ItemParent(candidates, "items[0].parent_id") };

    private static async Task<TempStore> WithAsync(params NewItem[] items)
    {
        TempStore store = new();
        await store.Store.Conversations.AddAsync(new StoredConversation("c", "", DateTimeOffset.UnixEpoch, None), items);
        return store;
    }

    private static Task<IReadOnlyList<StoredItem>?> AppendAsync(TempStore store, params NewItem[] items) =>
        store.Store.Conversations.AppendAsync("", new ConversationAppend("c", items));

    private static async Task<string> PathAsync(TempStore store, string? leaf = null) =>
        string.Join(' ', (await store.Store.Conversations.PathAsync("", "c", leaf)).Select(item => item.Id));

    private static async Task<string> TreeAsync(TempStore store) =>
        string.Join(' ', (await store.Store.Conversations.ListItemsAsync("", "c", new PageQuery(null, 100, false))).Items.Select(item => $"{item.Parent}>{item.Id}"));

    [Fact]
    public async Task Items_hang_on_the_newest_one_unless_they_name_another()
    {
        await using TempStore store = await WithAsync(Item("a"), Item("b"));
        Assert.Equal(["b", "c"], (await AppendAsync(store, Item("c"), Item("d")))!.Select(item => item.Parent));
        await AppendAsync(store, Below("e", "b"), Item("f"));
        await AppendAsync(store, Below("g"));
        await AppendAsync(store, Item("h"), Below("i", "c"), Item("j"), Below("k", "h"));
        Assert.Equal(">a a>b b>c c>d b>e e>f >g g>h c>i i>j h>k", await TreeAsync(store));
        Assert.Equal("g h k", await PathAsync(store));
        Assert.Equal("a b e f", await PathAsync(store, "f"));
        Assert.Equal("a b c i j", await PathAsync(store, "j"));
        Assert.Equal("", await PathAsync(store, "nothing"));
    }

    [Fact]
    public async Task A_parent_that_is_not_there_names_its_field_and_nothing_is_added()
    {
        await using TempStore store = await WithAsync(Item("a"));
        await store.Store.Conversations.AddAsync(new StoredConversation("other", "", DateTimeOffset.UnixEpoch, None), [Item("x")]);
        foreach (NewItem wrong in (NewItem[])[Below("b", "nothing"), Below("b", "x"), Below("b", "b")])
        {
            RequestProblem error = await Assert.ThrowsAsync<RequestProblem>(() => AppendAsync(store, Item("first"), wrong));
            Assert.Equal((ProblemKind.Invalid, "items[0].parent_id", "item_not_found"), (error.Kind, error.Where, error.Code));
        }

        Assert.Equal("items", (await Assert.ThrowsAsync<RequestProblem>(() => AppendAsync(store, Item("first"), Item("a")))).Where);
        Assert.Equal(">a", await TreeAsync(store));
        Assert.Null(await store.Store.Conversations.AppendAsync("", new ConversationAppend("gone", [Item("b")])));
    }

    [Fact]
    public async Task A_turn_whose_parent_was_deleted_meanwhile_moves_up_as_those_that_were_there_did()
    {
        await using TempStore store = await WithAsync(Item("a"), Item("b"), Item("c"), Item("d"));
        await AppendAsync(store, Below("e", "c"));
        Assert.True(await store.Store.Conversations.DeleteItemAsync("", "c", "c"));
        Assert.Equal(">a a>b b>d b>e", await TreeAsync(store));
        await AppendAsync(store, Item("late") with { Parent = new ItemParent(["c", "b", "a"]) });
        Assert.True(await store.Store.Conversations.DeleteItemAsync("", "c", "a"));
        await AppendAsync(store, Item("later") with { Parent = new ItemParent(["a"]) });
        Assert.Equal(">b b>d b>e b>late >later", await TreeAsync(store));
        Assert.False(await store.Store.Conversations.DeleteItemAsync("", "c", "a"));
    }

    [Fact]
    public async Task A_path_of_ten_thousand_items_is_read_and_one_that_no_memory_holds_is_refused()
    {
        await using TempStore store = await WithAsync();
        for (int i = 0; i < 10; i++)
            await AppendAsync(store, [.. Enumerable.Range(0, 1000).Select(j => Item($"{i}-{j}"))]);
        Assert.Equal(10_000, (await store.Store.Conversations.PathAsync("", "c", null)).Count);
        Assert.Equal(3_001, (await store.Store.Conversations.PathAsync("", "c", "3-0")).Count);

        byte[] large = Encoding.UTF8.GetBytes($"\"{new string('x', (int)(ResponseStore.MaxHistoryBytes / 2))}\"");
        await AppendAsync(store, Below("large"), new NewItem("larger", large));
        await AppendAsync(store, new NewItem("largest", large));
        Assert.Equal(2, (await store.Store.Conversations.PathAsync("", "c", "larger")).Count);
        Assert.Equal("context_length_exceeded", (await Assert.ThrowsAsync<RequestProblem>(() => store.Store.Conversations.PathAsync("", "c", null))).Code);
    }

    [Fact]
    public async Task What_the_file_holds_can_lead_nobody_in_circles()
    {
        await using TempStore store = await WithAsync(Item("a"), Item("b"), Item("c"));
        await store.Database.WriteAsync(connection => connection.Execute("UPDATE conversation_items SET parent = 'c' WHERE id = 'a'"));
        Assert.Equal("a b c", await PathAsync(store));
    }

    [Fact]
    public async Task Conversations_are_listed_by_when_something_was_last_said_which_a_new_title_is_not()
    {
        FakeTimeProvider clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
        await using TempStore store = new(clock);
        foreach (string id in (string[])["a", "b", "c", "d"])
        {
            await store.Store.Conversations.AddAsync(new StoredConversation(id, "", clock.GetUtcNow(), None), []);
            clock.Advance(TimeSpan.FromSeconds(1));
        }

        await store.Store.Conversations.AppendAsync("", new ConversationAppend("b", [Item("i")]));
        await store.Store.Conversations.SetMetadataAsync("", "a", new Dictionary<string, string> { ["title"] = "A" });
        // Of old, as an import brings it.
        await store.Store.Conversations.AddAsync(new StoredConversation("e", "", DateTimeOffset.UnixEpoch, None), [Item("j") with { Created = DateTimeOffset.UnixEpoch.AddDays(1) }]);

        Assert.Equal("bdcae", await ListAsync(store, All));
        Assert.Equal("eacdb", await ListAsync(store, All with { Descending = false }));
        Assert.Equal("bd+", await ListAsync(store, All with { Limit = 2 }));
        Assert.Equal("ca+", await ListAsync(store, new PageQuery("d", 2, true)));
        Assert.Equal("db", await ListAsync(store, new PageQuery("c", 2, false)));
        Assert.Equal("after", (await Assert.ThrowsAsync<RequestProblem>(() => ListAsync(store, new PageQuery("z", 2, true)))).Where);
        Assert.Equal(DateTimeOffset.UnixEpoch.AddDays(1), (await store.Store.Conversations.FindAsync("", "e"))!.Updated);
    }

    [Theory]
    [InlineData("zebra", "title a,item b2")]
    [InlineData("zeb", "title a,item b2")]
    [InlineData("ZEBRA striped", "item b2")]
    [InlineData("striped zebra", "item b2")]
    [InlineData("striped \"zebra", "item b2")]
    [InlineData("zeb striped", "")]
    [InlineData("ebra", "")]
    [InlineData("cafe", "item c1")]
    [InlineData("Café*", "item c1")]
    [InlineData("don't", "item c2")]
    [InlineData("NOT zebra", "")]
    [InlineData("text:zebra", "")]
    [InlineData("日本", "item b3,item c3")]
    [InlineData("本語", "item b3,item c3")]
    [InlineData("語", "item b3,item c3")]
    [InlineData("語日", "")]
    [InlineData("日語", "")]
    [InlineData("话历史", "item a1")]
    [InlineData("カナ", "item b3")]
    [InlineData("ひら カタ", "item b3")]
    [InlineData("ひ語", "")]
    [InlineData("𠮟る", "item b3")]
    [InlineData("GPT4で", "item b3")]
    [InlineData("gpt4", "item b3")]
    [InlineData("PT4", "")]
    [InlineData("사과", "item a1")]
    [InlineData("과를", "")]
    [InlineData("東京", "title d")]
    [InlineData("absent", "")]
    public async Task A_search_finds_words_in_titles_and_messages_and_the_beginning_of_the_last(string text, string found)
    {
        await using TempStore store = new();
        foreach ((string id, string title, NewItem[] items) in ((string, string, NewItem[])[])
        [
            ("c", "Drinks", [Item("c1", "A CAFÉ by the sea"), Item("c2", "We don't know"), Item("c3", "日本語 です")]),
            ("b", "Stripes", [Item("b1", "A zebra is striped."), Item("b2", "Is the striped one a zebra?"), Item("b3", "ひらがなカタカナと日本語を𠮟るGPT4で書く")]),
            ("a", "The zebra", [Item("a1", "A horse 我们说过的对话历史。사과를 먹다")]),
            ("d", "大東京タワー", [Item("d1", "Tall")]),
        ])
            await store.Store.Conversations.AddAsync(new StoredConversation(id, "", DateTimeOffset.UnixEpoch, new Dictionary<string, string> { ["title"] = title, ["note"] = "absent" }), items);
        var page = await store.Store.Conversations.ListAsync("", All, ConversationSearch.Of(text));
        Assert.Equal(found, string.Join(',', page.Items.Select(row => row.Match!.ItemId is { } item ? $"item {item}" : $"title {row.Conversation.Id}")));
    }

    [Fact]
    public async Task A_match_is_shown_with_what_stands_around_it_and_follows_what_changes()
    {
        await using TempStore store = await WithAsync(Item("a", $"{string.Join(' ', Enumerable.Repeat("before", 100))} the \u0001needle\u0002 lies & <b>here</b> {string.Join(' ', Enumerable.Repeat("after", 100))}"));
        SearchMatch match = await MatchAsync("needle");
        Assert.Equal(("a", "needle"), (match.ItemId, match.Text));
        Assert.EndsWith("before the  ", match.Before, StringComparison.Ordinal);
        Assert.StartsWith("  lies & <b>here</b> after", match.After, StringComparison.Ordinal);
        Assert.InRange(match.Before.Length + match.After.Length, 50, 300);

        await store.Store.Conversations.SetMetadataAsync("", "c", new Dictionary<string, string> { ["title"] = "A needle" });
        Assert.Equal(new SearchMatch(null, "A ", "needle", ""), await MatchAsync("needle"));
        await store.Store.Conversations.SetMetadataAsync("", "c", None);
        Assert.Equal("a", (await MatchAsync("needle")).ItemId);
        await store.Store.Conversations.SetMetadataAsync("", "c", new Dictionary<string, string> { ["title"] = "大きな東京タワーの話" });
        Assert.Equal(new SearchMatch(null, "大きな", "東京", "タワーの話"), await MatchAsync("東京"));
        await store.Store.Conversations.DeleteItemAsync("", "c", "a");
        Assert.Empty((await store.Store.Conversations.ListAsync("", All, ConversationSearch.Of("needle"))).Items);

        async Task<SearchMatch> MatchAsync(string text) => Assert.Single((await store.Store.Conversations.ListAsync("", All, ConversationSearch.Of(text))).Items).Match!;
    }

    [Fact]
    public void A_text_without_words_is_no_search()
    {
        Assert.Null(ConversationSearch.Of(" \t\"*:^-()' \ud83d\ude00"));
        Assert.Equal("\"a\" AND \"b\"*", ConversationSearch.Of("a, (b)")!.Expression);
    }

    private static async Task<string> ListAsync(TempStore store, PageQuery query)
    {
        var page = await store.Store.Conversations.ListAsync("", query, null);
        return string.Concat(page.Items.Select(row => row.Conversation.Id)) + (page.HasMore ? "+" : "");
    }
}
