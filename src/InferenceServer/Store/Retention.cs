using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>
/// What goes when. A chain of responses goes as one, by its last use: without its beginning the rest would be worth nothing; those of a conversation go with it.
/// What still runs stays. Feedback never goes by itself, since people made it by hand, but it counts.
/// </summary>
internal static class Retention
{
    // Below the limit by this much, so that not every write sweeps again.
    private const double FillAfterSweep = 0.95;
    private const int Step = 64;

    private const string Entries = """
        SELECT 'completions' AS kind, id, used, bytes FROM completions
        UNION ALL SELECT 'responses', root, MAX(used), SUM(bytes) FROM responses WHERE conversation IS NULL GROUP BY root HAVING MAX(running) = 0
        UNION ALL SELECT 'conversations', id, used, bytes + IFNULL((SELECT SUM(bytes) FROM responses WHERE conversation = conversations.id), 0) FROM conversations
            WHERE NOT EXISTS (SELECT 1 FROM responses WHERE conversation = conversations.id AND running)
        """;

    private const string Bytes = "SELECT IFNULL((SELECT SUM(bytes) FROM completions), 0) + IFNULL((SELECT SUM(bytes) FROM responses), 0) + IFNULL((SELECT SUM(bytes) FROM conversations), 0) "
        + "+ IFNULL((SELECT SUM(bytes) FROM feedback), 0)";

    /// <summary>Returns how many entries were deleted; a chain of responses counts as one.</summary>
    public static int Sweep(SqliteConnection connection, DateTimeOffset oldest, long maxBytes)
    {
        int deleted = 0;
        foreach ((string kind, string id, _) in Oldest(connection, "WHERE used < $oldest", int.MaxValue, oldest))
            deleted += Delete(connection, kind, id);
        long bytes = connection.QueryNumber(Bytes) ?? 0;
        if (bytes > maxBytes)
        {
            long target = (long)(maxBytes * FillAfterSweep);
            while (bytes > target && Oldest(connection, "", Step, oldest) is { Count: > 0 } entries)
            {
                foreach ((string kind, string id, long size) in entries)
                {
                    if (bytes <= target)
                        break;
                    bytes -= size;
                    deleted += Delete(connection, kind, id);
                }
            }
        }

        if (deleted > 0)
            connection.Execute("PRAGMA incremental_vacuum");
        return deleted;
    }

    private static List<(string Kind, string Id, long Bytes)> Oldest(SqliteConnection connection, string where, int limit, DateTimeOffset oldest) =>
        connection.Query($"SELECT kind, id, bytes FROM ({Entries}) {where} ORDER BY used LIMIT $limit",
            row => (row.GetString(0), row.GetString(1), row.GetInt64(2)), ("$limit", limit), ("$oldest", oldest));

    private static int Delete(SqliteConnection connection, string kind, string id)
    {
        connection.Execute(kind switch
        {
            "completions" => "DELETE FROM completions WHERE id = $id",
            "responses" => "DELETE FROM responses WHERE root = $id AND conversation IS NULL",
            _ => "DELETE FROM conversations WHERE id = $id",
        }, ("$id", id));
        return 1;
    }
}
