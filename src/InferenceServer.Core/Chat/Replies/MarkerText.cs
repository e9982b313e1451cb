// Markers in replies: finding them however white space was set, and taking texts apart at tags.

using System.Globalization;
using System.Text.RegularExpressions;

namespace InferenceServer.Chat.Replies;

internal enum MarkerMatch
{
    None,

    /// <summary>The text ended within what could become the marker.</summary>
    Partial,
    Full,
}

internal static partial class MarkerText
{
    /// <summary>
    /// Whether a text begins with a marker. A run of white space in the marker stands for any, or for none unless it parts words; between punctuation the text
    /// may have white space that the marker lacks. White space at the marker's end is left in the text.
    /// </summary>
    /// <param name="length">How many characters of the text the marker takes, when it is there in full.</param>
    public static MarkerMatch Match(ReadOnlySpan<char> text, string marker, out int length)
    {
        length = 0;
        int at = 0;
        for (int i = 0; i < marker.Length; i++)
        {
            if (char.IsWhiteSpace(marker[i]))
            {
                int spaceStart = at;
                while (i + 1 < marker.Length && char.IsWhiteSpace(marker[i + 1]))
                    i++;
                bool last = i + 1 == marker.Length;
                bool required = i > 0 && IsWord(marker.AsSpan(0, i).TrimEnd()) && (last || char.IsLetterOrDigit(marker[i + 1]));
                if (last && !required)
                    break;
                while (at < text.Length && char.IsWhiteSpace(text[at]) && !(last && at > spaceStart))
                    at++;
                if (at == spaceStart && required)
                    return at == text.Length ? MarkerMatch.Partial : MarkerMatch.None;
                continue;
            }

            if (i == 0 || marker[i - 1] is '>' or ']' or '}' or '[' or '{' or ',')
                while (at < text.Length && char.IsWhiteSpace(text[at]))
                    at++;
            if (at == text.Length)
                return MarkerMatch.Partial;
            if (text[at++] != marker[i])
                return MarkerMatch.None;
        }

        length = at;
        return MarkerMatch.Full;
    }

    /// <summary>The first place where a marker stands, or where the text ends within what could become it. The marker begins with no white space.</summary>
    public static MarkerMatch Find(ReadOnlySpan<char> text, string marker, out int index, out int length)
    {
        for (index = text.IndexOf(marker[0]); index >= 0;)
        {
            MarkerMatch match = Match(text[index..], marker, out length);
            if (match != MarkerMatch.None)
                return match;
            int next = text[(index + 1)..].IndexOf(marker[0]);
            index = next < 0 ? -1 : index + 1 + next;
        }

        (index, length) = (text.Length, 0);
        return MarkerMatch.None;
    }

    /// <summary>Cuts a text into tags, words, white space and single characters: what markers are compared by.</summary>
    public static List<string> Tokens(string text) => [.. TokenPattern().Matches(text).Select(match => match.Value)];

    public static bool HasTag(string text) => TagPattern().IsMatch(text);

    /// <summary>The text up to the end of its first tag; all of it when there is none.</summary>
    public static string ThroughFirstTag(string text) => TagPattern().Match(text) is { Success: true } tag ? text[..(tag.Index + tag.Length)] : text;

    /// <summary>A text cut after each tag, white space around trimmed, empty pieces left out.</summary>
    public static List<string> Steps(string text)
    {
        List<string> steps = [];
        int start = 0;
        foreach (Match tag in TagPattern().Matches(text))
        {
            steps.Add(text[start..(tag.Index + tag.Length)].Trim());
            start = tag.Index + tag.Length;
        }

        steps.Add(text[start..].Trim());
        steps.RemoveAll(step => step.Length == 0);
        return steps;
    }

    /// <summary>The longest common beginning of two texts in whole tokens.</summary>
    public static string CommonStart(string a, string b)
    {
        List<string> tokens = Tokens(a), others = Tokens(b);
        int count = 0;
        while (count < tokens.Count && count < others.Count && tokens[count] == others[count])
            count++;
        return string.Concat(tokens.Take(count));
    }

    /// <summary>The longest common end of two texts in whole tokens. With a mark given, numbers that count up by one are equal, and it stands for them.</summary>
    public static string CommonEnd(string a, string b, char? indexMark = null)
    {
        List<string> tokens = Tokens(a), others = Tokens(b), common = [];
        for (int i = 1; i <= tokens.Count && i <= others.Count && AlignedToken(tokens[^i], others[^i], indexMark) is { } equal; i++)
            common.Insert(0, equal);
        return string.Concat(common);
    }

    /// <summary>Two texts that are equal but for numbers that count up by one, with a mark for these; null when they are not.</summary>
    public static string? AlignedText(string a, string b, char indexMark)
    {
        List<string> tokens = Tokens(a), others = Tokens(b);
        List<string?> aligned = [.. tokens.Zip(others, (token, other) => AlignedToken(token, other, indexMark))];
        return tokens.Count == others.Count && !aligned.Contains(null) ? string.Concat(aligned) : null;
    }

    private static string? AlignedToken(string a, string b, char? indexMark)
    {
        if (a == b)
            return a;
        return indexMark is { } mark && int.TryParse(a, NumberStyles.None, CultureInfo.InvariantCulture, out int first)
            && int.TryParse(b, NumberStyles.None, CultureInfo.InvariantCulture, out int second) && second == first + 1
                ? mark.ToString()
                : null;
    }

    private static bool IsWord(ReadOnlySpan<char> text) => text.Length > 0 && char.IsLetterOrDigit(text[^1]);

    [GeneratedRegex(@"<[^<>\n]{1,80}>|\[/?[A-Z][A-Z_ ]*\]|[A-Za-z]+|[0-9]+|\s|.", RegexOptions.Singleline)]
    private static partial Regex TokenPattern();

    // As models' makers write them: <tag>, <|tag|>, </tag>, [TAG].
    [GeneratedRegex(@"<[^<>\n]{1,80}>|\[/?[A-Z][A-Z_ ]*\]")]
    private static partial Regex TagPattern();
}
