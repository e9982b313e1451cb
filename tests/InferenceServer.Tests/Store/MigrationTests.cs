using System.Text;
using InferenceServer.Store;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Store;

/// <summary>A file that an earlier server wrote goes on where it was.</summary>
public sealed class MigrationTests : IDisposable
{
    // As that server made it, word for word: this must not follow the present tables.
    private const string Layout1 = """
        CREATE TABLE completions(
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
            bytes INTEGER NOT NULL, model TEXT NOT NULL, metadata TEXT NOT NULL, body BLOB NOT NULL, messages BLOB NOT NULL);
        CREATE INDEX completions_used ON completions(used, bytes);
        CREATE TABLE responses(
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
            bytes INTEGER NOT NULL, running INTEGER NOT NULL, previous TEXT, root TEXT NOT NULL, body BLOB NOT NULL, input BLOB NOT NULL, events BLOB);
        CREATE INDEX responses_used ON responses(used, bytes);
        CREATE INDEX responses_root ON responses(root);
        CREATE TABLE response_items(
            id TEXT NOT NULL, response TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE, PRIMARY KEY(id, response)) WITHOUT ROWID;
        CREATE INDEX response_items_response ON response_items(response);
        CREATE TABLE conversations(
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
            bytes INTEGER NOT NULL, metadata TEXT NOT NULL);
        CREATE INDEX conversations_used ON conversations(used, bytes);
        CREATE TABLE conversation_items(
            seq INTEGER PRIMARY KEY AUTOINCREMENT, conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            id TEXT NOT NULL, body BLOB NOT NULL, UNIQUE(conversation, id));
        CREATE INDEX conversation_items_id ON conversation_items(id);
        PRAGMA user_version = 1;
        """;

    // The search of layout 2 as that server made it, in place of the present one.
    private const string Layout2Search = """
        DROP TRIGGER item_search_delete; DROP TRIGGER title_search_insert; DROP TRIGGER title_search_update; DROP TRIGGER title_search_delete;
        DROP TABLE item_search; DROP TABLE title_search;
        CREATE VIRTUAL TABLE item_search USING fts5(text, tokenize = 'unicode61 remove_diacritics 2');
        CREATE VIRTUAL TABLE title_search USING fts5(text, tokenize = 'unicode61 remove_diacritics 2');
        INSERT INTO item_search(rowid, text) SELECT seq, CAST(body AS TEXT) ->> '$.content[0].text' FROM conversation_items;
        INSERT INTO title_search(rowid, text) SELECT seq, metadata ->> '$.title' FROM conversations;
        CREATE TRIGGER item_search_delete AFTER DELETE ON conversation_items BEGIN DELETE FROM item_search WHERE rowid = old.seq; END;
        CREATE TRIGGER title_search_insert AFTER INSERT ON conversations BEGIN INSERT INTO title_search(rowid, text) SELECT new.seq, new.metadata ->> '$.title'; END;
        CREATE TRIGGER title_search_update AFTER UPDATE OF metadata ON conversations BEGIN UPDATE title_search SET text = new.metadata ->> '$.title' WHERE rowid = new.seq; END;
        CREATE TRIGGER title_search_delete AFTER DELETE ON conversations BEGIN DELETE FROM title_search WHERE rowid = old.seq; END;
        PRAGMA user_version = 2;
        """;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("migration-");

    public void Dispose() => _folder.Delete(recursive: true);

    private static byte[] Message(string role, string text) =>
        Encoding.UTF8.GetBytes($"{{\"id\":\"x\",\"type\":\"message\",\"role\":\"{role}\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}");

    private void WriteOldFile()
    {
        using SqliteConnection old = new(new SqliteConnectionStringBuilder { DataSource = Path.Combine(_folder.FullName, "store.db"), Pooling = false }.ToString());
        old.Open();
        old.Execute("PRAGMA auto_vacuum = INCREMENTAL");
        old.Execute("PRAGMA journal_mode = WAL");
        old.Execute(Layout1);
        foreach ((string id, string owner, long used) in ((string, string, long)[])[("conv_1", "", 5_000), ("conv_2", "key", 4_000)])
            old.Execute("INSERT INTO conversations(id, owner, created, used, bytes, metadata) VALUES($id, $owner, 1000, $used, 30, '{\"title\":\"Der alte \\u00d6lbaum\"}')",
                ("$id", id), ("$owner", owner), ("$used", used));
        // Of two conversations in turn, as they came.
        foreach ((string conversation, string id, string role, string text) in ((string, string, string, string)[])
            [("conv_1", "u1", "user", "Where are olives from?"), ("conv_2", "v1", "user", "Mine"), ("conv_1", "a1", "assistant", "From trees. 橄榄树来自地中海。"), ("conv_1", "u2", "user", "Which?")])
            old.Execute("INSERT INTO conversation_items(conversation, id, body) VALUES($conversation, $id, $body)", ("$conversation", conversation), ("$id", id), ("$body", Message(role, text)));
        foreach ((string id, string body) in ((string, string)[])
        [
            ("resp_1", "{\"id\":\"resp_1\",\"conversation\":{\"id\":\"conv_1\"},\"output\":[{\"id\":\"a1\",\"type\":\"message\"}]}"),
            ("resp_2", "{\"id\":\"resp_2\",\"conversation\":null,\"output\":[{\"id\":\"u2\"}]}"),
            ("resp_3", "{\"id\":\"resp_3\",\"conversation\":{\"id\":\"conv_2\"},\"output\":[]}"),
            ("resp_4", "{\"id\":\"resp_4\",\"conversation\":{\"id\":\"conv_gone\"},\"output\":[]}"),
        ])
            old.Execute("INSERT INTO responses(id, owner, created, used, bytes, running, root, body, input) VALUES($id, '', 2000, 3000, 10, 0, $id, $body, $input)",
                ("$id", id), ("$body", Encoding.UTF8.GetBytes(body)), ("$input", "[]"u8.ToArray()));
        old.Execute("INSERT INTO response_items(id, response) VALUES('u1', 'resp_1'), ('a1', 'resp_1')");
    }

