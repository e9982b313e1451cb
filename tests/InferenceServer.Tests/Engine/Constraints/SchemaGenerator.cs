// Makes random schemas together with a way to draw valid instances of them, so that both directions can be checked.

using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace InferenceServer.Tests.Engine.Constraints;

/// <summary>A schema and instances of it as compact JSON; <c>depth</c> tells how much recursion is left.</summary>
internal sealed record GeneratedSchema(JsonNode Schema, Func<int, string> Sample);

internal sealed class SchemaGenerator(Random random)
{
    private static readonly string[] Keys = ["name", "id", "value", "é", "a\"b", "日本", "tab\tkey", "😀", "x-1", "a", "ab", "items", "\\", "", "kind"];
    private static readonly string[] Texts = ["", "red", "green", "hello world", "日本語", "\"quoted\"", "back\\slash", "new\nline", "😀é", "a", "aa", "\u0001", "https://x.y"];

    private static readonly (string Pattern, string[] Matches)[] Patterns = [
        ("^[a-z]{1,8}$", ["abc", "zzzzzzzz"]), ("^\\d{3}-\\d{4}$", ["555-1234"]), ("^(foo|bar)+$", ["foobarfoo"]), ("[A-Z]", ["xYz", "Q"]),
        ("^[^\"]{0,5}$", ["", "日本😀"]), ("^a.*z$", ["az", "a--z"]), ("^\\w+@\\w+\\.com$", ["me@x.com"])];

    private static readonly (string Format, string Example)[] Formats = [
        ("date", "2024-02-29"), ("time", "12:30:00Z"), ("date-time", "2020-01-31T23:59:59.25+01:00"), ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("email", "a.b@example.org"), ("ipv4", "10.0.0.255"), ("ipv6", "2001:db8::1"), ("uri", "https://example.com/a?b#c"), ("hostname", "www.example.com")];

    private readonly JsonObject _definitions = [];
    private readonly List<GeneratedSchema> _recursive = [];

    public GeneratedSchema Generate()
    {
        GeneratedSchema root = Any(3);
        if (_definitions.Count > 0 && root.Schema is JsonObject schema)
            schema["$defs"] = _definitions;
        return root;
    }

    private T Pick<T>(IReadOnlyList<T> list) => list[random.Next(list.Count)];

    private bool Chance(int percent) => random.Next(100) < percent;

    public static string Quote(string text)
    {
        StringBuilder quoted = new("\"");
        foreach (char c in text)
            quoted.Append(c switch { '"' => "\\\"", '\\' => "\\\\", '\n' => "\\n", '\t' => "\\t", < ' ' => $"\\u{(int)c:x4}", _ => c.ToString() });
        return quoted.Append('"').ToString();
    }

    private GeneratedSchema Any(int depth) => random.Next(depth > 0 ? 16 : 8) switch
    {
        0 => Integer(),
        1 => Number(),
        2 => Text(),
        3 => Patterned(),
        4 => Formatted(),
        5 => Enumerated(),
        6 => Pick<GeneratedSchema>([new(new JsonObject { ["type"] = "boolean" }, _ => "true"), new(new JsonObject { ["type"] = "null" }, _ => "null")]),
        7 => Constant(),
        8 or 9 => Array(depth),
        10 => Tuple(depth),
        11 => Union(depth),
        12 => Conjunction(),
        13 => _recursive.Count > 0 && Chance(50) ? Pick(_recursive) : Recursive(depth),
        _ => Object(depth),
    };

    private GeneratedSchema Integer()
    {
        int low = random.Next(-2000, 2000), high = low + random.Next(0, 3000);
        JsonObject schema = new() { ["type"] = "integer" };
        int step = 1;
        if (Chance(30))
            schema["multipleOf"] = step = random.Next(1, 12);
        int from = (int)Math.Ceiling(low / (double)step) * step;
        if (from > high)
            high = from;
        if (Chance(70))
            schema["minimum"] = low;
        if (Chance(70))
            schema["maximum"] = high;
        return new(schema, _ => $"{from + (step * random.Next(0, ((high - from) / step) + 1))}");
    }

    private GeneratedSchema Number()
    {
        decimal low = random.Next(-100_000, 100_000) / 100m, high = low + (random.Next(1, 100_000) / 100m);
        JsonObject schema = new() { ["type"] = "number", [Chance(50) ? "minimum" : "exclusiveMinimum"] = low, [Chance(50) ? "maximum" : "exclusiveMaximum"] = high };
        return new(schema, _ => ((low + high) / 2).ToString(CultureInfo.InvariantCulture));
    }

    private GeneratedSchema Text()
    {
        int min = random.Next(0, 4), max = min + random.Next(0, 40);
        JsonObject schema = new() { ["type"] = "string", ["minLength"] = min };
        if (Chance(60))
            schema["maxLength"] = max;
        return new(schema, _ => Quote(string.Concat(Enumerable.Range(0, random.Next(min, max + 1)).Select(_ => Pick(["a", "é", "日", "😀", "\"", "\\", "\n", " "])))));
    }

    private GeneratedSchema Patterned()
    {
        (string pattern, string[] matches) = Pick(Patterns);
        return new(new JsonObject { ["type"] = "string", ["pattern"] = pattern }, _ => Quote(Pick(matches)));
    }

