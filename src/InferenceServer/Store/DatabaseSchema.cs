using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>
/// The tables. Each row that a client can name has an <c>owner</c>: whose key made it, empty where the server asks for none. <c>used</c> is when it was last written or
/// continued (milliseconds), and <c>bytes</c> what it holds: retention goes by both. A new file goes through every layout there was, as an old one does through those it lacks.
/// </summary>
internal static class DatabaseSchema
{
    // Pages that deletions free are given back, and what was deleted is overwritten: it may be somebody's letter.
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
        """;

    // What is searched of an item: a message's text.
    private const string ItemText = """
        IFNULL((SELECT SEARCHABLE(GROUP_CONCAT(IFNULL(part.value ->> '$.text', part.value ->> '$.refusal'), ' '))
            FROM JSON_EACH(CAST(body AS TEXT), '$.content') AS part WHERE CAST(body AS TEXT) ->> '$.type' = 'message'), '')
        """;

    /// <summary>Puts items where they are searched; a FROM clause follows. One statement for all that are added: FTS5 writes its index at the end of each (0.02 s for 1,000 items, 0.1 s with a trigger).</summary>
    public const string IndexItems = $"INSERT INTO item_search(rowid, text) SELECT seq, {ItemText}";

    private const string Title = "IFNULL(SEARCHABLE(metadata ->> '$.title'), '')";

    // An item's parent came before it, so its seq is the smaller one: no path can be a circle. Feedback is a copy of what it is about, and outlives it.
    private const string Layout2 = """
        ALTER TABLE responses ADD COLUMN conversation TEXT REFERENCES conversations(id) ON DELETE CASCADE;
        UPDATE responses SET conversation =
            (SELECT id FROM conversations WHERE conversations.id = CAST(responses.body AS TEXT) ->> '$.conversation.id' AND conversations.owner = responses.owner);
        CREATE INDEX responses_conversation ON responses(conversation, bytes);
        ALTER TABLE responses ADD COLUMN origin BLOB;

        ALTER TABLE conversations ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;
        UPDATE conversations SET updated = used;
        CREATE INDEX conversations_updated ON conversations(owner, updated, seq);

        ALTER TABLE conversation_items ADD COLUMN parent TEXT;
        ALTER TABLE conversation_items ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE conversation_items ADD COLUMN response TEXT;
        UPDATE conversation_items SET parent = earlier.id, created = earlier.used
            FROM (SELECT items.seq, LAG(items.id) OVER (PARTITION BY conversation ORDER BY items.seq) AS id, used
                FROM conversation_items AS items JOIN conversations ON conversations.id = conversation) AS earlier
            WHERE earlier.seq = conversation_items.seq;
        UPDATE conversation_items SET response = made.id, created = made.created
            FROM (SELECT responses.id, responses.conversation, responses.created, output.value ->> '$.id' AS item
                FROM responses, JSON_EACH(CAST(responses.body AS TEXT), '$.output') AS output WHERE responses.conversation IS NOT NULL) AS made
            WHERE made.item = conversation_items.id AND made.conversation = conversation_items.conversation;
        CREATE INDEX conversation_items_seq ON conversation_items(conversation, seq);
        CREATE INDEX conversation_items_parent ON conversation_items(conversation, parent);

        CREATE TABLE feedback(
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, created INTEGER NOT NULL, bytes INTEGER NOT NULL, kind TEXT NOT NULL,
            model TEXT NOT NULL, opponent TEXT, rating TEXT, reply TEXT NOT NULL, prompt TEXT NOT NULL, body BLOB NOT NULL);
        CREATE INDEX feedback_owner ON feedback(owner, seq);
        CREATE UNIQUE INDEX feedback_reply ON feedback(owner, kind, reply);
        CREATE INDEX feedback_prompt ON feedback(owner, prompt);
        """;

    // Layout 2 had this search, too, and took a text without spaces for one word: what it indexed is indexed anew.
    private const string Layout3 = $"""
        DROP TABLE IF EXISTS item_search;
        DROP TABLE IF EXISTS title_search;
        DROP TRIGGER IF EXISTS item_search_delete;
        DROP TRIGGER IF EXISTS title_search_insert;
        DROP TRIGGER IF EXISTS title_search_update;
        DROP TRIGGER IF EXISTS title_search_delete;
        CREATE VIRTUAL TABLE item_search USING fts5(text, tokenize = 'unicode61 remove_diacritics 2');
        CREATE VIRTUAL TABLE title_search USING fts5(text, tokenize = 'unicode61 remove_diacritics 2');
        INSERT INTO item_search(item_search, rank) VALUES('secure-delete', 1);
        INSERT INTO title_search(title_search, rank) VALUES('secure-delete', 1);
        {IndexItems} FROM conversation_items;
        INSERT INTO title_search(rowid, text) SELECT seq, {Title} FROM conversations;
        CREATE TRIGGER item_search_delete AFTER DELETE ON conversation_items BEGIN DELETE FROM item_search WHERE rowid = old.seq; END;
        CREATE TRIGGER title_search_insert AFTER INSERT ON conversations BEGIN
            INSERT INTO title_search(rowid, text) SELECT seq, {Title} FROM conversations WHERE seq = new.seq; END;
        CREATE TRIGGER title_search_update AFTER UPDATE OF metadata ON conversations BEGIN
            UPDATE title_search SET text = (SELECT {Title} FROM conversations WHERE seq = new.seq) WHERE rowid = new.seq; END;
        CREATE TRIGGER title_search_delete AFTER DELETE ON conversations BEGIN DELETE FROM title_search WHERE rowid = old.seq; END;
        """;

    private static readonly string[] Layouts = [Layout1, Layout2, Layout3];

    /// <summary>Settings of a connection that writes: a commit is on the disk when it returns.</summary>
    public static void Prepare(SqliteConnection connection)
    {
        connection.Execute("PRAGMA auto_vacuum = INCREMENTAL");
        connection.Execute("PRAGMA journal_mode = WAL");
        connection.Execute("PRAGMA synchronous = FULL");
        connection.Execute("PRAGMA foreign_keys = ON");
        connection.Execute("PRAGMA secure_delete = ON");
        connection.Execute("PRAGMA journal_size_limit = 67108864");
        connection.CreateFunction("SEARCHABLE", (string? text) => text is null ? null : ConversationSearch.ToSearchable(text), isDeterministic: true);
        long version = connection.QueryNumber("PRAGMA user_version") ?? 0;
        if (version > Layouts.Length)
            throw new IOException($"it was written by a newer server (layout {version}; this one knows {Layouts.Length})");
        if (version == Layouts.Length)
            return;
        using SqliteTransaction transaction = connection.BeginTransaction();
        foreach (string layout in Layouts.Skip((int)version))
            connection.Execute(layout);
        connection.Execute($"PRAGMA user_version = {Layouts.Length}");
        transaction.Commit();
    }
}
