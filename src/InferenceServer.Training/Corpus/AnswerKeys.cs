namespace InferenceServer.Training.Corpus;

/// <summary>Finds the words of a right reply that answer the question, and puts others of the same kind in their place.</summary>
public sealed class AnswerKeys(Grammar grammar)
{
    private static readonly Dictionary<string, string[]> Tables = new(StringComparer.Ordinal)
    {
        ["country"] = ["countries"],
        ["animal"] = ["animals"],
        ["concept"] = ["concepts"],
        ["person"] = ["people"],
        ["word"] = ["opposites", "synonyms", "verbs", "plurals", "colors", "foods", "translations"],
    };

    /// <summary>The skills whose replies hold a cell of a table.</summary>
    public static IReadOnlyCollection<string> Skills => Tables.Keys;

    /// <summary>The longest cell of the skill's tables that the reply holds and the question does not; null if there is none.</summary>
    public (string Column, string Table, string Cell)? Find(string skill, string question, string reply) =>
        (from table in Tables[skill]
         from row in grammar.Table(table)
         from cell in row.Cells.Skip(1) // The first column names the subject.
         where cell.Value.Length > 2 && Holds(reply, cell.Value) && !Holds(question, cell.Value)
         orderby cell.Value.Length descending
         select ((string, string, string)?)(cell.Key, table, cell.Value)).FirstOrDefault();

    /// <summary>The reply with another row's cell in place of the one that answers; null where none can be found.</summary>
    public string? Wrong(string skill, string question, string reply, SeededRandom random)
    {
        if (Find(skill, question, reply) is not var (column, table, cell))
        {
            return null;
        }

        string other = random.Pick(grammar.Table(table))[column];
        return other == cell ? null : reply.Replace(cell, other, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Whether a text holds the words, not just their letters within longer ones.</summary>
    public static bool Holds(string text, string words)
    {
        for (int at = text.IndexOf(words, StringComparison.OrdinalIgnoreCase); at >= 0; at = text.IndexOf(words, at + 1, StringComparison.OrdinalIgnoreCase))
        {
            int end = at + words.Length;
            if ((at == 0 || !char.IsLetterOrDigit(text[at - 1])) && (end == text.Length || !char.IsLetterOrDigit(text[end])))
            {
                return true;
            }
        }

        return false;
    }
}