    private GeneratedSchema Formatted()
    {
        (string format, string example) = Pick(Formats);
        return new(new JsonObject { ["type"] = "string", ["format"] = format }, _ => Quote(example));
    }

    private GeneratedSchema Enumerated()
    {
        List<string> values = [.. Texts.OrderBy(_ => random.Next()).Take(random.Next(1, 6)).Select(Quote)];
        if (Chance(40))
            values.AddRange(["1", "-2.5", "null", "true", "[1,2]", "{\"a\":\"é\"}"]);
        return new(new JsonObject { ["enum"] = new JsonArray([.. values.Select(v => JsonNode.Parse(v))]) }, _ => Pick(values));
    }

    private GeneratedSchema Constant()
    {
        string value = Quote(Pick(Texts));
        return new(new JsonObject { ["const"] = JsonNode.Parse(value) }, _ => value);
    }

    private GeneratedSchema Array(int depth)
    {
        GeneratedSchema item = Any(depth - 1);
        int min = random.Next(0, 3), max = min + random.Next(0, 4);
        JsonObject schema = new() { ["type"] = "array", ["items"] = item.Schema.DeepClone() };
        if (min > 0)
            schema["minItems"] = min;
        if (Chance(60))
            schema["maxItems"] = max;
        return new(schema, d => $"[{string.Join(',', Enumerable.Range(0, random.Next(min, max + 1)).Select(_ => item.Sample(d)))}]");
    }

    private GeneratedSchema Tuple(int depth)
    {
        GeneratedSchema[] items = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Any(depth - 1))];
        JsonObject schema = new() { ["type"] = "array", ["prefixItems"] = new JsonArray([.. items.Select(i => i.Schema.DeepClone())]), ["items"] = false, ["minItems"] = items.Length };
        return new(schema, d => $"[{string.Join(',', items.Select(i => i.Sample(d)))}]");
    }

    private GeneratedSchema Union(int depth)
    {
        GeneratedSchema[] branches = [.. Enumerable.Range(0, random.Next(2, 4)).Select(_ => Any(depth - 1))];
        return new(new JsonObject { ["anyOf"] = new JsonArray([.. branches.Select(b => b.Schema.DeepClone())]) }, d => Pick(branches).Sample(d));
    }

    private GeneratedSchema Conjunction()
    {
        int low = random.Next(0, 50);
        JsonObject schema = new() { ["allOf"] = new JsonArray(new JsonObject { ["type"] = new JsonArray("integer", "string"), ["minimum"] = low }, new JsonObject { ["type"] = "integer", ["maximum"] = low + 20 }) };
        if (Chance(50))
            schema["not"] = new JsonObject { ["const"] = low + 20 };
        return new(schema, _ => $"{low + random.Next(0, 20)}");
    }

    private GeneratedSchema Recursive(int depth)
    {
        string name = $"node{_definitions.Count}";
        _definitions[name] = null; // taken: the value below may make more of them
        GeneratedSchema value = Any(Math.Min(1, depth - 1));
        JsonObject reference = new() { ["$ref"] = $"#/$defs/{name}" };
        _definitions[name] = new JsonObject
        {
            ["type"] = "object",
            ["properties"] = new JsonObject
            {
                ["value"] = value.Schema.DeepClone(),
                ["children"] = new JsonObject { ["type"] = "array", ["items"] = reference.DeepClone(), ["maxItems"] = 3 },
            },
            ["required"] = new JsonArray("value", "children"),
            ["additionalProperties"] = false,
        };
        string Sample(int left) => $"{{\"value\":{value.Sample(0)},\"children\":[{(left > 0 ? string.Join(',', Enumerable.Range(0, random.Next(0, 3)).Select(_ => Sample(left - 1))) : "")}]}}";
        GeneratedSchema made = new(reference, Sample);
        _recursive.Add(made);
        return made;
    }

    private GeneratedSchema Object(int depth)
    {
        List<(string Key, GeneratedSchema Value, bool Required)> members = [.. Keys.OrderBy(_ => random.Next()).Take(random.Next(0, 6)).Select(k => (k, Any(depth - 1), Chance(60)))];
        JsonObject properties = [];
        foreach ((string key, GeneratedSchema value, _) in members)
            properties[key] = value.Schema.DeepClone();
        JsonObject schema = new() { ["type"] = "object", ["properties"] = properties, ["required"] = new JsonArray([.. members.Where(m => m.Required).Select(m => (JsonNode)m.Key)]) };
        int kind = random.Next(4);
        GeneratedSchema? extra = kind == 0 ? Any(0) : null;
        if (kind != 1)
            schema["additionalProperties"] = extra?.Schema.DeepClone() ?? false;
        return new(schema, d =>
        {
            List<string> written = [.. members.Where(m => m.Required || Chance(50)).Select(m => $"{Quote(m.Key)}:{m.Value.Sample(d)}")];
            if (kind < 2 && Chance(50))
                written.Add($"\"extra é\":{extra?.Sample(d) ?? "[1,{\"deep\":null}]"}");
            return $"{{{string.Join(',', written)}}}";
        });
    }
}
