using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>A response that is kept: whole, or still running in the background.</summary>
/// <param name="Running">Not ended yet: a server that starts finds it cut off.</param>
/// <param name="Previous">The response that this one continues.</param>
/// <param name="Root">The first of its chain; its own id if it continues none.</param>
/// <param name="Body">The response as JSON.</param>
/// <param name="Input">Its own input items, a JSON array; not those of the responses before it.</param>
/// <param name="Events">Its stream as it was sent, for one that ran in the background.</param>
/// <param name="Conversation">The conversation that it was made in: it goes with it.</param>
/// <param name="Origin">What made it, and of which prompt; null where an earlier server did.</param>
internal sealed record StoredResponse(
    string Id, string Owner, DateTimeOffset Created, bool Running, string? Previous, string Root, byte[] Body, byte[] Input, byte[]? Events, string? Conversation = null, byte[]? Origin = null);

internal sealed class ResponseStore(Database database)
{
    private const string Columns = "id, owner, created, running, previous, root, body, input, events, conversation, origin";

    // A chain is read whole for every turn that continues it; a context holds far fewer turns than this.
    private const int MaxChain = 10_000;

    /// <summary>Most of what came before that a turn may bring back, in bytes of JSON. The longest contexts are a few million characters.</summary>
    public const long MaxHistoryBytes = 64L << 20;

    /// <summary>
    /// Writes a response, new or known, with what it adds to its conversation, as one change. Completes when it is on the disk. A response that
    /// continues others marks them as used; one whose conversation has been deleted meanwhile is not kept.
    /// </summary>
    /// <param name="itemIds">Of its input and output: later requests may refer to them.</param>
    public Task SaveAsync(StoredResponse response, IReadOnlyList<string> itemIds, ConversationAppend? append) => database.WriteAsync(connection =>
    {
        DateTimeOffset now = database.Clock.GetUtcNow();
        if (response.Conversation is not null && connection.QueryNumber("SELECT 1 FROM conversations WHERE id = $id", ("$id", response.Conversation)) is null)
            return;
        connection.Execute(
            $"""
            INSERT INTO responses({Columns}, used, bytes) VALUES($id, $owner, $created, $running, $previous, $root, $body, $input, $events, $conversation, $origin, $used, $bytes)
            ON CONFLICT(id) DO UPDATE SET running = $running, body = $body, events = $events, used = $used, bytes = $bytes
            """,
            ("$id", response.Id), ("$owner", response.Owner), ("$created", response.Created), ("$running", response.Running), ("$previous", response.Previous),
            ("$root", response.Root), ("$body", response.Body), ("$input", response.Input), ("$events", response.Events), ("$conversation", response.Conversation), ("$origin", response.Origin), ("$used", now),
            ("$bytes", response.Body.Length + response.Input.Length + (response.Events?.Length ?? 0)));
        foreach (string item in itemIds)
            connection.Execute("INSERT OR IGNORE INTO response_items(id, response) VALUES($id, $response)", ("$id", item), ("$response", response.Id));
        if (response.Previous is not null)
            connection.Execute("UPDATE responses SET used = $used WHERE root = $root", ("$used", now), ("$root", response.Root));
        if (append is not null)
            ConversationStore.Append(connection, append, now);
    });

    public Task<StoredResponse?> FindAsync(string owner, string id) => database.ReadAsync(connection => Find(connection, owner, id));

    /// <summary>The response and those it continues, oldest first; null when it, or one before it, is not there.</summary>
    /// <exception cref="RequestProblem">400: they are more than can be taken into memory for a turn.</exception>
    public Task<List<StoredResponse>?> ChainAsync(string owner, string id) => database.ReadAsync(connection =>
    {
        List<StoredResponse> chain = [];
        long bytes = 0;
        for (string? next = id; next is not null; next = chain[^1].Previous)
        {
            if (chain.Count == MaxChain || Find(connection, owner, next) is not { } link)
                return null;
            // What was streamed is of no use here.
            chain.Add(link with { Events = null });
            bytes += link.Body.Length + link.Input.Length;
            if (bytes > MaxHistoryBytes)
                throw RequestProblem.Invalid($"The response '{id}' goes on from more than {MaxHistoryBytes} bytes of others.", "previous_response_id", "context_length_exceeded");
        }

        chain.Reverse();
        return chain;
    });

    /// <summary>A response that has an item of this id as input or output; null when none has.</summary>
    public Task<StoredResponse?> FindByItemAsync(string owner, string itemId) => database.ReadAsync(connection => connection.QueryFirst(
        $"SELECT {Columns} FROM responses WHERE owner = $owner AND id IN (SELECT response FROM response_items WHERE id = $item) ORDER BY seq LIMIT 1", Read,
        ("$owner", owner), ("$item", itemId)));

    /// <summary>False when there was none.</summary>
    public Task<bool> DeleteAsync(string owner, string id) => database.WriteAsync(connection =>
        connection.Execute("DELETE FROM responses WHERE owner = $owner AND id = $id", ("$owner", owner), ("$id", id)) > 0);

    /// <summary>Those that a server left running when it ended, of all owners.</summary>
    public Task<List<StoredResponse>> FindCutOffAsync() => database.ReadAsync(connection =>
        connection.Query($"SELECT {Columns} FROM responses WHERE running", Read));

    private static StoredResponse? Find(SqliteConnection connection, string owner, string id) =>
        connection.QueryFirst($"SELECT {Columns} FROM responses WHERE owner = $owner AND id = $id", Read, ("$owner", owner), ("$id", id));

    private static StoredResponse Read(SqliteDataReader row) => new(row.GetString(0), row.GetString(1), row.Time(2), row.GetBoolean(3), row.Text(4), row.GetString(5),
        row.Blob(6), row.Blob(7), row.IsDBNull(8) ? null : row.Blob(8), row.Text(9), row.IsDBNull(10) ? null : row.Blob(10));
}
