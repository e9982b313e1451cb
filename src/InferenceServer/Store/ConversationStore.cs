using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

internal sealed record StoredConversation(string Id, string Owner, DateTimeOffset Created, IReadOnlyDictionary<string, string> Metadata)
{
    /// <summary>When something was last said in it.</summary>
    public DateTimeOffset Updated { get; init; } = Created;
}

/// <summary>An item of a conversation, which is a tree of them.</summary>
/// <param name="Parent">Id of the item before it; null for a first one.</param>
/// <param name="Response">The stored response that made it; null for none.</param>
/// <param name="Body">JSON.</param>
internal sealed record StoredItem(string Id, string? Parent, DateTimeOffset Created, string? Response, byte[] Body);

/// <summary>An item on its way into a conversation.</summary>
internal sealed record NewItem(string Id, byte[] Body)
{
    /// <summary>What it hangs below. Null: the item before it in the same change, and for the first the newest of the conversation.</summary>
    public ItemParent? Parent { get; init; }

    /// <summary>Null: now.</summary>
    public DateTimeOffset? Created { get; init; }

    public string? Response { get; init; }
}

/// <summary>Where an item belongs.</summary>
/// <param name="Candidates">Ids: it hangs below the first that is there. With none it is a first item.</param>
/// <param name="Path">The field that names it, which is wrong if none is there; null where they may be gone: then it becomes a first item.</param>
internal sealed record ItemParent(IReadOnlyList<string> Candidates, string? Path = null);

/// <summary>What a turn adds to a conversation, in order.</summary>
internal sealed record ConversationAppend(string Conversation, IReadOnlyList<NewItem> Items);

/// <summary>Conversations and their items, which are JSON to this class.</summary>
internal sealed class ConversationStore(Database database)
{
    private const string Columns = "conversations.id, owner, conversations.created, metadata, updated";
    private const string ItemColumns = "conversation_items.id, parent, conversation_items.created, response, body";

    /// <summary>Whose conversation it is is asked in every statement: an item of another owner is not there.</summary>
    private const string Items = "FROM conversation_items WHERE conversation = $id AND EXISTS (SELECT 1 FROM conversations WHERE id = $id AND owner = $owner)";

    // From an item up to its first: a step goes to an earlier item always, so it ends whatever the file holds.
    private const string Path = """
        WITH RECURSIVE path(seq, parent) AS (
            SELECT seq, parent FROM conversation_items WHERE conversation = $id AND id = $leaf
            UNION ALL SELECT above.seq, above.parent FROM path JOIN conversation_items AS above ON above.conversation = $id AND above.id = path.parent AND above.seq < path.seq)
        """;

    public Task<IReadOnlyList<StoredItem>> AddAsync(StoredConversation conversation, IReadOnlyList<NewItem> items) => database.WriteAsync(connection =>
    {
        DateTimeOffset now = database.Clock.GetUtcNow();
        connection.Execute("INSERT INTO conversations(id, owner, created, metadata, updated, used, bytes) VALUES($id, $owner, $created, $metadata, $updated, $used, 0)",
            ("$id", conversation.Id), ("$owner", conversation.Owner), ("$created", conversation.Created), ("$metadata", Metadata.Write(conversation.Metadata)),
            ("$updated", conversation.Updated), ("$used", now));
        return Append(connection, new ConversationAppend(conversation.Id, items), now)!;
    });

    public Task<StoredConversation?> FindAsync(string owner, string id) => database.ReadAsync(connection => Find(connection, owner, id));

    /// <summary>By when something was last said.</summary>
    /// <param name="search">Only those in which this is found; null for all.</param>
    public Task<Page<(StoredConversation Conversation, SearchMatch? Match)>> ListAsync(string owner, PageQuery query, ConversationSearch? search) => database.ReadAsync(connection =>
    {
        List<(string, object?)> parameters = [("$owner", owner), ("$match", search?.Expression), ("$after", query.After), ("$limit", query.Limit + 1)];
        const string After = "SELECT updated, seq FROM conversations WHERE owner = $owner AND id = $after";
        if (query.After is not null && connection.QueryNumber(After, [.. parameters]) is null)
            throw RequestProblem.Invalid($"{{where}} names nothing in this list: '{query.After}'.", "after", "invalid_value");
        (string order, string beyond) = query.Descending ? ("DESC", "<") : ("ASC", ">");
        string from = query.After is null ? "" : $"AND (updated, conversations.seq) {beyond} ({After})";
        List<(StoredConversation, SearchHit)> rows = connection.Query(
            $"""
            {(search is null ? "" : ConversationSearch.Hits)}
            SELECT {Columns}, {(search is null ? "NULL, NULL FROM conversations WHERE" : ConversationSearch.Found)} owner = $owner {from}
            ORDER BY updated {order}, conversations.seq {order} LIMIT $limit
            """,
            row => (Read(row), new SearchHit(row.IsDBNull(5) ? null : row.GetInt64(5), row.IsDBNull(6) ? null : row.GetInt64(6))), [.. parameters]);
        Page<(StoredConversation Conversation, SearchHit Hit)> page = Page<(StoredConversation, SearchHit)>.Of(rows, query);
        return new Page<(StoredConversation, SearchMatch?)>([.. page.Items.Select(row => (row.Conversation, search?.Show(connection, row.Hit)))], page.HasMore);
    });

