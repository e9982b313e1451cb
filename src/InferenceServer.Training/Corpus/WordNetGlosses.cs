namespace InferenceServer.Training.Corpus;

/// <summary>
/// Definitions of common English words from Debian's package wordnet-base (WordNet licence), read where it is installed:
/// "An owl is a nocturnal bird of prey." The package is optional; without it the list is empty.
/// </summary>
public static class WordNetGlosses
{
    private const string Folder = "/usr/share/wordnet";

    public static IReadOnlyList<string> Read(string folder = Folder)
    {
        List<string> glosses = [];
        foreach ((string file, string copula) in (ReadOnlySpan<(string, string)>)[("data.noun", "is"), ("data.verb", "means to"), ("data.adj", "means")])
        {
            string path = Path.Combine(folder, file);
            if (!File.Exists(path))
            {
                return [];
            }

            foreach (string line in File.ReadLines(path))
            {
                if (Gloss(line, file, copula) is { } gloss)
                {
                    glosses.Add(gloss);
                }
            }
        }

        return glosses;
    }

    // wndb(5): offset, file, type, count (hex), word, id, ... | gloss; examples in quotes.
    private static string? Gloss(string line, string file, string copula)
    {
        int bar = line.IndexOf(" | ", StringComparison.Ordinal);
        string[] fields = line.Split(' ', 6);
        if (bar < 0 || fields.Length < 6 || line.StartsWith(' '))
        {
            return null;
        }

        string word = fields[4].Replace('_', ' ');
        string gloss = line[(bar + 3)..].Split(';')[0].Split('"')[0].Trim();
        bool plain = word.All(c => char.IsAsciiLetterLower(c)) && gloss.Length is > 12 and < 90
            && gloss.All(c => char.IsAsciiLetter(c) || c is ' ' or ',' or '\'' or '-');
        if (!plain)
        {
            return null;
        }

        string subject = file == "data.noun" && (gloss.StartsWith("a ", StringComparison.Ordinal) || gloss.StartsWith("an ", StringComparison.Ordinal))
            ? Grammar.Capitalize(Grammar.WithArticle(word))
            : file == "data.noun" ? Grammar.Capitalize(word) : $"\"{Grammar.Capitalize(word)}\"";
        return $"{subject} {copula} {gloss}.";
    }
}
