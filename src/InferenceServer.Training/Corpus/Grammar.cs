// Hand-written seeds: tables of facts (*.table) and rules of text (*.grammar), read from the data folder.
// The notation is described at the top of data/stories.grammar and data/world.table. Immutable once read.
using System.Text;

namespace InferenceServer.Training.Corpus;

/// <summary>One row of a table: column name to cell.</summary>
public sealed class Row(IReadOnlyDictionary<string, string> cells)
{
    public string this[string column] => cells.TryGetValue(column, out string? cell)
        ? cell
        : throw new InvalidDataException($"No column '{column}' in a row of [{string.Join(", ", cells.Keys)}].");

    public IEnumerable<KeyValuePair<string, string>> Cells => cells;
}

public sealed class Grammar
{
    private readonly Dictionary<string, List<string>> _rules = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<Row>> _tables = new(StringComparer.Ordinal);

    private Grammar(bool heldOut) => HeldOut = heldOut;

    /// <summary>Whether this is the part that training never sees (<see cref="Corpus.HeldOut"/>), or all the rest.</summary>
    public bool HeldOut { get; }

    /// <exception cref="InvalidDataException">A line that does not fit the notation; names file and line.</exception>
    public static Grammar Read(string folder, bool heldOut = false)
    {
        if (!Directory.Exists(folder))
        {
            throw new InvalidDataException($"The seed folder {folder} does not exist.");
        }

        var grammar = new Grammar(heldOut);
        foreach (string path in Directory.GetFiles(folder).Order(StringComparer.Ordinal))
        {
            if (path.EndsWith(".grammar", StringComparison.Ordinal))
            {
                grammar.ReadRules(path);
            }
            else if (path.EndsWith(".table", StringComparison.Ordinal))
            {
                grammar.ReadTables(path);
            }
        }

        grammar.KeepOwn("names", "name");
        grammar.KeepOwn("petnames", "petname");
        return grammar;
    }

    public IReadOnlyList<Row> Table(string name) => _tables.TryGetValue(name, out List<Row>? rows)
        ? rows
        : throw new InvalidDataException($"No table '%{name}' in the seeds.");

    /// <summary>Expands a rule; bindings made on the way are left in <paramref name="bindings"/>.</summary>
    public string Expand(string rule, SeededRandom random, IDictionary<string, string>? bindings = null) =>
        ExpandText(random.Pick(Rule(rule)), random, bindings ?? new Dictionary<string, string>(StringComparer.Ordinal));

    public static string Capitalize(string text) =>
        text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..];

    public static string WithArticle(string noun) =>
        ("aeiou".Contains(char.ToLowerInvariant(noun[0]), StringComparison.Ordinal) ? "an " : "a ") + noun;

    private void KeepOwn(string table, string column)
    {
        if (_tables.TryGetValue(table, out List<Row>? rows))
        {
            rows.RemoveAll(r => Corpus.HeldOut.Contains(r[column], Corpus.HeldOut.OneNameIn) != HeldOut);
        }
    }

    private List<string> Rule(string name) => _rules.TryGetValue(name, out List<string>? alternatives)
        ? alternatives
        : throw new InvalidDataException($"No rule '@{name}' in the seeds.");

    private string ExpandText(string text, SeededRandom random, IDictionary<string, string> bindings)
    {
        var result = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c is '{' or '[')
            {
                int end = Closing(text, i);
                string inner = text[(i + 1)..end];
                result.Append(c == '{'
                    ? ExpandReference(inner, random, bindings)
                    : ExpandText(random.Pick(inner.Split('|')), random, bindings));
                i = end;
            }
            else
            {
                result.Append(c);
            }
        }

        return result.ToString();
    }

    private string ExpandReference(string reference, SeededRandom random, IDictionary<string, string> bindings)
    {
        bool capital = reference.StartsWith('^');
        reference = capital ? reference[1..] : reference;
        bool article = reference.StartsWith("a ", StringComparison.Ordinal);
        reference = article ? reference[2..] : reference;
        if (reference.StartsWith('!'))
        {
            foreach ((string column, string cell) in random.Pick(Table(reference[1..])).Cells)
            {
                bindings[column] = cell;
            }

            return string.Empty;
        }

        string value;
        int colon = reference.IndexOf(':', StringComparison.Ordinal);
        if (reference.StartsWith('='))
        {
            value = bindings.TryGetValue(reference[1..], out string? bound)
                ? bound
                : throw new InvalidDataException($"'{{{reference}}}' is used before it is bound.");
        }
        else if (colon > 0)
        {
            bool silent = reference[colon + 1] == '=';
            value = Expand(reference[(colon + (silent ? 2 : 1))..], random, bindings);
            bindings[reference[..colon]] = value;
            value = silent ? string.Empty : value;
        }
        else
        {
            value = Expand(reference, random, bindings);
        }

        value = article && value.Length > 0 ? WithArticle(value) : value;
        return capital ? Capitalize(value) : value;
    }

    private static int Closing(string text, int open)
    {
        (char opening, char closing) = text[open] == '{' ? ('{', '}') : ('[', ']');
        int depth = 0;
        for (int i = open; i < text.Length; i++)
        {
            depth += text[i] == opening ? 1 : text[i] == closing ? -1 : 0;
            if (depth == 0)
            {
                return i;
            }
        }

        throw new InvalidDataException($"'{opening}' is never closed in: {text}");
    }

    private void ReadRules(string path)
    {
        List<string>? current = null;
        foreach ((int number, string line) in Lines(path))
        {
            if (line.StartsWith('@'))
            {
                current = [];
                _rules.Add(line[1..].Trim(), current);
            }
            else
            {
                (current ?? throw new InvalidDataException($"{path}({number}): text before the first @rule."))
                    .Add(line.Replace("\\n", "\n", StringComparison.Ordinal));
            }
        }
    }

    private void ReadTables(string path)
    {
        string[] columns = [];
        List<Row>? current = null;
        foreach ((int number, string line) in Lines(path))
        {
            if (line.StartsWith('%'))
            {
                string[] parts = line[1..].Split(':', 2);
                columns = [.. parts[1].Split('|').Select(c => c.Trim())];
                current = [];
                _tables.Add(parts[0].Trim(), current);
                continue;
            }

            string[] cells = columns.Length == 1 ? [line] : line.Split('|', columns.Length);
            if (current is null || cells.Length != columns.Length)
            {
                throw new InvalidDataException($"{path}({number}): {cells.Length} cells where the table has {columns.Length} columns.");
            }

            current.Add(new Row(columns.Zip(cells).ToDictionary(
                p => p.First, p => Unescape(p.Second.Trim()), StringComparer.Ordinal)));
        }
    }

    private static string Unescape(string cell) => cell
        .Replace("\\\\", "\u0001", StringComparison.Ordinal)
        .Replace("\\n", "\n", StringComparison.Ordinal)
        .Replace("\u0001", "\\", StringComparison.Ordinal);

    private static IEnumerable<(int Number, string Line)> Lines(string path)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (line.Length > 0 && !line.StartsWith("# ", StringComparison.Ordinal))
            {
                yield return (number, line);
            }
        }
    }
}