    /// <summary>Returns it as it is now; null when there is none.</summary>
    public Task<StoredConversation?> SetMetadataAsync(string owner, string id, IReadOnlyDictionary<string, string> metadata) => database.WriteAsync(connection =>
    {
        connection.Execute("UPDATE conversations SET metadata = $metadata, used = $used WHERE owner = $owner AND id = $id",
            ("$metadata", Metadata.Write(metadata)), ("$used", database.Clock.GetUtcNow()), ("$owner", owner), ("$id", id));
        return Find(connection, owner, id);
    });

    /// <summary>Deletes it with its items and the responses that were made in it. False when there was none.</summary>
    public Task<bool> DeleteAsync(string owner, string id) => database.WriteAsync(connection =>
        connection.Execute("DELETE FROM conversations WHERE owner = $owner AND id = $id", ("$owner", owner), ("$id", id)) > 0);

    /// <summary>Returns what was added; null when there is no such conversation.</summary>
    /// <exception cref="RequestProblem">400: an item's parent is none of the conversation's, or its id is taken.</exception>
    public Task<IReadOnlyList<StoredItem>?> AppendAsync(string owner, ConversationAppend append) => database.WriteAsync(connection =>
        Find(connection, owner, append.Conversation) is null ? null : Append(connection, append, database.Clock.GetUtcNow()));

    public Task<Page<StoredItem>> ListItemsAsync(string owner, string id, PageQuery query) => database.ReadAsync(connection => connection.ReadPage(query,
        $"SELECT {ItemColumns} {Items}", $"SELECT seq {Items} AND conversation_items.id = $after", ReadItem, ("$id", id), ("$owner", owner)));

    /// <summary>The items from a first one to this, or to the newest; empty where there is none.</summary>
    /// <param name="leaf">Null for the newest.</param>
    /// <exception cref="RequestProblem">400: they are more than can be taken into memory for a turn.</exception>
    public Task<List<StoredItem>> PathAsync(string owner, string id, string? leaf) => database.ReadAsync(connection =>
    {
        if (Find(connection, owner, id) is null || (leaf ?? Newest(connection, id)) is not { } last)
            return [];
        long bytes = connection.QueryNumber($"{Path} SELECT SUM(LENGTH(body)) FROM path JOIN conversation_items USING(seq)", ("$id", id), ("$leaf", last)) ?? 0;
        return bytes > ResponseStore.MaxHistoryBytes
            ? throw RequestProblem.Invalid($"This branch of the conversation '{id}' holds {bytes} bytes; at most {ResponseStore.MaxHistoryBytes} can be continued.", "conversation", "context_length_exceeded")
            : connection.Query($"{Path} SELECT id, conversation_items.parent, created, response, body FROM path JOIN conversation_items USING(seq) ORDER BY seq", ReadItem, ("$id", id), ("$leaf", last));
    });

    public Task<StoredItem?> FindItemAsync(string owner, string id, string itemId) => database.ReadAsync(connection =>
        connection.QueryFirst($"SELECT {ItemColumns} {Items} AND conversation_items.id = $item", ReadItem, ("$id", id), ("$owner", owner), ("$item", itemId)));

    /// <summary>An item by its id alone, whatever conversation it is in.</summary>
    public Task<StoredItem?> FindItemAsync(string owner, string itemId) => database.ReadAsync(connection => connection.QueryFirst(
        $"SELECT {ItemColumns} FROM conversation_items WHERE id = $item AND conversation IN (SELECT id FROM conversations WHERE owner = $owner) LIMIT 1", ReadItem,
        ("$owner", owner), ("$item", itemId)));

    /// <summary>Those of these ids that some item has.</summary>
    public Task<List<string>> FindTakenAsync(IEnumerable<string> ids) => database.ReadAsync(connection => connection.Query(
        "SELECT DISTINCT id FROM conversation_items WHERE id IN (SELECT value FROM JSON_EACH($ids))", row => row.GetString(0), ("$ids", StoreJson.WriteList(ids))));

