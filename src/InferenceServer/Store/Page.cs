using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>Which part of a list is wanted.</summary>
/// <param name="After">Begin behind this id; null for the beginning.</param>
/// <param name="Limit">Most entries.</param>
/// <param name="Descending">Newest first.</param>
internal sealed record PageQuery(string? After, int Limit, bool Descending);

internal sealed record Page<T>(IReadOnlyList<T> Items, bool HasMore)
{
    /// <summary>Cuts what was read with one entry more than wanted.</summary>
    public static Page<T> Of(List<T> read, PageQuery query) => new(read.Count > query.Limit ? read[..query.Limit] : read, read.Count > query.Limit);
}

/// <summary>Pages over rows with a <c>seq</c> that grows.</summary>
internal static class Paging
{
    /// <summary>Reads one entry more than the page holds, to know whether there are more.</summary>
    /// <param name="select">From SELECT to the end of a WHERE clause that names the rows.</param>
    /// <param name="find">Finds the <c>seq</c> of the id <c>$after</c> among the same rows.</param>
    /// <exception cref="RequestProblem">400: <see cref="PageQuery.After"/> is none of them.</exception>
    public static Page<T> ReadPage<T>(this SqliteConnection connection, PageQuery query, string select, string find, Func<SqliteDataReader, T> read,
        params ReadOnlySpan<(string Name, object? Value)> parameters)
    {
        List<(string, object?)> all = [.. parameters, ("$limit", query.Limit + 1)];
        string order = query.Descending ? "DESC" : "ASC";
        if (query.After is null)
            return Page<T>.Of(connection.Query($"{select} ORDER BY seq {order} LIMIT $limit", read, [.. all]), query);
        all.Add(("$after", query.After));
        long seq = connection.QueryNumber(find, [.. all])
            ?? throw RequestProblem.Invalid($"{{where}} names nothing in this list: '{query.After}'.", "after", "invalid_value");
        all.Add(("$seq", seq));
        return Page<T>.Of(connection.Query($"{select} AND seq {(query.Descending ? "<" : ">")} $seq ORDER BY seq {order} LIMIT $limit", read, [.. all]), query);
    }
}
