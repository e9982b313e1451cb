using System.Text;
using InferenceServer.Store;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Store;

/// <summary>What the store promises: whole changes, an owner's things for that owner, and nothing kept longer or larger than was said.</summary>
public sealed class DatabaseTests
{
    private static readonly Dictionary<string, string> None = [];

    private static StoredCompletion Completion(string id, string owner = "", int bytes = 10, Dictionary<string, string>? metadata = null, string model = "m") =>
        new(id, owner, DateTimeOffset.UnixEpoch, model, metadata ?? None, new byte[bytes], "[]"u8.ToArray());

    private static StoredResponse Response(string id, string? previous = null, string? root = null, int bytes = 10, bool running = false, string owner = "") =>
        new(id, owner, DateTimeOffset.UnixEpoch, running, previous, root ?? id, new byte[bytes], "[]"u8.ToArray(), null);

    private static NewItem Item(string id, string text = "word") =>
        new(id, Encoding.UTF8.GetBytes($"{{\"type\":\"message\",\"content\":[{{\"type\":\"input_text\",\"text\":\"{text}\"}}]}}"));

    private static async Task<string> ListAsync(TempStore store, PageQuery query, string owner = "", string? model = null, Dictionary<string, string>? metadata = null)
    {
        Page<StoredCompletion> page = await store.Store.Completions.ListAsync(owner, query, model, metadata ?? None);
        return string.Concat(page.Items.Select(item => item.Id)) + (page.HasMore ? "+" : "");
    }

    [Fact]
    public async Task Pages_walk_the_list_both_ways_and_say_whether_more_follows()
    {
        await using TempStore store = new();
        foreach (string id in (string[])["a", "b", "c", "d", "e"])
            await store.Store.Completions.AddAsync(Completion(id));
        Assert.Equal("ab+", await ListAsync(store, new PageQuery(null, 2, false)));
        Assert.Equal("cd+", await ListAsync(store, new PageQuery("b", 2, false)));
        Assert.Equal("e", await ListAsync(store, new PageQuery("d", 2, false)));
        Assert.Equal("ed+", await ListAsync(store, new PageQuery(null, 2, true)));
        Assert.Equal("cba", await ListAsync(store, new PageQuery("d", 3, true)));
        RequestProblem error = await Assert.ThrowsAsync<RequestProblem>(() => ListAsync(store, new PageQuery("nothing", 2, true)));
        Assert.Equal("after", error.Where);
    }

    [Fact]
    public async Task A_list_is_filtered_by_model_and_by_every_pair_of_metadata_whatever_their_characters()
    {
        await using TempStore store = new();
        await store.Store.Completions.AddAsync(Completion("a", metadata: new() { ["k"] = "1", ["x'\"]"] = "%" }));
        await store.Store.Completions.AddAsync(Completion("b", metadata: new() { ["k"] = "1" }));
        await store.Store.Completions.AddAsync(Completion("c", model: "other"));
        PageQuery all = new(null, 10, false);
        Assert.Equal("ab", await ListAsync(store, all, metadata: new() { ["k"] = "1" }));
        Assert.Equal("a", await ListAsync(store, all, metadata: new() { ["k"] = "1", ["x'\"]"] = "%" }));
        Assert.Equal("", await ListAsync(store, all, metadata: new() { ["k"] = "2" }));
        Assert.Equal("c", await ListAsync(store, all, model: "other"));
    }

    [Fact]
    public async Task Nobody_sees_changes_or_deletes_what_another_owns()
    {
        await using TempStore store = new();
        await store.Store.Completions.AddAsync(Completion("a", owner: "alice"));
        await store.Store.Responses.SaveAsync(Response("r", owner: "alice"), ["i"], null);
        await store.Store.Conversations.AddAsync(new StoredConversation("c", "alice", DateTimeOffset.UnixEpoch, None), [Item("i")]);
        Assert.Equal("", await ListAsync(store, new PageQuery(null, 10, false), owner: "bob"));
        Assert.Null(await store.Store.Completions.FindAsync("bob", "a"));
        Assert.Null(await store.Store.Completions.SetMetadataAsync("bob", "a", None));
        Assert.False(await store.Store.Completions.DeleteAsync("bob", "a"));
        Assert.Null(await store.Store.Responses.FindAsync("bob", "r"));
        Assert.Null(await store.Store.Responses.ChainAsync("bob", "r"));
        Assert.Null(await store.Store.Responses.FindByItemAsync("bob", "i"));
        Assert.False(await store.Store.Responses.DeleteAsync("bob", "r"));
        Assert.Empty(await store.Store.Conversations.PathAsync("bob", "c", null));
        Assert.Empty((await store.Store.Conversations.ListAsync("bob", new PageQuery(null, 10, true), null)).Items);
        Assert.Empty((await store.Store.Conversations.ListAsync("bob", new PageQuery(null, 10, true), ConversationSearch.Of("word"))).Items);
        Assert.Null(await store.Store.Conversations.FindItemAsync("bob", "c", "i"));
        Assert.Null(await store.Store.Conversations.FindItemAsync("bob", "i"));
        Assert.Null(await store.Store.Conversations.AppendAsync("bob", new ConversationAppend("c", [Item("j")])));
        Assert.False(await store.Store.Conversations.DeleteItemAsync("bob", "c", "i"));
        Assert.False(await store.Store.Conversations.DeleteAsync("bob", "c"));
        Assert.NotNull(await store.Store.Completions.FindAsync("alice", "a"));
        Assert.Single(await store.Store.Conversations.PathAsync("alice", "c", null));
        Assert.Single((await store.Store.Conversations.ListAsync("alice", new PageQuery(null, 10, true), ConversationSearch.Of("word"))).Items);
    }

