using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>What somebody thought of a reply.</summary>
/// <param name="Opponent">Of a comparison: the model of the reply that was not chosen.</param>
/// <param name="Rating">Of a rating: up or down.</param>
/// <param name="Reply">Which reply, or which two: of each kind there is one about it.</param>
/// <param name="Prompt">The same for replies to the same prompt.</param>
/// <param name="Body">All of it, as JSON.</param>
internal sealed record StoredFeedback(
    string Id, string Owner, DateTimeOffset Created, string Kind, string Model, string? Opponent, string? Rating, string Reply, string Prompt, byte[] Body);

/// <param name="Comparisons">How often the first one's reply was chosen over the other's.</param>
internal sealed record FeedbackCounts(IReadOnlyList<(string Model, long Up, long Down, long Edits)> Models, IReadOnlyList<(string Model, string Opponent, long Wins)> Comparisons);

/// <summary>Feedback, which stays until its owner deletes it: nobody could make it again.</summary>
internal sealed class FeedbackStore(Database database)
{
    private const string Columns = "id, owner, created, kind, model, opponent, rating, reply, prompt, body";

    /// <summary>Adds it in place of what was said before of the same reply in the same way.</summary>
    /// <exception cref="RequestProblem">507: feedback alone would fill the store.</exception>
    public Task AddAsync(StoredFeedback feedback) => database.WriteAsync(connection =>
    {
        connection.Execute("DELETE FROM feedback WHERE owner = $owner AND kind = $kind AND reply = $reply", ("$owner", feedback.Owner), ("$kind", feedback.Kind), ("$reply", feedback.Reply));
        long held = connection.QueryNumber("SELECT SUM(bytes) FROM feedback") ?? 0;
        if (held + feedback.Body.Length > database.MaxBytes)
            throw new RequestProblem(ProblemKind.StorageFull, $"Feedback fills the store ({held} bytes; --data-disk allows {database.MaxBytes}), and none is deleted by itself: export it, and delete what is not needed.", code: "store_full");
        connection.Execute($"INSERT INTO feedback({Columns}, bytes) VALUES($id, $owner, $created, $kind, $model, $opponent, $rating, $reply, $prompt, $body, $bytes)",
            ("$id", feedback.Id), ("$owner", feedback.Owner), ("$created", feedback.Created), ("$kind", feedback.Kind), ("$model", feedback.Model), ("$opponent", feedback.Opponent),
            ("$rating", feedback.Rating), ("$reply", feedback.Reply), ("$prompt", feedback.Prompt), ("$body", feedback.Body), ("$bytes", feedback.Body.Length));
    });

    public Task<StoredFeedback?> FindAsync(string owner, string id) => database.ReadAsync(connection =>
        connection.QueryFirst($"SELECT {Columns} FROM feedback WHERE owner = $owner AND id = $id", Read, ("$owner", owner), ("$id", id)));

    /// <param name="kind">Only this kind; null for all.</param>
    /// <param name="model">Only what is about this model; null for all.</param>
    public Task<Page<StoredFeedback>> ListAsync(string owner, PageQuery query, string? kind, string? model) => database.ReadAsync(connection => connection.ReadPage(query,
        $"SELECT {Columns} FROM feedback WHERE owner = $owner AND ($kind IS NULL OR kind = $kind) AND ($model IS NULL OR $model IN (model, opponent))",
        "SELECT seq FROM feedback WHERE owner = $owner AND id = $after", Read, ("$owner", owner), ("$kind", kind), ("$model", model)));

    /// <summary>The next ones in the order in which they were given, with their places in it.</summary>
    public Task<List<(long Seq, StoredFeedback Feedback)>> ReadAsync(string owner, long after, int limit) => database.ReadAsync(connection => connection.Query(
        $"SELECT {Columns}, seq FROM feedback WHERE owner = $owner AND seq > $after ORDER BY seq LIMIT $limit", row => (row.GetInt64(10), Read(row)),
        ("$owner", owner), ("$after", after), ("$limit", limit)));

    /// <summary>Ratings of replies to a prompt that were found bad.</summary>
    public Task<List<StoredFeedback>> RatedDownAsync(string owner, string prompt) => database.ReadAsync(connection => connection.Query(
        $"SELECT {Columns} FROM feedback WHERE owner = $owner AND prompt = $prompt AND rating = 'down' ORDER BY seq", Read, ("$owner", owner), ("$prompt", prompt)));

    public Task<FeedbackCounts> CountAsync(string owner) => database.ReadAsync(connection => new FeedbackCounts(
        connection.Query("SELECT model, COUNT(*) FILTER (WHERE rating = 'up'), COUNT(*) FILTER (WHERE rating = 'down'), COUNT(*) FILTER (WHERE kind = 'edit') FROM feedback WHERE owner = $owner GROUP BY model ORDER BY model",
            row => (row.GetString(0), row.GetInt64(1), row.GetInt64(2), row.GetInt64(3)), ("$owner", owner)),
        connection.Query("SELECT model, opponent, COUNT(*) FROM feedback WHERE owner = $owner AND opponent IS NOT NULL GROUP BY model, opponent ORDER BY model, opponent",
            row => (row.GetString(0), row.GetString(1), row.GetInt64(2)), ("$owner", owner))));

    /// <summary>False when there was none.</summary>
    public Task<bool> DeleteAsync(string owner, string id) => database.WriteAsync(connection =>
        connection.Execute("DELETE FROM feedback WHERE owner = $owner AND id = $id", ("$owner", owner), ("$id", id)) > 0);

    /// <summary>Returns how many there were.</summary>
    public Task<int> DeleteAllAsync(string owner) => database.WriteAsync(connection => connection.Execute("DELETE FROM feedback WHERE owner = $owner", ("$owner", owner)));

    private static StoredFeedback Read(SqliteDataReader row) => new(row.GetString(0), row.GetString(1), row.Time(2), row.GetString(3), row.GetString(4), row.Text(5), row.Text(6),
        row.GetString(7), row.GetString(8), row.Blob(9));
}
