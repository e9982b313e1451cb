using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Chat;

namespace InferenceServer.Api;

/// <summary>One JSON value as the type that is wanted; anything else is a 400 that names the value's path.</summary>
internal static partial class JsonValue
{
    // Of \uD800; a pair has twice that.
    private const int HalfLength = 6;

    public static string String(JsonElement value, string path)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw WrongType(value, path, "a string");
        string text;
        try
        {
            text = value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw RequestProblem.Invalid($"{{where}} is not valid Unicode text: half a surrogate pair, or bytes that are not UTF-8.", path, "invalid_value");
        }

        // Native code takes C strings, and no tokenizer has a token for it.
        if (text.Contains('\0'))
            throw RequestProblem.Invalid($"{{where}} contains a NUL character.", path, "invalid_value");
        return text;
    }

    /// <summary>
    /// What somebody said, which may be anything: programs print NUL, and cut their output within a pair of surrogates. Half a pair comes as NUL, which no tokenizer has a
    /// token for, either; <see cref="SayableConversation"/> says what becomes of it.
    /// </summary>
    public static string Said(JsonElement value, string path)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw WrongType(value, path, "a string");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            using JsonDocument whole = JsonDocument.Parse(EscapePattern().Replace(value.GetRawText(), escape => escape.Length == HalfLength ? "\\u0000" : escape.Value));
            return whole.RootElement.GetString()!;
        }
    }

    /// <summary>A copy of a value that will be sent and stored as it is: every text in it can be written again.</summary>
    public static JsonElement Keep(JsonElement value, string path)
    {
        CheckTexts(value, path);
        return value.Clone();
    }

    private static void CheckTexts(JsonElement value, string path)
    {
        if (value.ValueKind == JsonValueKind.String)
            _ = String(value, path);
        else if (value.ValueKind == JsonValueKind.Array)
            foreach (JsonElement item in value.EnumerateArray())
                CheckTexts(item, path);
        else if (value.ValueKind == JsonValueKind.Object)
            foreach (JsonProperty property in value.EnumerateObject())
                CheckTexts(property.Value, path);
    }

    public static bool Boolean(JsonElement value, string path) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw WrongType(value, path, "true or false"),
    };

    public static long Integer(JsonElement value, string path, long min, long max)
    {
        if (value.ValueKind != JsonValueKind.Number)
            throw WrongType(value, path, "an integer");
        if (!TryGetInteger(value, out long number))
            throw RequestProblem.Invalid($"{{where}} must be an integer of at most 64 bits; it is {Excerpt(value)}.", path, "invalid_type");
        if (number < min || number > max)
            throw OutOfRange(path, $"from {min} to {max}", Excerpt(value));
        return number;
    }

    /// <summary>Clients whose language has one type of numbers write 2 as 2.0.</summary>
    private static bool TryGetInteger(JsonElement value, out long number)
    {
        if (value.TryGetInt64(out number))
            return true;
        if (!value.TryGetDecimal(out decimal exact) || !decimal.IsInteger(exact) || exact < long.MinValue || exact > long.MaxValue)
            return false;
        number = (long)exact;
        return true;
    }

    /// <summary>Any integer of 64 bits, with a sign or without: clients draw seeds from either range.</summary>
    public static long Seed(JsonElement value, string path) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetUInt64(out ulong unsigned) ? unchecked((long)unsigned) : Integer(value, path, long.MinValue, long.MaxValue);

    public static double Number(JsonElement value, string path, double min, double max)
    {
        if (value.ValueKind != JsonValueKind.Number)
            throw WrongType(value, path, "a number");
        if (!value.TryGetDouble(out double number) || !double.IsFinite(number) || number < min || number > max)
            throw OutOfRange(path, FormattableString.Invariant($"from {min} to {max}"), Excerpt(value));
        return number;
    }

    /// <summary>A schema that a reply is to obey.</summary>
    public static ConstraintSource Schema(JsonElement schema, string path) => schema.ValueKind is JsonValueKind.Object
        ? ConstraintSource.JsonSchema(schema.GetRawText(), path)
        : throw WrongType(schema, path, "an object, a JSON Schema");

    public static RequestProblem WrongType(JsonElement value, string path, string wanted) =>
        RequestProblem.Invalid($"{{where}} must be {wanted}; it is {Describe(value)}.", path, "invalid_type");

    public static RequestProblem NotOneOf(string path, string value, ReadOnlySpan<string> allowed)
    {
        StringBuilder names = new();
        foreach (string name in allowed)
            names.Append(names.Length == 0 ? "" : ", ").Append('\'').Append(name).Append('\'');
        return RequestProblem.Invalid($"{{where}} must be one of {names}; it is '{Shorten(value)}'.", path, "invalid_value");
    }

    public static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "a boolean",
        _ => "null",
    };

    private static RequestProblem OutOfRange(string path, string range, string value) =>
        RequestProblem.Invalid($"{{where}} must be {range}; it is {value}.", path, "out_of_range");

    private static string Excerpt(JsonElement number) => Shorten(number.GetRawText());

    // Pairs first: what is left of surrogates then is half a pair.
    [GeneratedRegex(@"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\[^u]")]
    private static partial Regex EscapePattern();

    private static string Shorten(string text) => text.Length <= 40 ? text : text[..40] + "...";
}
