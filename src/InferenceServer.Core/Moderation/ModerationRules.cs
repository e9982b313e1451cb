// What a text is flagged for, by rules and not by a model: patterns of categories, matched without backtracking, so that a text's length alone bounds the time.

using System.Text;
using System.Text.RegularExpressions;

namespace InferenceServer.Moderation;

/// <summary>One rule of a category.</summary>
/// <param name="Category">Its place in <see cref="ModerationRules.Categories"/>.</param>
/// <param name="Score">What the category scores when the rule matches.</param>
/// <param name="Matches">Any of these.</param>
/// <param name="Exceptions">A match that one of these overlaps does not count.</param>
internal sealed record ModerationRule(int Category, double Score, IReadOnlyList<Lazy<Regex>> Matches, IReadOnlyList<Lazy<Regex>> Exceptions);

/// <summary>A set of rules. Immutable; safe from any thread.</summary>
internal sealed class ModerationRules
{
    /// <summary>OpenAI's categories, in its order; every verdict has them.</summary>
    public static readonly IReadOnlyList<string> StandardCategories =
    [
        "harassment", "harassment/threatening", "sexual", "sexual/minors", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
        "self-harm/intent", "self-harm/instructions", "violence", "violence/graphic",
    ];

    private static readonly Lazy<ModerationRules> Standard = new(LoadBuiltIn);

    private readonly IReadOnlyList<ModerationRule> _rules;
    private readonly IReadOnlyList<string?> _refusals;
    private readonly string _refusal;
    private readonly double[] _thresholds;

    /// <param name="id">Changes whenever the rules do.</param>
    /// <param name="thresholds">From which score on each category is flagged.</param>
    /// <param name="refusals">What is said to whom a category was refused; null for <paramref name="refusal"/>.</param>
    public ModerationRules(string id, IReadOnlyList<string> categories, IReadOnlyList<ModerationRule> rules, IReadOnlyList<string?> refusals, string refusal, double[] thresholds)
    {
        (Id, Categories, _rules) = (id, categories, rules);
        (_refusals, _refusal, _thresholds) = (refusals, refusal, thresholds);
    }

    /// <summary>A small set for English that comes with the server.</summary>
    public static ModerationRules BuiltIn => Standard.Value;

    /// <summary>The name under which answers report them.</summary>
    public string Id { get; }

    /// <summary>OpenAI's, then those that the file adds.</summary>
    public IReadOnlyList<string> Categories { get; }

    /// <summary>A classifier's classes exclude each other: their scores add up to 1. Else each is a yes or no of its own.</summary>
    public bool ClassesExclude { get; init; }

    /// <summary>The verdict on nothing at all.</summary>
    public ModerationVerdict Clean() => Of(new double[Categories.Count]);

    /// <summary>The verdict that these scores make, one a category.</summary>
    public ModerationVerdict Of(double[] scores) => new(scores, _thresholds);

    public ModerationVerdict Check(string text, CancellationToken cancellation = default)
    {
        double[] scores = new double[Categories.Count];
        string folded = Fold(text);
        foreach (ModerationRule rule in _rules)
        {
            cancellation.ThrowIfCancellationRequested();
            if (rule.Score > scores[rule.Category] && Applies(rule, folded))
                scores[rule.Category] = rule.Score;
        }

        return Of(scores);
    }

    /// <summary>What is said instead: the words of the highest flagged category that has some.</summary>
    public string RefusalOf(ModerationVerdict verdict)
    {
        string? words = null;
        double highest = 0;
        for (int category = 0; category < Categories.Count; category++)
        {
            if (!verdict.Flags(category) || verdict.Scores[category] <= highest || _refusals[category] is not { } own)
                continue;
            (words, highest) = (own, verdict.Scores[category]);
        }

        return words ?? _refusal;
    }

    public IEnumerable<string> FlaggedCategories(ModerationVerdict verdict) => Categories.Where((_, category) => verdict.Flags(category));

    private static bool Applies(ModerationRule rule, string text)
    {
        foreach (Lazy<Regex> pattern in rule.Matches)
            foreach (ValueMatch match in pattern.Value.EnumerateMatches(text))
                if (!IsExcepted(rule, text, match))
                    return true;
        return false;
    }

    private static bool IsExcepted(ModerationRule rule, string text, ValueMatch match)
    {
        foreach (Lazy<Regex> exception in rule.Exceptions)
            foreach (ValueMatch other in exception.Value.EnumerateMatches(text))
            {
                if (other.Index >= match.Index + match.Length)
                    break;
                if (other.Index + other.Length > match.Index)
                    return true;
            }

        return false;
    }

    /// <summary>Undoes what makes a word look the same and compare otherwise: full-width letters, curly quotes, characters of no width.</summary>
    private static string Fold(string text)
    {
        if (System.Text.Ascii.IsValid(text))
            return text;
        StringBuilder folded = new(text.Length);
        foreach (char c in text)
        {
            if (c is '\u200B' or '\u200C' or '\u200D' or '\u2060' or '\uFEFF' or '\u00AD')
                continue;
            folded.Append(c switch
            {
                >= '\uFF01' and <= '\uFF5E' => (char)(c - 0xFEE0),
                '\u2018' or '\u2019' or '\u02BC' => '\'',
                '\u201C' or '\u201D' => '"',
                '\u2010' or '\u2011' => '-',
                _ => c,
            });
        }

        return folded.ToString();
    }

    private static ModerationRules LoadBuiltIn()
    {
        const string Name = "InferenceServer.Moderation.english.rules.json";
        using Stream stream = typeof(ModerationRules).Assembly.GetManifestResourceStream(Name) ?? throw new InvalidOperationException($"the assembly lacks {Name}");
        using MemoryStream bytes = new();
        stream.CopyTo(bytes);
        return ModerationRulesReader.Read(bytes.ToArray(), "the built-in rules", areTrusted: true);
    }
}