    [Fact]
    public async Task A_response_and_its_turn_of_a_conversation_are_one_change()
    {
        await using TempStore store = new();
        await store.Store.Conversations.AddAsync(new StoredConversation("c", "", DateTimeOffset.UnixEpoch, None), []);
        await store.Store.Responses.SaveAsync(Response("r"), ["1", "2"], new ConversationAppend("c", [Item("1"), Item("2")]));
        Assert.Equal(["1", "2"], (await store.Store.Conversations.PathAsync("", "c", null)).Select(item => item.Id));
        // A column that may not be null fails the last statement but one: nothing of it stays.
        await Assert.ThrowsAnyAsync<Exception>(() => store.Store.Responses.SaveAsync(Response("bad") with { Body = null! }, [], new ConversationAppend("c", [Item("3")])));
        Assert.Null(await store.Store.Responses.FindAsync("", "bad"));
        Assert.Equal(2, (await store.Store.Conversations.PathAsync("", "c", null)).Count);
    }

    [Fact]
    public async Task A_write_that_fails_does_not_take_those_that_share_its_flush_with_it()
    {
        await using TempStore store = new();
        Task[] writes = [.. Enumerable.Range(0, 200).Select(i => i % 10 == 3
            ? store.Store.Completions.AddAsync(Completion("same"))
            : store.Store.Completions.AddAsync(Completion($"c{i}")))];
        await Task.WhenAll(writes.Select(write => write.ContinueWith(_ => { }, TaskScheduler.Default)));
        Assert.Equal(19, writes.Count(write => write.IsFaulted));
        Assert.Equal(181, await store.Database.ReadAsync(connection => connection.QueryNumber("SELECT COUNT(*) FROM completions")));
    }

    [Fact]
    public async Task What_was_not_used_for_the_retention_time_goes_and_a_chain_lives_by_its_last_use()
    {
        FakeTimeProvider clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
        await using TempStore store = new(clock, TimeSpan.FromDays(30));
        await store.Store.Completions.AddAsync(Completion("old"));
        await store.Store.Responses.SaveAsync(Response("first"), ["item"], null);
        await store.Store.Responses.SaveAsync(Response("alone"), [], null);
        await store.Store.Responses.SaveAsync(Response("running", running: true), [], null);
        await store.Store.Conversations.AddAsync(new StoredConversation("kept", "", clock.GetUtcNow(), None), []);
        clock.Advance(TimeSpan.FromDays(29));
        await store.Store.Responses.SaveAsync(Response("second", previous: "first", root: "first"), [], null);
        await store.Store.Conversations.AppendAsync("", new ConversationAppend("kept", [Item("i")]));
        clock.Advance(TimeSpan.FromDays(2));
        await store.Database.SweepAsync();

        Assert.Null(await store.Store.Completions.FindAsync("", "old"));
        Assert.Null(await store.Store.Responses.FindAsync("", "alone"));
        Assert.Equal(["first", "second"], (await store.Store.Responses.ChainAsync("", "second"))!.Select(link => link.Id));
        Assert.NotNull(await store.Store.Responses.FindAsync("", "running"));
        Assert.NotNull(await store.Store.Conversations.FindAsync("", "kept"));
        clock.Advance(TimeSpan.FromDays(31));
        await store.Database.SweepAsync();
        Assert.Null(await store.Store.Responses.ChainAsync("", "second"));
        Assert.Equal(0, await store.Database.ReadAsync(connection => connection.QueryNumber("SELECT COUNT(*) FROM response_items")));
        Assert.Null(await store.Store.Conversations.FindAsync("", "kept"));
    }

