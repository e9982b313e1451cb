using InferenceServer.Api;
using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

internal sealed record StoredConversation(string Id, string Owner, DateTimeOffset Created, IReadOnlyDictionary<string, string> Metadata);

/// <summary>Conversations and their items, which are JSON to this class.</summary>
internal sealed class ConversationStore(Database database)
{
    private const string Columns = "id, owner, created, metadata";

    /// <summary>Whose conversation it is is asked in every statement: an item of another owner is not there.</summary>
    private const string Items = "FROM conversation_items WHERE conversation = $id AND EXISTS (SELECT 1 FROM conversations WHERE id = $id AND owner = $owner)";

    public Task AddAsync(StoredConversation conversation, IReadOnlyList<(string Id, byte[] Body)> items) => database.WriteAsync(connection =>
    {
        DateTimeOffset now = database.Clock.GetUtcNow();
        connection.Execute($"INSERT INTO conversations({Columns}, used, bytes) VALUES($id, $owner, $created, $metadata, $used, 0)",
            ("$id", conversation.Id), ("$owner", conversation.Owner), ("$created", conversation.Created), ("$metadata", Metadata.Write(conversation.Metadata)), ("$used", now));
        Append(connection, new ConversationAppend(conversation.Id, items), now);
    });

    public Task<StoredConversation?> FindAsync(string owner, string id) => database.ReadAsync(connection => Find(connection, owner, id));

    /// <summary>Returns it as it is now; null when there is none.</summary>
    public Task<StoredConversation?> SetMetadataAsync(string owner, string id, IReadOnlyDictionary<string, string> metadata) => database.WriteAsync(connection =>
    {
        connection.Execute("UPDATE conversations SET metadata = $metadata, used = $used WHERE owner = $owner AND id = $id",
            ("$metadata", Metadata.Write(metadata)), ("$used", database.Clock.GetUtcNow()), ("$owner", owner), ("$id", id));
        return Find(connection, owner, id);
    });

    /// <summary>False when there was none.</summary>
    public Task<bool> DeleteAsync(string owner, string id) => database.WriteAsync(connection =>
        connection.Execute("DELETE FROM conversations WHERE owner = $owner AND id = $id", ("$owner", owner), ("$id", id)) > 0);

    /// <summary>False when there is no such conversation.</summary>
    public Task<bool> AppendAsync(string owner, ConversationAppend append) => database.WriteAsync(connection =>
        Find(connection, owner, append.Conversation) is not null && Append(connection, append, database.Clock.GetUtcNow()));

    public Task<Page<byte[]>> ListAsync(string owner, string id, PageQuery query) => database.ReadAsync(connection => connection.ReadPage(query,
        $"SELECT body {Items}", $"SELECT seq {Items} AND conversation_items.id = $after", row => row.Blob(0), ("$id", id), ("$owner", owner)));

    /// <summary>All items, oldest first.</summary>
    /// <exception cref="ApiException">400: they are more than can be taken into memory for a turn.</exception>
    public Task<List<byte[]>> AllItemsAsync(string owner, string id) => database.ReadAsync(connection =>
    {
        long bytes = connection.QueryNumber("SELECT bytes FROM conversations WHERE id = $id AND owner = $owner", ("$id", id), ("$owner", owner)) ?? 0;
        return bytes > ResponseStore.MaxHistoryBytes
            ? throw ApiException.InvalidValue($"The conversation '{id}' holds {bytes} bytes; at most {ResponseStore.MaxHistoryBytes} can be continued.", "conversation", "context_length_exceeded")
            : connection.Query($"SELECT body {Items} ORDER BY seq", row => row.Blob(0), ("$id", id), ("$owner", owner));
    });

    public Task<byte[]?> FindItemAsync(string owner, string id, string itemId) => database.ReadAsync(connection =>
        connection.QueryFirst($"SELECT body {Items} AND conversation_items.id = $item", row => row.Blob(0), ("$id", id), ("$owner", owner), ("$item", itemId)));

    /// <summary>An item by its id alone, whatever conversation it is in.</summary>
    public Task<byte[]?> FindItemAsync(string owner, string itemId) => database.ReadAsync(connection => connection.QueryFirst(
        "SELECT body FROM conversation_items WHERE id = $item AND conversation IN (SELECT id FROM conversations WHERE owner = $owner) LIMIT 1", row => row.Blob(0),
        ("$owner", owner), ("$item", itemId)));

    /// <summary>False when there was none.</summary>
    public Task<bool> DeleteItemAsync(string owner, string id, string itemId) => database.WriteAsync(connection =>
    {
        long bytes = connection.QueryNumber($"SELECT LENGTH(body) {Items} AND conversation_items.id = $item", ("$id", id), ("$owner", owner), ("$item", itemId)) ?? -1;
        if (bytes < 0)
            return false;
        connection.Execute("DELETE FROM conversation_items WHERE conversation = $id AND id = $item", ("$id", id), ("$item", itemId));
        connection.Execute("UPDATE conversations SET bytes = bytes - $bytes WHERE id = $id", ("$id", id), ("$bytes", bytes));
        return true;
    });

    /// <summary>Adds items within a change; false where the conversation has been deleted meanwhile.</summary>
    public static bool Append(SqliteConnection connection, ConversationAppend append, DateTimeOffset now)
    {
        if (connection.Execute("UPDATE conversations SET used = $used, bytes = bytes + $bytes WHERE id = $id",
            ("$used", now), ("$bytes", append.Items.Sum(item => (long)item.Body.Length)), ("$id", append.Conversation)) == 0)
            return false;
        foreach ((string id, byte[] body) in append.Items)
            connection.Execute("INSERT OR REPLACE INTO conversation_items(conversation, id, body) VALUES($conversation, $id, $body)",
                ("$conversation", append.Conversation), ("$id", id), ("$body", body));
        return true;
    }

    private static StoredConversation? Find(SqliteConnection connection, string owner, string id) =>
        connection.QueryFirst($"SELECT {Columns} FROM conversations WHERE owner = $owner AND id = $id",
            row => new StoredConversation(row.GetString(0), row.GetString(1), row.Time(2), Metadata.Read(row.GetString(3))), ("$owner", owner), ("$id", id));
}
