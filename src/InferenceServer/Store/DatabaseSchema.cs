using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>
/// The tables. Each row that a client can name has an <c>owner</c>: whose key made it, empty where the server asks for none. <c>used</c> is when it was last written or
/// continued (milliseconds), and <c>bytes</c> what it holds: retention goes by both.
/// </summary>
internal static class DatabaseSchema
{
    private const long Version = 1;

    // Pages that deletions free are given back, and what was deleted is overwritten: it may be somebody's letter.
    private const string Tables = """
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

    /// <summary>Settings of a connection that writes: a commit is on the disk when it returns.</summary>
    public static void Prepare(SqliteConnection connection)
    {
        connection.Execute("PRAGMA auto_vacuum = INCREMENTAL");
        connection.Execute("PRAGMA journal_mode = WAL");
        connection.Execute("PRAGMA synchronous = FULL");
        connection.Execute("PRAGMA foreign_keys = ON");
        connection.Execute("PRAGMA secure_delete = ON");
        connection.Execute("PRAGMA journal_size_limit = 67108864");
        long version = connection.QueryNumber("PRAGMA user_version") ?? 0;
        if (version > Version)
            throw new IOException($"it was written by a newer server (layout {version}; this one knows {Version})");
        if (version == Version)
            return;
        using SqliteTransaction transaction = connection.BeginTransaction();
        connection.Execute(Tables);
        connection.Execute($"PRAGMA user_version = {Version}");
        transaction.Commit();
    }
}