    [Fact]
    public async Task The_responses_of_a_conversation_live_and_go_with_it()
    {
        FakeTimeProvider clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
        await using TempStore store = new(clock, TimeSpan.FromDays(30), maxBytes: 10_000);
        foreach (string id in (string[])["kept", "deleted", "old"])
        {
            await store.Store.Conversations.AddAsync(new StoredConversation(id, "", clock.GetUtcNow(), None), []);
            await store.Store.Responses.SaveAsync(Response($"of {id}") with { Conversation = id }, [$"item of {id}"], new ConversationAppend(id, [Item($"item of {id}")]));
        }

        await store.Store.Responses.SaveAsync(Response("goes on", previous: "of kept", root: "of kept"), [], null);
        Assert.True(await store.Store.Conversations.DeleteAsync("", "deleted"));
        Assert.Null(await store.Store.Responses.FindAsync("", "of deleted"));
        Assert.Null(await store.Store.Responses.FindByItemAsync("", "item of deleted"));
        // Its end comes after its conversation's.
        await store.Store.Responses.SaveAsync(Response("late") with { Conversation = "deleted" }, [], new ConversationAppend("deleted", [Item("late")]));
        Assert.Null(await store.Store.Responses.FindAsync("", "late"));

        clock.Advance(TimeSpan.FromDays(29));
        await store.Store.Conversations.AppendAsync("", new ConversationAppend("kept", [Item("newer")]));
        clock.Advance(TimeSpan.FromDays(2));
        await store.Database.SweepAsync();
        Assert.Null(await store.Store.Conversations.FindAsync("", "old"));
        Assert.Null(await store.Store.Responses.FindAsync("", "of old"));
        Assert.NotNull(await store.Store.Responses.FindAsync("", "of kept"));
        Assert.Null(await store.Store.Responses.FindAsync("", "goes on"));

        // What they hold counts as the conversation's, and one that is being made keeps it.
        await store.Store.Responses.SaveAsync(Response("large", bytes: 20_000, running: true) with { Conversation = "kept" }, [], null);
        await store.Database.SweepAsync();
        Assert.NotNull(await store.Store.Conversations.FindAsync("", "kept"));
        await store.Store.Responses.SaveAsync(Response("large", bytes: 20_000) with { Conversation = "kept" }, [], null);
        await store.Database.SweepAsync();
        Assert.Null(await store.Store.Conversations.FindAsync("", "kept"));
    }

    [Fact]
    public async Task Beyond_the_limit_of_bytes_what_was_used_longest_ago_goes_first_and_no_more_than_needed()
    {
        FakeTimeProvider clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
        await using TempStore store = new(clock, maxBytes: 10_000);
        for (int i = 0; i < 15; i++)
        {
            await store.Store.Completions.AddAsync(Completion($"{i:00} ", bytes: 998));
            clock.Advance(TimeSpan.FromSeconds(1));
        }

        await store.Database.SweepAsync();
        Assert.Equal("06 07 08 09 10 11 12 13 14 ", await ListAsync(store, new PageQuery(null, 100, false)));
    }

    [Fact]
    public async Task A_store_opens_again_with_what_was_in_it_and_never_for_two_servers_at_once()
    {
        await using TempStore store = new();
        await store.Store.Completions.AddAsync(Completion("a"));
        IOException error = Assert.Throws<IOException>(() => Database.Open(store.Options, TimeProvider.System, NullLogger.Instance));
        Assert.Contains(store.Options.Directory, error.Message, StringComparison.Ordinal);
        await store.Store.DisposeAsync();
        await using Database again = Database.Open(store.Options, TimeProvider.System, NullLogger.Instance);
        Assert.NotNull(await new CompletionStore(again).FindAsync("", "a"));
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(store.Options.Directory, "store.db")));
    }

    [Fact]
    public async Task A_store_that_a_newer_server_wrote_is_refused()
    {
        await using TempStore store = new();
        await store.Database.WriteAsync(connection => { connection.Execute("PRAGMA user_version = 99"); });
        await store.Store.DisposeAsync();
        Assert.Contains("newer server", Assert.Throws<IOException>(() => Database.Open(store.Options, TimeProvider.System, NullLogger.Instance)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_deleted_text_is_not_left_in_the_files()
    {
        await using TempStore store = new();
        // One word, so that the index of what is searched holds it as it is.
        byte[] secret = Encoding.UTF8.GetBytes("thesecretoftheletter");
        await store.Store.Completions.AddAsync(Completion("a") with { Body = secret });
        Assert.True(await store.Store.Completions.DeleteAsync("", "a"));
        Dictionary<string, string> title = new() { ["title"] = "thesecretoftheletter" };
        foreach (string id in (string[])["b", "c"])
            await store.Store.Conversations.AddAsync(new StoredConversation(id, "", DateTimeOffset.UnixEpoch, title), [Item($"{id}1", "thesecretoftheletter"), Item($"{id}2")]);
        Assert.True(await store.Store.Conversations.DeleteItemAsync("", "b", "b1"));
        Assert.NotNull(await store.Store.Conversations.SetMetadataAsync("", "b", None));
        Assert.True(await store.Store.Conversations.DeleteAsync("", "c"));
        await store.Store.DisposeAsync();
        foreach (string file in Directory.GetFiles(store.Options.Directory))
            Assert.Equal(-1, File.ReadAllBytes(file).AsSpan().IndexOf(secret));
    }
}
