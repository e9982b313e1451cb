// The members of a call's arguments in a notation other than JSON's. Values that are no strings are JSON, strings are bare or in quotes of their own.

using System.Buffers;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed class MemberGrammar(SchemaCompiler compiler, MemberNotation notation)
{
    private const string DataOpen = "<![CDATA[";

    // Names that nothing in the notations can be mistaken for.
    private static readonly Dfa Names = RegexCompiler.CompileWhole("[A-Za-z_$][A-Za-z0-9_.$-]{0,63}");

    // What Python's repr writes between single quotes as it is.
    private static readonly Dfa PlainInPython = RegexCompiler.CompileWhole("[^'\\\\\\x00-\\x1F]*");

    private static readonly SearchValues<char> NotInNames = SearchValues.Create("<>=:,'\"()[]{}\n\r\t");

    public Expression Separator { get; } = Expression.Text(notation.Separator);

    /// <summary>A member that the schema declares; null where the notation cannot write its name, which was refused.</summary>
    /// <param name="path">Of the object's schema.</param>
    public Expression? Member(string name, IReadOnlyList<SchemaNode> schemas, string path)
    {
        if (name.Length == 0 || name.AsSpan().ContainsAny(NotInNames))
        {
            compiler.Expander.Refuse(new($"{path}/properties/{name}", "this model's calls cannot write an argument of this name"));
            return null;
        }
        return new Expression.Sequence([Expression.Text(notation.Open + name), Value(schemas, notation.Close.Replace(MemberNotation.KeyMark.ToString(), name, StringComparison.Ordinal))]);
    }

    /// <summary>A member of any other name; null where the notation cannot have one.</summary>
    /// <param name="names">The names allowed; null for all.</param>
    public Expression? Other(Dfa? names, IReadOnlyList<SchemaNode> schemas)
    {
        Dfa keys = names?.Intersect(Names) ?? Names;
        if (keys.IsEmpty || notation.Close.Contains(MemberNotation.KeyMark))
            return null;
        return new Expression.Sequence([Expression.Text(notation.Open), new Expression.Terminal(keys, TextEncoding.Raw), Value(schemas, notation.Close)]);
    }

    /// <summary>From behind the key to the next member.</summary>
    private Expression.Choice Value(IReadOnlyList<SchemaNode> schemas, string close)
    {
        List<Expression> ways = [];
        if (!notation.StringsAreBare && notation.ValueOpenByType.Count == 0 && !notation.TakesPythonScalars && notation.PythonQuote is null)
            return new([new Expression.Sequence([Expression.Text(notation.ValueOpen), compiler.ValueOf(schemas), Expression.Text(close)])]);
        foreach (SchemaAlternative alternative in compiler.Expander.Expand(schemas))
        {
            if (alternative.IsContradiction)
                continue;
            if (alternative.Values is { } values)
            {
                foreach (JsonElement value in values.Where(v => SchemaValues.Accepts(compiler.Expander, alternative, v)))
                {
                    if (Listed(value, close) is { } listed)
                        ways.Add(listed);
                    if (notation.PythonQuote is { } quote && value.ValueKind == JsonValueKind.String && PlainInPython.Accepts(value.GetString()!))
                        ways.Add(new Expression.Sequence([Expression.Text(notation.ValueOpen + quote + value.GetString() + quote + close)]));
                }
                continue;
            }
            foreach ((JsonTypes type, string name) in ByType(alternative.Types))
                ways.Add(OfType(alternative, type, name, close, schemas.Count > 0 ? schemas[0].Path : "#"));
        }
        return new(ways);
    }

    private static IEnumerable<(JsonTypes Type, string Name)> ByType(JsonTypes types)
    {
        if (types.HasFlag(JsonTypes.String))
            yield return (JsonTypes.String, "string");
        if ((types & JsonTypes.Number) != 0)
            yield return (types & JsonTypes.Number, (types & JsonTypes.Number) == JsonTypes.Integer ? "integer" : "number");
        foreach ((JsonTypes type, string name) in ((JsonTypes, string)[])[(JsonTypes.Boolean, "boolean"), (JsonTypes.Null, "null"), (JsonTypes.Array, "array"), (JsonTypes.Object, "object")])
            if (types.HasFlag(type))
                yield return (type, name);
    }

    private Expression.Sequence OfType(SchemaAlternative alternative, JsonTypes type, string name, string close, string path)
    {
        Expression open = Expression.Text(notation.ValueOpenByType.GetValueOrDefault(name, notation.ValueOpen));
        if (type == JsonTypes.String && notation.StringsAreBare)
            return new([open, BareString(alternative, close)]);
        SchemaAlternative only = alternative.Clone();
        only.Types = type;
        List<Expression> branches = compiler.BranchesOf(only, path);
        if (notation.PythonQuote is { } quote && type == JsonTypes.String)
            branches.Add(new Expression.Sequence([Expression.Text(quote),
                (SchemaCompiler.StringsOf(alternative)?.And(PlainInPython) ?? new(PlainInPython, null)).Spelled(TextEncoding.Raw), Expression.Text(quote)]));
        if (notation.TakesPythonScalars && type is JsonTypes.Boolean or JsonTypes.Null)
            branches.AddRange(type == JsonTypes.Null ? [Expression.Text("None")] : ((string[])["True", "False"]).Where((_, i) =>
                !alternative.NotValues.Exists(v => v.ValueKind == (i == 0 ? JsonValueKind.True : JsonValueKind.False))).Select(Expression.Text));
        return new([open, new Expression.Choice(branches), Expression.Text(close)]);
    }

    /// <summary>Readers look for the closing marker without the white space around it.</summary>
    private Expression.Sequence BareString(SchemaAlternative alternative, string close)
    {
        string marker = close.Trim();
        Expression rest = Expression.Text(close[close.TrimEnd().Length..]);
        if (SchemaCompiler.StringsOf(alternative) is { } strings)
            return new Expression.Sequence([strings.Except(SchemaCompiler.Containing(marker)).Spelled(TextEncoding.Raw), Expression.Text(close)]);
        List<Trigger> triggers = [new(Encoding.UTF8.GetBytes(marker), Expression.Empty)];
        if (notation.TakesCharacterData)
            triggers.Add(new(Encoding.UTF8.GetBytes(DataOpen), new Expression.FreeText([new(Encoding.UTF8.GetBytes("]]>" + marker), Expression.Empty)], MayEnd: false)) { AtStart = true });
        return new Expression.Sequence([new Expression.FreeText(triggers, MayEnd: false), rest]);
    }

    private Expression.Sequence? Listed(JsonElement value, string close)
    {
        string type = value.ValueKind switch
        {
            JsonValueKind.String => "string",
            JsonValueKind.Number => value.TryGetInt64(out _) ? "integer" : "number",
            JsonValueKind.True or JsonValueKind.False => "boolean",
            JsonValueKind.Null => "null",
            JsonValueKind.Array => "array",
            _ => "object",
        };
        string open = notation.ValueOpenByType.GetValueOrDefault(type, notation.ValueOpen);
        string? text = type == "string" && notation.StringsAreBare ? value.GetString() : compiler.Write(value);
        return text is null || (notation.StringsAreBare && text.Contains(close.Trim(), StringComparison.Ordinal)) ? null : new([Expression.Text(open + text + close)]);
    }
}
