using System.Globalization;
using System.Numerics;
using System.Text.Json;

namespace InferenceServer.Chat.Templates;

public readonly partial struct TemplateValue
{
    /// <summary>
    /// A JSON value as Python's json.loads gives it: a number with a fraction or exponent is a float, any other an int; of repeated keys the last wins.
    /// The lists and dicts made are frozen: a template may read them, and no render can change them for another.
    /// </summary>
    /// <exception cref="TemplateException">An integer of more than <see cref="ChatTemplateLimits.MaxIntegerBits"/> bits.</exception>
    public static TemplateValue FromJson(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                TemplateDict dict = new(element.GetPropertyCount());
                foreach (JsonProperty property in element.EnumerateObject())
                    dict.Set(property.Name, FromJson(property.Value));
                return dict.Freeze();
            case JsonValueKind.Array:
                TemplateList list = new(element.GetArrayLength());
                foreach (JsonElement item in element.EnumerateArray())
                    list.Add(FromJson(item));
                return list.Freeze();
            case JsonValueKind.String:
                return element.GetString()!;
            case JsonValueKind.Number:
                return FromJsonNumber(element);
            case JsonValueKind.True:
                return True;
            case JsonValueKind.False:
                return False;
            case JsonValueKind.Null:
                return None;
            default:
                return default;
        }
    }

    private static TemplateValue FromJsonNumber(JsonElement element)
    {
        string text = element.GetRawText();
        if (text.AsSpan().IndexOfAny(".eE") >= 0)
            return From(element.GetDouble());
        if (element.TryGetInt64(out long value))
            return From(value);
        // Ten bits hold three digits, near enough for a limit.
        if (text.Length > ChatTemplateLimits.Default.MaxIntegerBits * 3 / 10)
            throw new TemplateException($"an integer of {text.Length} digits is over the limit");
        return From(BigInteger.Parse(text, CultureInfo.InvariantCulture));
    }
}