    [Fact]
    public async Task Conversations_become_trees_of_one_branch_that_can_be_searched_and_know_their_responses()
    {
        WriteOldFile();
        await using Database database = Database.Open(new StoreOptions { Directory = _folder.FullName }, TimeProvider.System, NullLogger.Instance);
        ServerStore store = new(database);
        Assert.Equal(3, await database.ReadAsync(connection => connection.QueryNumber("PRAGMA user_version")));

        List<StoredItem> path = await store.Conversations.PathAsync("", "conv_1", null);
        Assert.Equal(["u1   5000", "a1 u1 resp_1 2000", "u2 a1  5000"], path.Select(item => $"{item.Id} {item.Parent} {item.Response} {item.Created.ToUnixTimeMilliseconds()}"));
        Assert.Equal([null], (await store.Conversations.PathAsync("key", "conv_2", null)).Select(item => item.Parent));

        foreach ((string text, string? item) in ((string, string?)[])[("olive", "u1"), ("trees", "a1"), ("来自", "a1"), ("olbaum", null)])
        {
            (StoredConversation conversation, SearchMatch? match) = Assert.Single((await store.Conversations.ListAsync("", new PageQuery(null, 10, true), ConversationSearch.Of(text))).Items);
            Assert.Equal(("conv_1", 5_000, item), (conversation.Id, conversation.Updated.ToUnixTimeMilliseconds(), match!.ItemId));
        }

        // What somebody else's conversation made is not this owner's.
        foreach ((string id, string? conversation) in ((string, string?)[])[("resp_1", "conv_1"), ("resp_2", null), ("resp_3", null), ("resp_4", null)])
            Assert.Equal(conversation, (await store.Responses.FindAsync("", id))!.Conversation);
        Assert.Single(await store.Conversations.AppendAsync("", new ConversationAppend("conv_1", [new NewItem("new", Message("user", "And olives?"))])) ?? []);
        Assert.Equal("u2", (await store.Conversations.FindItemAsync("", "new"))!.Parent);
        Assert.True(await store.Conversations.DeleteAsync("", "conv_1"));
        Assert.Null(await store.Responses.FindAsync("", "resp_1"));
        Assert.Empty((await store.Conversations.ListAsync("", new PageQuery(null, 10, true), ConversationSearch.Of("olive"))).Items);
    }

    [Fact]
    public async Task Words_that_an_earlier_server_indexed_are_found_inside_unspaced_texts_too()
    {
        WriteOldFile();
        await Database.Open(new StoreOptions { Directory = _folder.FullName }, TimeProvider.System, NullLogger.Instance).DisposeAsync();
        using (SqliteConnection old = new(new SqliteConnectionStringBuilder { DataSource = Path.Combine(_folder.FullName, "store.db"), Pooling = false }.ToString()))
        {
            old.Open();
            old.Execute(Layout2Search);
        }

        await using Database database = Database.Open(new StoreOptions { Directory = _folder.FullName }, TimeProvider.System, NullLogger.Instance);
        ServerStore store = new(database);
        foreach (string text in (string[])["来自", "olive", "olbaum"])
            Assert.Single((await store.Conversations.ListAsync("", new PageQuery(null, 10, true), ConversationSearch.Of(text))).Items);
        await store.Conversations.SetMetadataAsync("", "conv_1", new Dictionary<string, string> { ["title"] = "古い橄欖の木" });
        Assert.Single((await store.Conversations.ListAsync("", new PageQuery(null, 10, true), ConversationSearch.Of("橄欖"))).Items);
        Assert.Empty((await store.Conversations.ListAsync("", new PageQuery(null, 10, true), ConversationSearch.Of("olbaum"))).Items);
    }

    [Fact]
    public async Task A_file_that_was_brought_up_to_date_has_the_tables_of_a_new_one()
    {
        WriteOldFile();
        await using Database moved = Database.Open(new StoreOptions { Directory = _folder.FullName }, TimeProvider.System, NullLogger.Instance);
        await using TempStore made = new();
        Assert.Equal(await TablesAsync(made.Database), await TablesAsync(moved));

        static Task<List<string>> TablesAsync(Database database) => database.ReadAsync(connection => connection.Query(
            "SELECT m.name || ' ' || IFNULL((SELECT GROUP_CONCAT(c.name || ' ' || c.type, ', ') FROM PRAGMA_TABLE_INFO(m.name) AS c), '') FROM sqlite_schema AS m ORDER BY m.name", row => row.GetString(0)));
    }
}
