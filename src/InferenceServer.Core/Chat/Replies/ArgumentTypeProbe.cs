using InferenceServer.Chat.Templates;

namespace InferenceServer.Chat.Replies;

/// <summary>Learns what formats other than JSON do with values that are no plain strings: renders one of each type.</summary>
internal static class ArgumentTypeProbe
{
    private const string Prefix = "qzxtype";

    private static readonly (string Type, TemplateValue Value)[] Values =
    [
        ("string", "a<b&c\nd"), ("integer", 7), ("number", TemplateValue.From(1.5)), ("boolean", true), ("null", TemplateValue.None),
        ("array", new TemplateList([(TemplateValue)"qzxitem"]).Freeze()), ("object", TemplateDict.Of(("qzxinner", 5))),
    ];

    public static ArgumentSyntax Refine(ProbeRenderer render, ArgumentSyntax syntax)
    {
        Dictionary<string, string> printed = [];
        foreach ((string type, TemplateValue value) in Values)
        {
            // One at a time: a template may fail on null alone.
            string key = Prefix + type;
            TemplateValue calls = new TemplateList([ProbeCall.Call("qzxnamea", "qzxida001", TemplateDict.Of((key, value)))]).Freeze();
            if (render.CallTurn(calls) is { } text && text.IndexOf(key, StringComparison.Ordinal) is >= 0 and var at)
                printed[type] = text[(at + key.Length)..];
        }

        return syntax switch
        {
            ArgumentSyntax.Tagged tagged => Refine(tagged, printed),
            ArgumentSyntax.Members members => members with { PythonScalars = printed.TryGetValue("boolean", out string? text) && text.StartsWith(members.KeyEnd + "True", StringComparison.Ordinal) },
            _ => syntax,
        };
    }

    private static ArgumentSyntax.Tagged Refine(ArgumentSyntax.Tagged syntax, Dictionary<string, string> printed)
    {
        Dictionary<string, string> valueOpens = [];
        string last = MarkerText.Tokens(syntax.ValueOpen.TrimEnd())[^1];
        string space = syntax.ValueOpen[syntax.ValueOpen.TrimEnd().Length..];
        foreach ((string type, string text) in printed)
        {
            int end = text.IndexOf(last, StringComparison.Ordinal);
            if (text.StartsWith(syntax.ValueOpen, StringComparison.Ordinal) || end < 0)
                continue;
            valueOpens[type] = text[..(end + last.Length)] + space;
        }

        return syntax with
        {
            ValueOpenByType = valueOpens.Count > 0 ? valueOpens : null,
            PythonScalars = printed.TryGetValue("boolean", out string? boolean) && ValueOf(syntax, valueOpens, "boolean", boolean).Contains("True", StringComparison.Ordinal),
            CharacterData = printed.TryGetValue("string", out string? data) && data.StartsWith(syntax.ValueOpen + "<![CDATA[", StringComparison.Ordinal),
            NestedTags = printed.TryGetValue("object", out string? nested)
                && ValueOf(syntax, valueOpens, "object", nested).TrimStart().StartsWith(syntax.ParameterOpen.Trim(), StringComparison.Ordinal),
        };
    }

    private static string ValueOf(ArgumentSyntax.Tagged syntax, Dictionary<string, string> valueOpens, string type, string text)
    {
        string value = text[Math.Min(text.Length, valueOpens.GetValueOrDefault(type, syntax.ValueOpen).Length)..];
        string close = syntax.ParameterClose.Trim().Replace(ArgumentSyntax.KeyMark.ToString(), Prefix + type, StringComparison.Ordinal);
        int end = value.IndexOf(close, StringComparison.Ordinal);
        return end < 0 ? value : value[..end];
    }
}
