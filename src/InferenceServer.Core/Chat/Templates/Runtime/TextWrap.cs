// Python's textwrap.wrap() of one line, for the wordwrap filter.

namespace InferenceServer.Chat.Templates;

internal static class TextWrap
{
    public static List<string> Wrap(string line, int width, bool breaksLongWords, bool breaksOnHyphens)
    {
        List<string> chunks = Chunks(line, breaksOnHyphens);
        List<string> lines = [];
        int at = 0;
        while (at < chunks.Count)
        {
            // Whitespace stays at the start of the first line only.
            if (lines.Count > 0 && IsBlank(chunks[at]))
                at++;
            List<string> current = [];
            int length = 0;
            while (at < chunks.Count && length + PythonStrings.Length(chunks[at]) <= width)
            {
                length += PythonStrings.Length(chunks[at]);
                current.Add(chunks[at++]);
            }
            if (at < chunks.Count && PythonStrings.Length(chunks[at]) > width)
                HandleLongWord(chunks, ref at, current, width - length, width, breaksLongWords, breaksOnHyphens);
            if (current.Count > 0 && IsBlank(current[^1]))
                current.RemoveAt(current.Count - 1);
            if (current.Count > 0)
                lines.Add(string.Concat(current));
        }
        return lines;
    }

    private static bool IsBlank(string chunk) => PythonStrings.Strip(chunk, null).Length == 0;

    private static void HandleLongWord(
        List<string> chunks, ref int at, List<string> current, int room, int width, bool breaksLongWords, bool breaksOnHyphens)
    {
        room = width < 1 ? 1 : room;
        if (!breaksLongWords)
        {
            if (current.Count == 0)
                current.Add(chunks[at++]);
            return;
        }
        string chunk = chunks[at];
        int end = PythonStrings.UnitIndex(chunk, room);
        if (breaksOnHyphens && PythonStrings.Length(chunk) > room)
        {
            int hyphen = chunk.AsSpan(0, end).LastIndexOf('-');
            if (hyphen > 0 && chunk.AsSpan(0, hyphen).IndexOfAnyExcept('-') >= 0)
                end = hyphen + 1;
        }
        current.Add(chunk[..end]);
        chunks[at] = chunk[end..];
    }

    /// <summary>Words and the whitespace between them; with hyphens, also the parts of words that a hyphen between letters or a dash divides.</summary>
    private static List<string> Chunks(string line, bool breaksOnHyphens)
    {
        List<string> chunks = [];
        int at = 0;
        while (at < line.Length)
        {
            int start = at;
            bool isSpace = IsWrapSpace(line[at]);
            while (at < line.Length && IsWrapSpace(line[at]) == isSpace)
                at++;
            if (isSpace || !breaksOnHyphens)
                chunks.Add(line[start..at]);
            else
                SplitWord(chunks, line[start..at]);
        }
        return chunks;
    }

    private static bool IsWrapSpace(char c) => c is >= '\t' and <= '\r' or ' ';

    private static bool IsWordPart(char c) => char.IsLetterOrDigit(c) || c is '_' or '!' or '"' or '\'' or '&' or '.' or ',' or '?';

    private static void SplitWord(List<string> chunks, string word)
    {
        int start = 0;
        int i = 0;
        while (i < word.Length)
        {
            if (word[i] != '-')
            {
                i++;
                continue;
            }
            int run = i;
            while (run < word.Length && word[run] == '-')
                run++;
            bool isDash = run - i >= 2 && i > 0 && IsWordPart(word[i - 1]) && run < word.Length && (char.IsLetterOrDigit(word[run]) || word[run] == '_');
            bool isHyphen = run - i == 1 && i >= 2 && char.IsLetter(word[i - 1]) && (char.IsLetter(word[i - 2]) || (i >= 3 && word[i - 2] == '-' && char.IsLetter(word[i - 3])))
                && run + 1 < word.Length && char.IsLetter(word[run]) && (char.IsLetter(word[run + 1]) || word[run + 1] == '-');
            if (isDash)
            {
                if (i > start)
                    chunks.Add(word[start..i]);
                chunks.Add(word[i..run]);
                start = run;
            }
            else if (isHyphen)
            {
                chunks.Add(word[start..run]);
                start = run;
            }
            i = run;
        }
        if (start < word.Length)
            chunks.Add(word[start..]);
    }
}