    /// <summary>Deletes an item; those that hang below it move up to its parent. False when there was none.</summary>
    public Task<bool> DeleteItemAsync(string owner, string id, string itemId) => database.WriteAsync(connection =>
    {
        if (connection.QueryFirst($"SELECT {ItemColumns} {Items} AND conversation_items.id = $item", ReadItem, ("$id", id), ("$owner", owner), ("$item", itemId)) is not { } item)
            return false;
        connection.Execute("UPDATE conversation_items SET parent = $parent WHERE conversation = $id AND parent = $item", ("$id", id), ("$item", itemId), ("$parent", item.Parent));
        connection.Execute("DELETE FROM conversation_items WHERE conversation = $id AND id = $item", ("$id", id), ("$item", itemId));
        connection.Execute("UPDATE conversations SET bytes = bytes - $bytes WHERE id = $id", ("$id", id), ("$bytes", item.Body.Length));
        return true;
    });

    /// <summary>Adds items within a change; null where the conversation has been deleted meanwhile.</summary>
    public static IReadOnlyList<StoredItem>? Append(SqliteConnection connection, ConversationAppend append, DateTimeOffset now)
    {
        DateTimeOffset updated = append.Items.Count == 0 ? DateTimeOffset.UnixEpoch : append.Items.Max(item => item.Created ?? now);
        if (connection.Execute("UPDATE conversations SET used = $used, updated = MAX(updated, $updated), bytes = bytes + $bytes WHERE id = $id",
            ("$used", now), ("$updated", updated), ("$bytes", append.Items.Sum(item => (long)item.Body.Length)), ("$id", append.Conversation)) == 0)
            return null;
        string? last = append.Items is [{ Parent: null }, ..] ? Newest(connection, append.Conversation) : null;
        long before = connection.QueryNumber("SELECT MAX(seq) FROM conversation_items") ?? 0;
        List<StoredItem> added = new(append.Items.Count);
        HashSet<string> ids = [];
        foreach (NewItem item in append.Items)
        {
            string? parent = item.Parent is { } wanted ? FindParent(connection, append.Conversation, wanted, ids) : last;
            added.Add(new(item.Id, parent, item.Created ?? now, item.Response, item.Body));
            ids.Add(last = item.Id);
        }

        int inserted = connection.ExecuteAll(
            "INSERT OR IGNORE INTO conversation_items(conversation, id, parent, created, response, body) VALUES($conversation, $id, $parent, $created, $response, $body)",
            added.Select(item => ((string, object?)[])[("$conversation", append.Conversation), ("$id", item.Id), ("$parent", item.Parent), ("$created", item.Created), ("$response", item.Response), ("$body", item.Body)]));
        if (inserted < added.Count)
            throw RequestProblem.Invalid("The conversation has an item with the id of one of these already.", "items", "invalid_value");
        connection.Execute($"{DatabaseSchema.IndexItems} FROM conversation_items WHERE seq > $before", ("$before", before));
        return added;
    }

    private static string? FindParent(SqliteConnection connection, string conversation, ItemParent wanted, HashSet<string> added)
    {
        foreach (string id in wanted.Candidates)
            if (added.Contains(id) || connection.QueryNumber("SELECT 1 FROM conversation_items WHERE conversation = $conversation AND id = $id", ("$conversation", conversation), ("$id", id)) is not null)
                return id;
        return wanted is { Path: { } path, Candidates: [string missing, ..] }
            ? throw RequestProblem.Invalid($"{{where}} names no earlier item of this conversation: '{missing}'.", path, "item_not_found")
            : null;
    }

    private static string? Newest(SqliteConnection connection, string conversation) => connection.QueryFirst(
        "SELECT id FROM conversation_items WHERE conversation = $conversation ORDER BY seq DESC LIMIT 1", row => row.GetString(0), ("$conversation", conversation));

    private static StoredConversation? Find(SqliteConnection connection, string owner, string id) =>
        connection.QueryFirst($"SELECT {Columns} FROM conversations WHERE owner = $owner AND id = $id", Read, ("$owner", owner), ("$id", id));

    private static StoredConversation Read(SqliteDataReader row) =>
        new(row.GetString(0), row.GetString(1), row.Time(2), Metadata.Read(row.GetString(3))) { Updated = row.Time(4) };

    private static StoredItem ReadItem(SqliteDataReader row) => new(row.GetString(0), row.Text(1), row.Time(2), row.Text(3), row.Blob(4));
}
