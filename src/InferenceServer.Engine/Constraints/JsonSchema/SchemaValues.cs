// Judges the values that a schema lists (enum, const) by the rest of that schema, and gathers what it says about strings and numbers.

using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

/// <summary>The strings of an automaton that have at most so many code points; null for no limit.</summary>
internal readonly record struct StringSet(Dfa Dfa, int? MaxLength)
{
    public bool IsEmpty => Dfa.IsEmpty || (MaxLength is { } max && Dfa.DistancesToEnd()[0] > max);

    /// <summary>The limit as part of the automaton.</summary>
    /// <exception cref="AutomatonTooLargeException">Past the limits.</exception>
    public Dfa Whole => MaxLength is { } max ? Dfa.Intersect(Dfa.OfLength(0, max)) : Dfa;

    public StringSet And(Dfa other) => this with { Dfa = Dfa.Intersect(other) };

    public StringSet Except(Dfa other) => this with { Dfa = Dfa.Except(other) };

    public Expression.Terminal Spelled(TextEncoding encoding) => new(Dfa, encoding, MaxLength);
}

internal static class SchemaValues
{
    /// <summary>An automaton below this size costs less memory, a few hundred kilobytes, than counting costs time.</summary>
    private const int MaxCountingStates = 2_000;

    /// <summary>The strings allowed, as an automaton; null when only their length may be bounded.</summary>
    /// <exception cref="AutomatonTooLargeException">Past the limits.</exception>
    public static StringSet? StringsOf(SchemaAlternative alternative)
    {
        string[] excluded = [.. alternative.NotValues.Where(v => v.ValueKind == JsonValueKind.String).Select(v => v.GetString()!)];
        if (alternative.MinLength > (alternative.MaxLength ?? int.MaxValue))
            return new(Dfa.FromWords([]), null);
        if (alternative.Strings.Count == 0 && excluded.Length == 0)
            return null;
        Dfa dfa = alternative.Strings.Count == 0 ? Dfa.AllStrings : alternative.Strings.Aggregate((a, b) => a.Intersect(b));
        if (excluded.Length > 0)
            dfa = dfa.Except(Dfa.FromWords(excluded));
        if (alternative.MinLength > 0)
            dfa = dfa.Intersect(Dfa.OfLength(alternative.MinLength, null));
        StringSet strings = new(dfa, alternative.MaxLength);
        return alternative.MaxLength is { } max && (long)max * dfa.StateCount <= MaxCountingStates ? new(strings.Whole, null) : strings;
    }

    public static NumberBounds NumbersOf(SchemaAlternative alternative) => alternative.Number with
    {
        AllowIntegers = alternative.Types.HasFlag(JsonTypes.Integer),
        AllowFractions = alternative.Types.HasFlag(JsonTypes.Fraction),
        Excluded = [.. alternative.NotValues.Where(v => v.ValueKind == JsonValueKind.Number).Select(v => ExactDecimal.Parse(v.GetRawText())).OfType<ExactDecimal>()],
    };

    /// <summary>Whether the alternative accepts a value; its own list of values is not looked at.</summary>
    public static bool Accepts(SchemaExpander expander, SchemaAlternative alternative, JsonElement value)
    {
        if (alternative.NotValues.Exists(v => JsonElement.DeepEquals(v, value)))
            return false;
        switch (value.ValueKind)
        {
            case JsonValueKind.Null:
                return alternative.Types.HasFlag(JsonTypes.Null);
            case JsonValueKind.True or JsonValueKind.False:
                return alternative.Types.HasFlag(JsonTypes.Boolean);
            case JsonValueKind.Number:
                return ExactDecimal.Parse(value.GetRawText()) is { } number && NumbersOf(alternative).Accepts(number);
            case JsonValueKind.String:
                string text = value.GetString()!;
                int length = text.EnumerateRunes().Count();
                return alternative.Types.HasFlag(JsonTypes.String) && length >= alternative.MinLength && length <= (alternative.MaxLength ?? int.MaxValue)
                    && alternative.Strings.TrueForAll(dfa => dfa.Accepts(text));
            case JsonValueKind.Array:
                return alternative.Types.HasFlag(JsonTypes.Array) && AcceptsArray(expander, alternative, [.. value.EnumerateArray()]);
            default:
                return alternative.Types.HasFlag(JsonTypes.Object) && AcceptsObject(expander, alternative, [.. value.EnumerateObject()]);
        }
    }

