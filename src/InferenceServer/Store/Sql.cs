using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>SQL with named parameters. All values go in as parameters; statements are constants of the code.</summary>
internal static class Sql
{
    /// <summary>Returns the number of rows that changed.</summary>
    public static int Execute(this SqliteConnection connection, string sql, params ReadOnlySpan<(string Name, object? Value)> parameters)
    {
        using SqliteCommand command = Command(connection, sql, parameters);
        return command.ExecuteNonQuery();
    }

    /// <summary>Runs one statement for each row of parameters, which have the same names. Returns the number of rows that changed.</summary>
    public static int ExecuteAll(this SqliteConnection connection, string sql, IEnumerable<(string Name, object? Value)[]> rows)
    {
        using SqliteCommand command = Command(connection, sql, []);
        int changed = 0;
        foreach ((string Name, object? Value)[] row in rows)
        {
            command.Parameters.Clear();
            AddParameters(command, row);
            changed += command.ExecuteNonQuery();
        }

        return changed;
    }

    public static List<T> Query<T>(this SqliteConnection connection, string sql, Func<SqliteDataReader, T> read, params ReadOnlySpan<(string Name, object? Value)> parameters)
    {
        using SqliteCommand command = Command(connection, sql, parameters);
        using SqliteDataReader rows = command.ExecuteReader();
        List<T> result = [];
        while (rows.Read())
            result.Add(read(rows));
        return result;
    }

    public static T? QueryFirst<T>(this SqliteConnection connection, string sql, Func<SqliteDataReader, T> read, params ReadOnlySpan<(string Name, object? Value)> parameters)
        where T : class
    {
        using SqliteCommand command = Command(connection, sql, parameters);
        using SqliteDataReader rows = command.ExecuteReader();
        return rows.Read() ? read(rows) : null;
    }

    /// <summary>One number; null where there is no row or the value is NULL.</summary>
    public static long? QueryNumber(this SqliteConnection connection, string sql, params ReadOnlySpan<(string Name, object? Value)> parameters)
    {
        using SqliteCommand command = Command(connection, sql, parameters);
        return command.ExecuteScalar() as long?;
    }

    public static byte[] Blob(this SqliteDataReader row, int column) => row.GetFieldValue<byte[]>(column);

    public static string? Text(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    public static DateTimeOffset Time(this SqliteDataReader row, int column) => DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));

    private static SqliteCommand Command(SqliteConnection connection, string sql, ReadOnlySpan<(string Name, object? Value)> parameters)
    {
        SqliteCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // The statements are constants of this folder.
        command.CommandText = sql;
#pragma warning restore CA2100
        AddParameters(command, parameters);
        return command;
    }

    private static void AddParameters(SqliteCommand command, ReadOnlySpan<(string Name, object? Value)> parameters)
    {
        foreach ((string name, object? value) in parameters)
            command.Parameters.AddWithValue(name, value switch
            {
                null => DBNull.Value,
                DateTimeOffset time => time.ToUnixTimeMilliseconds(),
                _ => value,
            });
    }
}
