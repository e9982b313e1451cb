// The keywords of draft 2020-12 one by one, as what they say and as what their negation says.

using System.Text.Json;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed partial class SchemaExpander
{
    private static bool IsAnnotation(string keyword) => keyword is
        "title" or "description" or "default" or "examples" or "example" or "deprecated" or "readOnly" or "writeOnly" or "$comment" or "$schema" or "$id" or "id"
        or "$anchor" or "$defs" or "definitions" or "$vocabulary" or "contentEncoding" or "contentMediaType" or "contentSchema" or "discriminator" or "externalDocs" or "xml"
        || keyword.StartsWith("x-", StringComparison.Ordinal);

    /// <summary>Drafts 3 and 4 write these as true or false beside what they belong to.</summary>
    private static bool IsFlagOfOldDrafts(string keyword, JsonElement value) =>
        keyword is "exclusiveMinimum" or "exclusiveMaximum" or "required" && value.ValueKind is JsonValueKind.True or JsonValueKind.False;

    private static bool IsTrue(SchemaNode node, string keyword) => node.Element.TryGetProperty(keyword, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    private List<SchemaAlternative> Apply(List<SchemaAlternative> all, SchemaNode node, string keyword, JsonElement value) =>
        IsAnnotation(keyword) || IsFlagOfOldDrafts(keyword, value) ? all : OrAll(all, node, keyword, a => ApplyKeyword(a, node, keyword, value));

    private List<SchemaAlternative> ApplyKeyword(List<SchemaAlternative> all, SchemaNode node, string keyword, JsonElement value)
    {
        switch (keyword)
        {
            case "$ref":
                return And(all, document.Resolve(node, value));
            case "type":
                JsonTypes types = TypesOf(node, value) | (IsTrue(node, "nullable") ? JsonTypes.Null : JsonTypes.None);
                return Each(all, a => a.Types &= types);
            case "nullable": // by OpenAPI 3.0, it adds to the type beside it
                Flag(node, keyword, value);
                return all;
            case "const":
                return Each(all, a => RestrictValues(a, [value]));
            case "enum":
                if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() == 0)
                    throw node.Error(keyword, "must be an array of values, not empty");
                return Each(all, a => RestrictValues(a, [.. value.EnumerateArray()]));

            case "allOf":
                return Branches(node, keyword, value).Aggregate(all, And);
            case "anyOf":
                return Branch(all, Branches(node, keyword, value).Select(b => (Func<List<SchemaAlternative>, List<SchemaAlternative>>)(a => And(a, b))));
            case "oneOf":
                return AndExactlyOne(all, node, Branches(node, keyword, value));
            case "not":
                return And(all, node.Child(value, keyword).Not);
            case "if":
                return AndConditional(all, node, value);
            case "then" or "else":
                return all; // with "if"; alone they say nothing, by the specification

            case "minimum" or "exclusiveMinimum":
                return Each(all, a => a.Number = a.Number.AtLeast(Number(node, keyword, value), keyword != "minimum" || IsTrue(node, "exclusiveMinimum")));
            case "maximum" or "exclusiveMaximum":
                return Each(all, a => a.Number = a.Number.AtMost(Number(node, keyword, value), keyword != "maximum" || IsTrue(node, "exclusiveMaximum")));
            case "multipleOf":
                ExactDecimal step = Number(node, keyword, value);
                if (step.Mantissa.Sign <= 0)
                    throw node.Error(keyword, "must be above 0");
                return Each(all, a => a.Number = a.Number with { MultiplesOf = [.. a.Number.MultiplesOf, step] });

            case "minLength":
                return Each(all, a => a.MinLength = Math.Max(a.MinLength, Count(node, keyword, value)));
            case "maxLength":
                return Each(all, a => a.MaxLength = Math.Min(a.MaxLength ?? int.MaxValue, Count(node, keyword, value)));
            case "pattern":
                Dfa pattern = Pattern(node, keyword, Text(node, keyword, value), negated: false);
                return Each(all, a => a.Strings.Add(pattern));
            case "format":
                return ApplyFormat(all, node, Text(node, keyword, value));

            case "minItems":
                return Each(all, a => a.MinItems = Math.Max(a.MinItems, Count(node, keyword, value)));
            case "maxItems":
                return Each(all, a => a.MaxItems = Math.Min(a.MaxItems ?? int.MaxValue, Count(node, keyword, value)));
            case "uniqueItems":
                bool unique = Flag(node, keyword, value);
                return Each(all, a => a.UniqueItems |= unique);
            case "prefixItems" or "items" or "additionalItems":
                return ApplyItems(all, node, keyword);
            case "contains":
                ContainsApplicator contains = ReadContains(node, value);
                return Each(all, a => a.Contains.Add(contains));
            case "minContains" or "maxContains":
                return all; // with "contains"; alone they say nothing, by the specification

            case "properties" or "patternProperties" or "additionalProperties":
                return ApplyMembers(all, node, keyword);
            case "unevaluatedProperties":
                return Each(all, a => a.Unevaluated = a.Unevaluated is null ? node.Child(value, keyword) : throw node.Error(keyword, "occurs twice for the same object"));
            case "propertyNames":
                return Each(all, a => a.PropertyNames.Add(node.Child(value, keyword)));
            case "required":
                List<string> required = Names(node, keyword, value);
                return Each(all, a => required.ForEach(a.Require));
            case "minProperties":
                return Each(all, a => a.MinProperties = Math.Max(a.MinProperties, Count(node, keyword, value)));
            case "maxProperties":
                return Each(all, a => a.MaxProperties = Math.Min(a.MaxProperties ?? int.MaxValue, Count(node, keyword, value)));
            case "dependentRequired" or "dependentSchemas" or "dependencies":
                return ApplyDependencies(all, node, keyword, value);
            default:
                throw node.Error(keyword, "this keyword is not supported");
        }
    }

    private List<SchemaAlternative> ApplyNegated(List<SchemaAlternative> all, SchemaNode node, string keyword, JsonElement value) =>
        OrAll(all, node, keyword, a => ApplyNegatedKeyword(a, node, keyword, value));

    private List<SchemaAlternative> ApplyNegatedKeyword(List<SchemaAlternative> all, SchemaNode node, string keyword, JsonElement value)
    {
        switch (keyword)
        {
            case "$ref":
                return And(all, document.Resolve(node, value));
            case "type":
                JsonTypes types = TypesOf(node, value) | (IsTrue(node, "nullable") ? JsonTypes.Null : JsonTypes.None);
                return Each(all, a => a.Types &= ~types);
            case "const":
                return Each(all, a => a.NotValues.Add(value));
            case "enum":
                return Each(all, a => a.NotValues.AddRange(value.EnumerateArray()));

            case "allOf":
                return Branch(all, Branches(node, keyword, value).Select(b => (Func<List<SchemaAlternative>, List<SchemaAlternative>>)(a => And(a, b))));
            case "anyOf":
                return Branches(node, keyword, value).Aggregate(all, And);
            case "not":
                return And(all, node.Child(value, keyword).Not);
            case "if":
                return AndConditional(all, node, value);

            case "minimum" or "exclusiveMinimum":
                return Each(all, a => Only(a, JsonTypes.Number).Number = a.Number.AtMost(Number(node, keyword, value), keyword == "minimum" && !IsTrue(node, "exclusiveMinimum")));
            case "maximum" or "exclusiveMaximum":
                return Each(all, a => Only(a, JsonTypes.Number).Number = a.Number.AtLeast(Number(node, keyword, value), keyword == "maximum" && !IsTrue(node, "exclusiveMaximum")));
            case "minLength":
                return Each(all, a => LimitBelow(Only(a, JsonTypes.String), Count(node, keyword, value), limit => a.MaxLength = Math.Min(a.MaxLength ?? int.MaxValue, limit)));
            case "maxLength":
                return Each(all, a => Only(a, JsonTypes.String).MinLength = Math.Max(a.MinLength, Count(node, keyword, value) + 1));
            case "pattern":
                Dfa pattern = Pattern(node, keyword, Text(node, keyword, value), negated: true);
                return Each(all, a => Only(a, JsonTypes.String).Strings.Add(pattern));
            case "format" when StringFormats.Find(Text(node, keyword, value)) is { } format:
                return Each(all, a => Only(a, JsonTypes.String).Strings.Add(format.Dfa.Complement()));

            case "minItems":
                return Each(all, a => LimitBelow(Only(a, JsonTypes.Array), Count(node, keyword, value), limit => a.MaxItems = Math.Min(a.MaxItems ?? int.MaxValue, limit)));
            case "maxItems":
                return Each(all, a => Only(a, JsonTypes.Array).MinItems = Math.Max(a.MinItems, Count(node, keyword, value) + 1));
            case "items" when !node.Element.TryGetProperty("prefixItems", out _) && value.ValueKind != JsonValueKind.Array:
                return Each(all, a => Only(a, JsonTypes.Array).Contains.Add(new(node.Child(value, keyword), 1, null)));
            case "contains" when !node.Element.TryGetProperty("minContains", out _) && !node.Element.TryGetProperty("maxContains", out _):
                return Each(all, a => Only(a, JsonTypes.Array).Items.Add(new([], node.Child(value, keyword))));

            case "minProperties":
                return Each(all, a => LimitBelow(Only(a, JsonTypes.Object), Count(node, keyword, value), limit => a.MaxProperties = Math.Min(a.MaxProperties ?? int.MaxValue, limit)));
            case "maxProperties":
                return Each(all, a => Only(a, JsonTypes.Object).MinProperties = Math.Max(a.MinProperties, Count(node, keyword, value) + 1));
            case "required":
                return Branch(all, Names(node, keyword, value).Select(name => (Func<List<SchemaAlternative>, List<SchemaAlternative>>)(a => Each(a, b => Only(b, JsonTypes.Object).Forbidden.Add(name)))));
            case "properties":
                return Branch(all, MembersOf(node, keyword, value).Select(member => (Func<List<SchemaAlternative>, List<SchemaAlternative>>)(a => Each(a, b =>
                {
                    Only(b, JsonTypes.Object).Require(member.Name);
                    b.Members.Add(new([member], [], null));
                }))));
            default:
                throw node.Error(keyword, "its negation (by not, if or oneOf) is not supported");
        }
    }

    private static SchemaAlternative Only(SchemaAlternative alternative, JsonTypes types)
    {
        alternative.Types &= types;
        return alternative;
    }

    /// <summary>Fewer than a minimum: impossible when the minimum is 0.</summary>
    private static void LimitBelow(SchemaAlternative alternative, int minimum, Action<int> limit)
    {
        if (minimum == 0)
            alternative.Types = JsonTypes.None;
        else
            limit(minimum - 1);
    }

    private static void RestrictValues(SchemaAlternative alternative, List<JsonElement> values) =>
        alternative.Values = alternative.Values is null ? values : [.. alternative.Values.Where(v => values.Exists(w => JsonElement.DeepEquals(v, w)))];

    /// <summary>(if and then) or (not if and else); negated: (if and not then) or (not if and not else).</summary>
    private List<SchemaAlternative> AndConditional(List<SchemaAlternative> all, SchemaNode node, JsonElement value)
    {
        SchemaNode condition = node.Child(value, "if") with { IsNegated = false };
        SchemaNode OrTrue(string keyword) => node.Element.TryGetProperty(keyword, out JsonElement branch)
            ? node.Child(branch, keyword)
            : new SchemaNode(False, $"{node.Path}/{keyword}", !node.IsNegated);
        SchemaNode then = OrTrue("then"), otherwise = OrTrue("else");
        if (then.IsTrue && otherwise.IsTrue)
            return all;
        return Branch(all, [a => And(And(a, condition), then), a => And(And(a, condition.Not), otherwise)]);
    }

    private static List<SchemaAlternative> ApplyFormat(List<SchemaAlternative> all, SchemaNode node, string format)
    {
        if (StringFormats.Find(format) is { } strings)
            return Each(all, a =>
            {
                a.Strings.Add(strings.Dfa);
                a.MaxLength = strings.MaxLength < (a.MaxLength ?? int.MaxValue) ? strings.MaxLength : a.MaxLength;
            });
        (long Min, long Max)? range = format switch
        {
            "int32" => (int.MinValue, int.MaxValue),
            "int64" => (long.MinValue, long.MaxValue),
            _ => null,
        };
        if (range is { } bounds)
            return Each(all, a => a.Number = a.Number.AtLeast(new(bounds.Min, 0), exclusive: false).AtMost(new(bounds.Max, 0), exclusive: false));
        return format is "float" or "double" or "password" or "binary" ? all : throw node.Error("format", $"the format '{format}' is not supported; supported are {StringFormats.Names}, int32, int64, float and double");
    }

    /// <summary>Whether a keyword stands there. Null for a value is none where schemas may be loosened.</summary>
    private bool Has(SchemaNode node, string keyword, out JsonElement value)
    {
        if (!node.Element.TryGetProperty(keyword, out value))
            return false;
        if (value.ValueKind != JsonValueKind.Null || options.Loosened is null)
            return true;
        Refuse(node.Error(keyword, "must not be null"));
        return false;
    }

    private List<SchemaAlternative> ApplyItems(List<SchemaAlternative> all, SchemaNode node, string keyword)
    {
        bool hasPrefix = Has(node, "prefixItems", out JsonElement prefix);
        bool hasItems = Has(node, "items", out JsonElement items);
        bool oldTuple = !hasPrefix && hasItems && items.ValueKind == JsonValueKind.Array; // drafts before 2020-12
        if (keyword == "additionalItems" && !oldTuple)
            return all; // by the older drafts it says nothing without a tuple
        if (keyword == (hasPrefix && hasItems ? "items" : oldTuple ? "additionalItems" : ""))
            return all; // done together with its partner
        List<SchemaNode> first = hasPrefix ? Branches(node, "prefixItems", prefix) : oldTuple ? Branches(node, "items", items) : [];
        SchemaNode? rest = oldTuple
            ? Has(node, "additionalItems", out JsonElement additional) ? node.Child(additional, "additionalItems") : null
            : hasItems ? node.Child(items, "items") : null;
        return Each(all, a => a.Items.Add(new(first, rest)));
    }

    private static ContainsApplicator ReadContains(SchemaNode node, JsonElement value)
    {
        int min = node.Element.TryGetProperty("minContains", out JsonElement least) ? Count(node, "minContains", least) : 1;
        int? max = node.Element.TryGetProperty("maxContains", out JsonElement most) ? Count(node, "maxContains", most) : null;
        return new(node.Child(value, "contains"), min, max);
    }

    private List<SchemaAlternative> ApplyMembers(List<SchemaAlternative> all, SchemaNode node, string keyword)
    {
        bool hasProperties = Has(node, "properties", out JsonElement properties);
        bool hasPatterns = Has(node, "patternProperties", out JsonElement patterns);
        if (keyword != (hasProperties ? "properties" : hasPatterns ? "patternProperties" : "additionalProperties"))
            return all; // done together with its partner
        List<(string Name, SchemaNode Schema)> named = hasProperties ? MembersOf(node, "properties", properties) : [];
        List<(string, Dfa, SchemaNode)> matched = [];
        SchemaNode? rest = Has(node, "additionalProperties", out JsonElement additional) ? node.Child(additional, "additionalProperties") : null;
        bool closes = rest is null && !options.AllowUndeclaredProperties && !node.Element.TryGetProperty("unevaluatedProperties", out _);
        foreach ((string source, SchemaNode schema) in hasPatterns ? MembersOf(node, "patternProperties", patterns) : [])
        {
            try
            {
                matched.Add((source, Pattern(node.Child(patterns, "patternProperties"), source, source, negated: false), schema));
            }
            catch (ConstraintException e) when (options.Loosened is not null)
            {
                Refuse(e);
                (rest, closes) = (null, false); // what it names, nothing else may refuse
            }
        }
        return Each(all, a =>
        {
            a.Members.Add(new(named, matched, rest));
            a.IsClosed |= closes;
            foreach ((string name, SchemaNode schema) in named)
                if (schema.Element.ValueKind == JsonValueKind.Object && IsTrue(schema, "required")) // draft 3 says it of the member
                    a.Require(name);
        });
    }

    private List<(string Name, SchemaNode Schema)> MembersOf(SchemaNode node, string keyword, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw node.Error(keyword, "must be an object of schemas");
        List<(string Name, SchemaNode Schema)> members = [];
        HashSet<string> names = [];
        foreach (JsonProperty member in value.EnumerateObject())
        {
            if (!names.Add(member.Name))
                Refuse(node.Error(keyword, $"names '{member.Name}' twice"));
            else
                members.Add((member.Name, node.Child(value, keyword).Child(member.Value, member.Name)));
        }
        return members;
    }

    /// <summary>Each dependency holds when its member is absent, or present with all it demands.</summary>
    private List<SchemaAlternative> ApplyDependencies(List<SchemaAlternative> all, SchemaNode node, string keyword, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw node.Error(keyword, "must be an object");
        foreach (JsonProperty dependency in value.EnumerateObject())
        {
            SchemaNode child = node.Child(value, keyword).Child(dependency.Value, dependency.Name);
            List<string>? names = dependency.Value.ValueKind == JsonValueKind.Array ? Names(node, keyword, dependency.Value) : null;
            if (names is null && keyword == "dependentRequired")
                throw child.Error("must be an array of strings");
            all = Branch(all, [
                a => Each(a, b => b.Forbidden.Add(dependency.Name)),
                a => {
                    Each(a, b => b.Require(dependency.Name));
                    return names is null ? And(a, child) : Each(a, b => names.ForEach(b.Require));
                }]);
            all.RemoveAll(a => a.IsContradiction);
            if (all.Count > MaxAlternatives)
                throw node.Error(keyword, $"multiplies to more than {MaxAlternatives} alternatives");
        }
        return all;
    }
}