    private static bool Accepts(SchemaExpander expander, IReadOnlyList<SchemaNode> conjunction, JsonElement value) =>
        expander.Expand(conjunction).Exists(a => (a.Values?.Exists(v => JsonElement.DeepEquals(v, value)) ?? true) && Accepts(expander, a, value));

    private static bool AcceptsArray(SchemaExpander expander, SchemaAlternative alternative, JsonElement[] items)
    {
        if (items.Length < alternative.MinItems || items.Length > (alternative.MaxItems ?? int.MaxValue))
            return false;
        for (int i = 0; i < items.Length; i++)
        {
            if (!Accepts(expander, alternative.ElementAt(i), items[i]))
                return false;
            if (alternative.UniqueItems && Array.Exists(items[..i], earlier => JsonElement.DeepEquals(earlier, items[i])))
                return false;
        }
        return alternative.Contains.TrueForAll(c =>
            items.Count(item => Accepts(expander, [c.Schema], item)) is var count && count >= c.Min && count <= (c.Max ?? int.MaxValue));
    }

    private static bool AcceptsObject(SchemaExpander expander, SchemaAlternative alternative, JsonProperty[] members)
    {
        if (members.Length < alternative.MinProperties || members.Length > (alternative.MaxProperties ?? int.MaxValue))
            return false;
        if (alternative.Required.Exists(name => !Array.Exists(members, m => m.Name == name)) || Array.Exists(members, m => alternative.Forbidden.Contains(m.Name)))
            return false;
        return Array.TrueForAll(members, member =>
            Accepts(expander, alternative.MemberNamed(member.Name), member.Value)
            && (alternative.PropertyNames.Count == 0 || Accepts(expander, alternative.PropertyNames, NameElement(member.Name))));
    }

    public static JsonElement NameElement(string name)
    {
        using JsonDocument document = JsonDocument.Parse(JsonSpelling.Quote(name));
        return document.RootElement.Clone();
    }

    /// <summary>The value as compact JSON, spelled as the schema's author would expect it.</summary>
    public static void Write(JsonElement value, StringBuilder text)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                text.Append(JsonSpelling.Quote(value.GetString()!));
                break;
            case JsonValueKind.Array:
                text.Append('[');
                foreach (JsonElement item in value.EnumerateArray())
                {
                    if (text[^1] != '[')
                        text.Append(',');
                    Write(item, text);
                }
                text.Append(']');
                break;
            case JsonValueKind.Object:
                text.Append('{');
                foreach (JsonProperty member in value.EnumerateObject())
                {
                    if (text[^1] != '{')
                        text.Append(',');
                    text.Append(JsonSpelling.Quote(member.Name)).Append(':');
                    Write(member.Value, text);
                }
                text.Append('}');
                break;
            default:
                text.Append(value.GetRawText());
                break;
        }
    }

    /// <summary>The value with a marker around its strings and bare keys; false where a string or key cannot be written so.</summary>
    public static bool WriteMarked(JsonElement value, string quote, StringBuilder text)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                text.Append(quote).Append(value.GetString()).Append(quote);
                return !value.GetString()!.Contains(quote, StringComparison.Ordinal);
            case JsonValueKind.Array:
                text.Append('[');
                foreach (JsonElement item in value.EnumerateArray())
                {
                    text.Append(text[^1] == '[' ? "" : ",");
                    if (!WriteMarked(item, quote, text))
                        return false;
                }
                text.Append(']');
                return true;
            case JsonValueKind.Object:
                text.Append('{');
                foreach (JsonProperty member in value.EnumerateObject())
                {
                    text.Append(text[^1] == '{' ? "" : ",").Append(member.Name).Append(':');
                    if (member.Name.Length == 0 || !member.Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-') || !WriteMarked(member.Value, quote, text))
                        return false;
                }
                text.Append('}');
                return true;
            default:
                text.Append(value.GetRawText());
                return true;
        }
    }
}
