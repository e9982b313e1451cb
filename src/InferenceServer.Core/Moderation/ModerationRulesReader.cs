using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace InferenceServer.Moderation;

/// <summary>
/// A rules file to <see cref="ModerationRules"/>. Its form: <c>{"refusal"?, "threshold"?, "classes"?, "categories": {NAME: {"refusal"?, "threshold"?, "rules"?: [{"phrases"?, "patterns"?,
/// "except"?, "score"?}]}}}</c>. Whatever is wrong is one line with the file and the line or the JSON path.
/// </summary>
internal sealed class ModerationRulesReader
{
    public const int MaxFileBytes = 1 << 20;

    private const int MaxCategories = 64;
    private const int MaxTexts = 4_000;
    private const int MaxPhraseLength = 200;
    private const int MaxPatternLength = 1_000;
    private const int MaxRefusalLength = 2_000;

    // Phrases become alternations; one of thousands takes long to build, and many small ones are matched as fast.
    private const int PhrasesPerRegex = 50;
    private const string StandardRefusal = "I can't help with that.";
    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.IgnoreCase | RegexOptions.CultureInvariant;

    private static readonly JsonDocumentOptions JsonOptions =
        new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, AllowDuplicateProperties = false, MaxDepth = 16 };

    private readonly string _source;
    private readonly bool _areTrusted;
    private readonly List<string> _categories = [.. ModerationRules.StandardCategories];
    private readonly List<ModerationRule> _rules = [];
    private readonly List<string?> _refusals = [.. ModerationRules.StandardCategories.Select(_ => (string?)null)];
    private readonly Dictionary<int, double> _thresholds = [];
    private int _texts;

    private ModerationRulesReader(string source, bool areTrusted) => (_source, _areTrusted) = (source, areTrusted);

    /// <exception cref="ServerStartException">The file cannot be read or used.</exception>
    public static ModerationRules Load(string path)
    {
        string source = $"--moderation-rules: {path}";
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length > MaxFileBytes)
                throw new ServerStartException($"{source}: it has {file.Length} bytes; at most {MaxFileBytes} are read");
            byte[] bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            return Read(bytes, source);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ServerStartException($"{source}: {error.Message}", error);
        }
    }

    /// <param name="source">Where they come from, as errors name it.</param>
    /// <param name="areTrusted">Patterns are compiled when they are first used: those of the built-in rules take 50 MB, and most servers moderate nothing.</param>
    /// <exception cref="ServerStartException">They cannot be used.</exception>
    public static ModerationRules Read(byte[] json, string source, bool areTrusted = false)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json.AsMemory(json.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? Encoding.UTF8.Preamble.Length : 0), JsonOptions);
            return new ModerationRulesReader(source, areTrusted).ReadRoot(document.RootElement, $"rules-{Convert.ToHexStringLower(SHA256.HashData(json).AsSpan(0, 5))}");
        }
        catch (JsonException error)
        {
            throw new ServerStartException($"{source}: line {(error.LineNumber ?? 0) + 1}: it is not valid JSON: {error.Message}", error);
        }
        catch (InvalidOperationException error)
        {
            throw new ServerStartException($"{source}: a text in it is not valid Unicode: half a surrogate pair", error);
        }
    }

    private ModerationRules ReadRoot(JsonElement root, string id)
    {
        string refusal = StandardRefusal;
        double threshold = 0.5;
        bool exclude = false;
        JsonElement? categories = null;
        foreach (JsonProperty member in Members(root, "$"))
        {
            switch (member.Name)
            {
                case "refusal":
                    refusal = Text(member.Value, "$.refusal", MaxRefusalLength);
                    break;
                case "threshold":
                    threshold = Score(member.Value, "$.threshold");
                    break;
                case "classes":
                    exclude = Text(member.Value, "$.classes", 20) switch
                    {
                        "independent" => false,
                        "exclusive" => true,
                        _ => throw Wrong("$.classes", "it must be independent or exclusive"),
                    };
                    break;
                case "categories":
                    categories = member.Value;
                    break;
                default:
                    throw Unknown("$", member.Name, "refusal, threshold, classes and categories");
            }
        }

        foreach (JsonProperty category in Members(categories ?? throw Wrong("$", "'categories' is missing"), "$.categories"))
            ReadCategory(category.Name, category.Value, $"$.categories['{category.Name}']");
        return new ModerationRules(id, _categories, _rules, _refusals, refusal, [.. _categories.Select((_, category) => _thresholds.GetValueOrDefault(category, threshold))]) { ClassesExclude = exclude };
    }

    private void ReadCategory(string name, JsonElement value, string path)
    {
        if (name.Length is 0 or > 64 || !name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_' or '/'))
            throw Wrong(path, "a category is named by 1 to 64 of a-z, 0-9, '-', '_' and '/'");
        int category = _categories.IndexOf(name);
        if (category < 0)
        {
            if (_categories.Count == MaxCategories)
                throw Wrong(path, $"there are more than {MaxCategories} categories");
            category = _categories.Count;
            _categories.Add(name);
            _refusals.Add(null);
        }

        foreach (JsonProperty member in Members(value, path))
        {
            if (member.Name == "refusal")
                _refusals[category] = Text(member.Value, $"{path}.refusal", MaxRefusalLength);
            else if (member.Name == "threshold")
                _thresholds[category] = Score(member.Value, $"{path}.threshold");
            else if (member.Name != "rules")
                throw Unknown(path, member.Name, "refusal, threshold and rules");
            else
                foreach ((JsonElement rule, int index) in Items(member.Value, $"{path}.rules"))
                    ReadRule(category, rule, $"{path}.rules[{index}]");
        }
    }

    private void ReadRule(int category, JsonElement value, string path)
    {
        List<Lazy<Regex>> matches = [], exceptions = [];
        double score = 1;
        foreach (JsonProperty member in Members(value, path))
        {
            string at = $"{path}.{member.Name}";
            switch (member.Name)
            {
                case "phrases":
                    matches.AddRange(Phrases(member.Value, at));
                    break;
                case "patterns":
                    matches.AddRange(Patterns(member.Value, at));
                    break;
                case "except":
                    exceptions.AddRange(Patterns(member.Value, at));
                    break;
                case "score":
                    score = Score(member.Value, at);
                    break;
                default:
                    throw Unknown(path, member.Name, "phrases, patterns, except and score");
            }
        }

        if (matches.Count == 0)
            throw Wrong(path, "a rule needs 'phrases' or 'patterns'");
        _rules.Add(new ModerationRule(category, score, matches, exceptions));
    }

    private IEnumerable<Lazy<Regex>> Phrases(JsonElement value, string path)
    {
        List<string> phrases = [];
        foreach ((JsonElement item, int index) in Items(value, path))
            phrases.Add(WholeWords(Counted(item, $"{path}[{index}]", MaxPhraseLength)));
        return phrases.Chunk(PhrasesPerRegex).Select(chunk => Compile(string.Join('|', chunk), path));
    }

    private IEnumerable<Lazy<Regex>> Patterns(JsonElement value, string path)
    {
        foreach ((JsonElement item, int index) in Items(value, path))
            yield return Compile(Counted(item, $"{path}[{index}]", MaxPatternLength), $"{path}[{index}]");
    }

    private Lazy<Regex> Compile(string pattern, string path)
    {
        Lazy<Regex> regex = new(() => new Regex(pattern, Options));
        try
        {
            return _areTrusted || !regex.Value.IsMatch("") ? regex : throw Wrong(path, "it matches every text, the empty one too");
        }
        catch (RegexParseException error)
        {
            throw Wrong(path, $"it is no regular expression: {error.Message}");
        }
        catch (NotSupportedException)
        {
            throw Wrong(path, "lookarounds, backreferences, atomic groups and conditions are not supported, as they cannot be matched without backtracking");
        }
    }

    /// <summary>A phrase as a pattern: white space is any amount of it, and its ends are those of words.</summary>
    private static string WholeWords(string phrase)
    {
        StringBuilder pattern = new();
        pattern.Append(IsWordCharacter(phrase[0]) ? @"\b" : "");
        pattern.AppendJoin(@"\s+", phrase.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(Regex.Escape));
        return pattern.Append(IsWordCharacter(phrase[^1]) ? @"\b" : "").ToString();
    }

    private static bool IsWordCharacter(char c) => char.IsLetterOrDigit(c) || c == '_';

    private string Counted(JsonElement item, string path, int maxLength) =>
        ++_texts > MaxTexts ? throw Wrong(path, $"there are more than {MaxTexts} phrases and patterns") : Text(item, path, maxLength);

    private string Text(JsonElement value, string path, int maxLength)
    {
        string? text = value.ValueKind == JsonValueKind.String ? value.GetString()!.Trim() : null;
        return text is { Length: > 0 } && text.Length <= maxLength ? text : throw Wrong(path, $"it must be a text of 1 to {maxLength} characters");
    }

    private double Score(JsonElement value, string path) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double score) && score is > 0 and <= 1 ? score : throw Wrong(path, "it must be a number above 0, up to 1");

    private JsonElement.ObjectEnumerator Members(JsonElement value, string path) =>
        value.ValueKind == JsonValueKind.Object ? value.EnumerateObject() : throw Wrong(path, "it must be an object");

    private IEnumerable<(JsonElement Item, int Index)> Items(JsonElement value, string path) =>
        value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().Select((item, index) => (item, index)) : throw Wrong(path, "it must be an array");

    private ServerStartException Unknown(string path, string name, string known) => Wrong(path, $"'{name}' is not known here; there are {known}");

    private ServerStartException Wrong(string path, string what) => new($"{_source}: {path}: {what}");
}
