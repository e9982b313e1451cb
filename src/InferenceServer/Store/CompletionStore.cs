using System.Text.Json;
using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>A chat completion that was asked to be kept.</summary>
/// <param name="Body">The answer as JSON, without its metadata.</param>
/// <param name="Messages">What was asked, a JSON array.</param>
internal sealed record StoredCompletion(
    string Id, string Owner, DateTimeOffset Created, string Model, IReadOnlyDictionary<string, string> Metadata, byte[] Body, byte[] Messages);

internal sealed class CompletionStore(Database database)
{
    private const string Columns = "id, owner, created, model, metadata, body, messages";

    /// <summary>Completes when it is on the disk.</summary>
    public Task AddAsync(StoredCompletion completion) => database.WriteAsync(connection => connection.Execute(
        $"INSERT INTO completions({Columns}, used, bytes) VALUES($id, $owner, $created, $model, $metadata, $body, $messages, $used, $bytes)",
        ("$id", completion.Id), ("$owner", completion.Owner), ("$created", completion.Created), ("$model", completion.Model),
        ("$metadata", Metadata.Write(completion.Metadata)), ("$body", completion.Body), ("$messages", completion.Messages),
        ("$used", database.Clock.GetUtcNow()), ("$bytes", completion.Body.Length + completion.Messages.Length)));

    public Task<StoredCompletion?> FindAsync(string owner, string id) => database.ReadAsync(connection => Find(connection, owner, id));

    /// <param name="model">Only this model's; null for all.</param>
    /// <param name="metadata">Only those with all of these pairs.</param>
    public Task<Page<StoredCompletion>> ListAsync(string owner, PageQuery query, string? model, IReadOnlyDictionary<string, string> metadata) =>
        database.ReadAsync(connection => connection.ReadPage(query,
            $"""
            SELECT {Columns} FROM completions WHERE owner = $owner AND ($model IS NULL OR model = $model)
            AND NOT EXISTS (SELECT 1 FROM json_each($wanted) AS wanted WHERE NOT EXISTS
                (SELECT 1 FROM json_each(completions.metadata) AS has WHERE has.key = wanted.key AND has.value = wanted.value))
            """,
            "SELECT seq FROM completions WHERE owner = $owner AND id = $after", Read,
            ("$owner", owner), ("$model", model), ("$wanted", Metadata.Write(metadata))));

    /// <summary>Returns it as it is now; null when there is none.</summary>
    public Task<StoredCompletion?> SetMetadataAsync(string owner, string id, IReadOnlyDictionary<string, string> metadata) => database.WriteAsync(connection =>
    {
        connection.Execute("UPDATE completions SET metadata = $metadata, used = $used WHERE owner = $owner AND id = $id",
            ("$metadata", Metadata.Write(metadata)), ("$used", database.Clock.GetUtcNow()), ("$owner", owner), ("$id", id));
        return Find(connection, owner, id);
    });

    /// <summary>False when there was none.</summary>
    public Task<bool> DeleteAsync(string owner, string id) => database.WriteAsync(connection =>
        connection.Execute("DELETE FROM completions WHERE owner = $owner AND id = $id", ("$owner", owner), ("$id", id)) > 0);

    private static StoredCompletion? Find(SqliteConnection connection, string owner, string id) =>
        connection.QueryFirst($"SELECT {Columns} FROM completions WHERE owner = $owner AND id = $id", Read, ("$owner", owner), ("$id", id));

    private static StoredCompletion Read(SqliteDataReader row) =>
        new(row.GetString(0), row.GetString(1), row.Time(2), row.GetString(3), Metadata.Read(row.GetString(4)), row.Blob(5), row.Blob(6));
}

/// <summary>A client's pairs of text, as JSON.</summary>
internal static class Metadata
{
    public static string Write(IReadOnlyDictionary<string, string> metadata) =>
        JsonSerializer.Serialize(new Dictionary<string, string>(metadata), StoreJson.Default.DictionaryStringString);

    public static Dictionary<string, string> Read(string json) => JsonSerializer.Deserialize(json, StoreJson.Default.DictionaryStringString)!;
}

[System.Text.Json.Serialization.JsonSerializable(typeof(Dictionary<string, string>))]
[System.Text.Json.Serialization.JsonSerializable(typeof(string[]))]
internal sealed partial class StoreJson : System.Text.Json.Serialization.JsonSerializerContext
{
    /// <summary>Texts for a statement that takes them as one value.</summary>
    public static string WriteList(IEnumerable<string> texts) => JsonSerializer.Serialize([.. texts], Default.StringArray);
}
