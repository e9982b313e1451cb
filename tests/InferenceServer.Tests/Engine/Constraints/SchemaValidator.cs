// A plain validator for the keywords of draft 2020-12, written from the specification and sharing nothing with the compiler it judges.

using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace InferenceServer.Tests.Engine.Constraints;

internal sealed class SchemaValidator(JsonElement root)
{
    public static bool IsValid(string schema, string instance)
    {
        using JsonDocument schemaDocument = JsonDocument.Parse(schema);
        using JsonDocument instanceDocument = JsonDocument.Parse(instance);
        return new SchemaValidator(schemaDocument.RootElement).Validate(schemaDocument.RootElement, instanceDocument.RootElement);
    }

    public bool Validate(JsonElement schema, JsonElement value)
    {
        if (schema.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return schema.ValueKind == JsonValueKind.True;
        foreach (JsonProperty keyword in schema.EnumerateObject())
            if (!Check(schema, keyword.Name, keyword.Value, value))
                return false;
        return true;
    }

    private bool Check(JsonElement schema, string keyword, JsonElement argument, JsonElement value)
    {
        JsonValueKind kind = value.ValueKind;
        switch (keyword)
        {
            case "$ref": return Validate(Resolve(argument.GetString()!), value);
            case "$defs" or "title" or "description" or "then" or "else": return true;
            case "type":
                return argument.ValueKind == JsonValueKind.Array ? argument.EnumerateArray().Any(t => IsType(t.GetString()!, value)) : IsType(argument.GetString()!, value);
            case "const": return JsonElement.DeepEquals(argument, value);
            case "enum": return argument.EnumerateArray().Any(v => JsonElement.DeepEquals(v, value));
            case "allOf": return argument.EnumerateArray().All(s => Validate(s, value));
            case "anyOf": return argument.EnumerateArray().Any(s => Validate(s, value));
            case "oneOf": return argument.EnumerateArray().Count(s => Validate(s, value)) == 1;
            case "not": return !Validate(argument, value);
            case "if":
                string branch = Validate(argument, value) ? "then" : "else";
                return !schema.TryGetProperty(branch, out JsonElement chosen) || Validate(chosen, value);
        }
        if (kind == JsonValueKind.Number)
            return CheckNumber(keyword, argument, value) ?? IsForOtherTypes(keyword);
        if (kind == JsonValueKind.String)
            return CheckString(keyword, argument, value.GetString()!) ?? IsForOtherTypes(keyword);
        if (kind == JsonValueKind.Array)
            return CheckArray(schema, keyword, argument, [.. value.EnumerateArray()]) ?? IsForOtherTypes(keyword);
        if (kind == JsonValueKind.Object)
            return CheckObject(schema, keyword, argument, value) ?? IsForOtherTypes(keyword);
        return IsForOtherTypes(keyword);
    }

    private static bool IsForOtherTypes(string keyword) => keyword is "minimum" or "maximum" or "exclusiveMinimum" or "exclusiveMaximum" or "multipleOf"
        or "minLength" or "maxLength" or "pattern" or "format" or "minItems" or "maxItems" or "items" or "prefixItems" or "contains" or "minContains" or "maxContains"
        or "uniqueItems" or "properties" or "patternProperties" or "additionalProperties" or "required" or "propertyNames" or "minProperties" or "maxProperties"
        or "dependentRequired" ? true : throw new NotSupportedException(keyword);

    private static bool IsType(string type, JsonElement value) => type switch
    {
        "null" => value.ValueKind == JsonValueKind.Null,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "string" => value.ValueKind == JsonValueKind.String,
        "array" => value.ValueKind == JsonValueKind.Array,
        "object" => value.ValueKind == JsonValueKind.Object,
        "number" => value.ValueKind == JsonValueKind.Number,
        "integer" => value.ValueKind == JsonValueKind.Number && Number(value) is var number && number == decimal.Truncate(number),
        _ => throw new NotSupportedException(type),
    };

    private static decimal Number(JsonElement value) => decimal.Parse(value.GetRawText(), NumberStyles.Float, CultureInfo.InvariantCulture);

    private static bool? CheckNumber(string keyword, JsonElement argument, JsonElement value) => keyword switch
    {
        "minimum" => Number(value) >= Number(argument),
        "maximum" => Number(value) <= Number(argument),
        "exclusiveMinimum" => Number(value) > Number(argument),
        "exclusiveMaximum" => Number(value) < Number(argument),
        "multipleOf" => Number(value) % Number(argument) == 0,
        _ => null,
    };

    private static bool? CheckString(string keyword, JsonElement argument, string value) => keyword switch
    {
        "minLength" => value.EnumerateRunes().Count() >= argument.GetInt32(),
        "maxLength" => value.EnumerateRunes().Count() <= argument.GetInt32(),
        "pattern" => Regex.IsMatch(InCodePoints(value), argument.GetString()!, RegexOptions.ECMAScript),
        "format" => CheckFormat(argument.GetString()!, value),
        _ => null,
    };

    /// <summary>Patterns count code points, .NET's regular expressions count UTF-16 units: one unit stands in for each pair.</summary>
    private static string InCodePoints(string value) => string.Concat(value.EnumerateRunes().Select(r => r.IsBmp ? r.ToString() : "\uE000"));

    private static bool CheckFormat(string format, string value) => format switch
    {
        "date" => DateOnly.TryParseExact(value, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _),
        "date-time" => value.Length > 11 && CheckFormat("date", value[..10]) && value[10] is 'T' or 't' && CheckFormat("time", value[11..]),
        "time" => Regex.IsMatch(value, @"\A([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)\z"),
        "uuid" => Guid.TryParseExact(value, "D", out _),
        "ipv4" => System.Net.IPAddress.TryParse(value, out var four) && four.ToString() == value,
        "ipv6" => System.Net.IPAddress.TryParse(value, out var six) && six.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6,
        "uri" => Regex.IsMatch(value, @"\A[A-Za-z][A-Za-z0-9+.-]*:") && IsReference(value[(value.IndexOf(':', StringComparison.Ordinal) + 1)..]),
        "uri-reference" => CheckFormat("uri", value) || (!value.Split('/', '?', '#')[0].Contains(':', StringComparison.Ordinal) && IsReference(value)),
        "email" => value.Split('@') is [{ Length: > 0 and <= 64 } local, { Length: <= 255 } domain] && CheckFormat("hostname", domain)
            && local.Split('.').All(atom => atom.Length > 0 && atom.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+/=?^_`{|}~-".Contains(c, StringComparison.Ordinal))),
        "hostname" => value.Length <= 253 && value.Split('.').All(label => label.Length is > 0 and <= 63 && label[0] != '-' && label[^1] != '-'
            && label.All(c => char.IsAsciiLetterOrDigit(c) || c == '-')),
        "duration" => IsDuration(value),
        "json-pointer" => value.Length == 0 || (value[0] == '/' && !Regex.IsMatch(value, "~(?![01])")),
        "relative-json-pointer" => Regex.Match(value, @"\A(0|[1-9][0-9]*)") is { Success: true } steps && (value[steps.Length..] == "#" || CheckFormat("json-pointer", value[steps.Length..])),
        "byte" => Convert.TryFromBase64String(value, new byte[value.Length], out _) && !value.Any(char.IsWhiteSpace),
        _ => throw new NotSupportedException(format),
    };

    /// <summary>What follows a scheme, or stands without one.</summary>
    private static bool IsReference(string value)
    {
        if (Regex.IsMatch(value, "%(?![0-9A-Fa-f]{2})") || value.Count(c => c == '#') > 1)
            return false;
        string host = value.StartsWith("//", StringComparison.Ordinal) ? value[2..].Split('/', '?', '#')[0] : "";
        if (!host.Contains('[', StringComparison.Ordinal) && value.Any(c => c is '[' or ']'))
            return false;
        Match port = Regex.Match(host[(host.LastIndexOf('@') + 1)..], @"\A(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:([0-9]*))?\z");
        return port.Success && (port.Groups[3].Length == 0 || int.Parse(port.Groups[3].Value, CultureInfo.InvariantCulture) <= 65_535)
            && value.All(c => char.IsAsciiLetterOrDigit(c) || "-._~:/?#[]@!$&'()*+,;=%".Contains(c, StringComparison.Ordinal));
    }

    /// <summary>RFC 3339, appendix A: units go down without a gap, the time has one at least, weeks stand alone.</summary>
    private static bool IsDuration(string value)
    {
        if (Regex.IsMatch(value, @"\AP[0-9]+W\z"))
            return true;
        string[] parts = value.Split('T');
        if (parts.Length > 2 || !parts[0].StartsWith('P'))
            return false;
        string date = parts[0][1..];
        return IsRun(date, "YMD", mayLack: parts.Length == 2) && (parts.Length == 1 || IsRun(parts[1], "HMS", mayLack: false));
        static bool IsRun(string text, string units, bool mayLack)
        {
            if (text.Length == 0)
                return mayLack;
            string named = string.Concat(text.Where(char.IsAsciiLetter));
            return Regex.IsMatch(text, @"\A([0-9]+[A-Z])+\z") && units.Contains(named, StringComparison.Ordinal);
        }
    }

    private bool? CheckArray(JsonElement schema, string keyword, JsonElement argument, JsonElement[] items)
    {
        int prefix = schema.TryGetProperty("prefixItems", out JsonElement first) ? first.GetArrayLength() : 0;
        switch (keyword)
        {
            case "minItems": return items.Length >= argument.GetInt32();
            case "maxItems": return items.Length <= argument.GetInt32();
            case "prefixItems": return Enumerable.Range(0, Math.Min(prefix, items.Length)).All(i => Validate(argument[i], items[i]));
            case "items": return items.Skip(prefix).All(item => Validate(argument, item));
            case "uniqueItems": return !argument.GetBoolean() || !items.Where((item, i) => items.Take(i).Any(e => JsonElement.DeepEquals(e, item))).Any();
            case "minContains" or "maxContains": return true;
            case "contains":
                int count = items.Count(item => Validate(argument, item));
                int min = schema.TryGetProperty("minContains", out JsonElement least) ? least.GetInt32() : 1;
                int max = schema.TryGetProperty("maxContains", out JsonElement most) ? most.GetInt32() : int.MaxValue;
                return count >= min && count <= max;
            default: return null;
        }
    }

    private bool? CheckObject(JsonElement schema, string keyword, JsonElement argument, JsonElement value)
    {
        HashSet<string> names = [.. value.EnumerateObject().Select(p => p.Name)];
        switch (keyword)
        {
            case "required": return argument.EnumerateArray().All(n => names.Contains(n.GetString()!));
            case "minProperties": return names.Count >= argument.GetInt32();
            case "maxProperties": return names.Count <= argument.GetInt32();
            case "properties": return value.EnumerateObject().All(p => !argument.TryGetProperty(p.Name, out JsonElement sub) || Validate(sub, p.Value));
            case "patternProperties":
                return value.EnumerateObject().All(p => argument.EnumerateObject().All(s => !Regex.IsMatch(p.Name, s.Name, RegexOptions.ECMAScript) || Validate(s.Value, p.Value)));
            case "additionalProperties": return value.EnumerateObject().Where(p => !IsDeclared(schema, p.Name)).All(p => Validate(argument, p.Value));
            case "propertyNames":
                return names.All(name =>
                {
                    using JsonDocument text = JsonDocument.Parse(JsonSerializer.Serialize(name));
                    return Validate(argument, text.RootElement);
                });
            case "dependentRequired":
                return argument.EnumerateObject().All(d => !names.Contains(d.Name) || d.Value.EnumerateArray().All(n => names.Contains(n.GetString()!)));
            default: return null;
        }
    }

    private static bool IsDeclared(JsonElement schema, string name) =>
        (schema.TryGetProperty("properties", out JsonElement properties) && properties.TryGetProperty(name, out _))
        || (schema.TryGetProperty("patternProperties", out JsonElement patterns) && patterns.EnumerateObject().Any(p => Regex.IsMatch(name, p.Name, RegexOptions.ECMAScript)));

    private JsonElement Resolve(string reference)
    {
        JsonElement at = root;
        foreach (string part in reference.TrimStart('#').Split('/', StringSplitOptions.RemoveEmptyEntries))
            at = at.ValueKind == JsonValueKind.Array ? at[int.Parse(part, CultureInfo.InvariantCulture)] : at.GetProperty(part);
        return at;
    }
}
