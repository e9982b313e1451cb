using System.Text;
using Microsoft.Data.Sqlite;

namespace InferenceServer.Store;

/// <summary>Where a search found something. All are plain texts.</summary>
/// <param name="ItemId">The newest item that has it; null: the title has it.</param>
/// <param name="Text">What was found.</param>
internal sealed record SearchMatch(string? ItemId, string Before, string Text, string After);

/// <summary>Rows that have what is searched for.</summary>
/// <param name="Title">Of the conversation whose title has it.</param>
/// <param name="Item">Of the newest item that has it.</param>
internal readonly record struct SearchHit(long? Title, long? Item);

/// <summary>A search in titles and messages: of all words in one place, the last one perhaps only begun.</summary>
internal sealed class ConversationSearch
{
    /// <summary>Characters of a search.</summary>
    public const int MaxLength = 256;

    // Tokens of text around what was found: a line or two.
    private const int Around = 24;

    // In an indexed text these are no text: the first two stand around what was found, the third makes a word of each letter of a script without spaces.
    private const char Begin = '\u0001', End = '\u0002', Break = '\u0003';

    /// <summary>Goes before a SELECT.</summary>
    public const string Hits = """
        WITH titles AS MATERIALIZED (SELECT rowid AS seq FROM title_search WHERE title_search MATCH $match),
            items AS MATERIALIZED (SELECT conversation, MAX(seq) AS seq FROM conversation_items WHERE seq IN (SELECT rowid FROM item_search WHERE item_search MATCH $match) GROUP BY conversation)
        """;

    /// <summary>Columns of a hit, the tables, and what rows must have.</summary>
    public const string Found = """
        titles.seq, items.seq FROM conversations LEFT JOIN titles ON titles.seq = conversations.seq LEFT JOIN items ON items.conversation = conversations.id
        WHERE (titles.seq IS NOT NULL OR items.seq IS NOT NULL) AND
        """;

    private ConversationSearch(string expression) => Expression = expression;

    /// <summary>In FTS5's language.</summary>
    public string Expression { get; }

    /// <summary>Null where the text has no word.</summary>
    public static ConversationSearch? Of(string text)
    {
        List<string> words = [];
        StringBuilder word = new();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (Rune.IsLetterOrDigit(rune) || Rune.GetUnicodeCategory(rune) is System.Globalization.UnicodeCategory.NonSpacingMark or System.Globalization.UnicodeCategory.SpacingCombiningMark)
                word.Append(rune.ToString());
            else
                EndWord();
        }

        EndWord();
        // Quoted, a word is never an operator; of letters and digits, it cannot end its quotes.
        return words.Count == 0 ? null : new ConversationSearch($"{string.Join(" AND ", words.Select(part => $"\"{ToSearchable(part)}\""))}*");

        void EndWord()
        {
            if (word.Length > 0)
                words.Add(word.ToString());
            word.Clear();
        }
    }

    /// <summary>
    /// A text as FTS5 is to see it. Chinese and Japanese have no spaces between words, and a run of them would be one word: here each letter is a word,
    /// so that words in quotes, one after the other, are found anywhere inside a run. Other scripts stay as they are.
    /// </summary>
    public static string ToSearchable(string text)
    {
        StringBuilder searchable = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            if (rune.Value is >= Begin and <= Break)
                searchable.Append(' ');
            else if (IsUnspaced(rune.Value))
                searchable.Append(Break).Append(rune.ToString()).Append(Break);
            else
                searchable.Append(rune.ToString());
        return searchable.ToString();
    }

    // Unicode's blocks of ideographs, Hiragana and Katakana, half-width and supplementary ones included, and the ideographs among the punctuation.
    private static bool IsUnspaced(int letter) => letter is >= 0x3005 and <= 0x3007 or >= 0x3041 and <= 0x30FF or >= 0x31F0 and <= 0x31FF or >= 0x3400 and <= 0x4DBF
        or >= 0x4E00 and <= 0x9FFF or >= 0xF900 and <= 0xFAFF or >= 0xFF66 and <= 0xFF9F or >= 0x20000 and <= 0x3FFFF;

    /// <summary>What was found, with what stands around it.</summary>
    public SearchMatch? Show(SqliteConnection connection, SearchHit hit)
    {
        if (hit.Title is { } title)
            return connection.QueryFirst($"SELECT NULL, SNIPPET(title_search, 0, CHAR(1), CHAR(2), '…', {Around}) FROM title_search WHERE title_search MATCH $match AND rowid = $row", Read,
                ("$match", Expression), ("$row", title));
        return connection.QueryFirst(
            $"""
            SELECT (SELECT id FROM conversation_items WHERE seq = $row), SNIPPET(item_search, 0, CHAR(1), CHAR(2), '…', {Around}) FROM item_search
            WHERE item_search MATCH $match AND rowid = $row
            """, Read, ("$match", Expression), ("$row", hit.Item));
    }

    private static SearchMatch Read(SqliteDataReader row)
    {
        string shown = row.GetString(1).Replace($"{Break}", "", StringComparison.Ordinal);
        string[] parts = shown.Split(Begin, 2);
        string[] rest = parts.Length == 2 ? parts[1].Split(End, 2) : ["", ""];
        return new SearchMatch(row.Text(0), parts[0], rest[0], rest[^1].Replace($"{Begin}", "", StringComparison.Ordinal).Replace($"{End}", "", StringComparison.Ordinal));
    }
}
