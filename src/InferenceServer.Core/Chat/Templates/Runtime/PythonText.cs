// str() and repr() of any value, as Python prints it: models were trained on that text.

using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static class PythonText
{
    /// <summary>Prints str(value).</summary>
    public static void AppendString(RenderState state, TemplateValue value)
    {
        if (value.Reference is string text)
            state.Output.Append(text);
        else if (value.Kind == TemplateValueKind.Integer)
            AppendInteger(state.Output, value.AsLong);
        else if (value.Kind == TemplateValueKind.Markup)
            state.Output.Append(value.AsText);
        else if (!value.IsUndefined)
            AppendRepr(state, value);
    }

    /// <summary>str(value), through the output's end as scratch: so it is bounded as output is.</summary>
    public static string String(RenderState state, TemplateValue value)
    {
        if (value.AsText is string text)
            return text;
        int mark = state.Output.Length;
        AppendString(state, value);
        return state.Output.CutFrom(mark);
    }

    public static string Repr(RenderState state, TemplateValue value)
    {
        int mark = state.Output.Length;
        AppendRepr(state, value);
        return state.Output.CutFrom(mark);
    }

    /// <summary>str(value) with HTML escaped, unless it is markup.</summary>
    public static string Escaped(RenderState state, TemplateValue value) =>
        value.Kind == TemplateValueKind.Markup ? value.AsText! : MarkupText.Escape(String(state, value));

    private static void AppendInteger(OutputBuffer output, long value)
    {
        Span<char> digits = stackalloc char[20];
        value.TryFormat(digits, out int length, default, CultureInfo.InvariantCulture);
        output.Append(digits[..length]);
    }

    public static void AppendRepr(RenderState state, TemplateValue value)
    {
        OutputBuffer output = state.Output;
        state.Charge();
        switch (value.Kind)
        {
            case TemplateValueKind.Undefined:
                output.Append("Undefined");
                break;
            case TemplateValueKind.None:
                output.Append("None");
                break;
            case TemplateValueKind.Boolean:
                output.Append(value.AsBoolean ? "True" : "False");
                break;
            case TemplateValueKind.Integer:
                AppendInteger(output, value.AsLong);
                break;
            case TemplateValueKind.BigInteger:
                output.Append(value.AsBigInteger.ToString(CultureInfo.InvariantCulture));
                break;
            case TemplateValueKind.Float:
                output.Append(PythonNumbers.Repr(value.AsDouble));
                break;
            case TemplateValueKind.String:
                AppendQuoted(output, value.AsText!);
                break;
            case TemplateValueKind.Markup:
                output.Append("Markup(");
                AppendQuoted(output, value.AsText!);
                output.Append(")");
                break;
            default:
                RuntimeGuard.Stack();
                AppendObject(state, value);
                break;
        }
    }

    private static void AppendObject(RenderState state, TemplateValue value)
    {
        OutputBuffer output = state.Output;
        switch (value.Reference)
        {
            case TemplateList list:
                output.Append(list.IsTuple ? "(" : "[");
                AppendItems(state, list.Items);
                output.Append(!list.IsTuple ? "]" : list.Count == 1 ? ",)" : ")");
                break;
            case TemplateDict dict:
                AppendDict(state, dict);
                break;
            case DictView view:
                output.Append(view.TypeName);
                output.Append("([");
                AppendItems(state, Iteration.Of(state, value));
                output.Append("])");
                break;
            case RangeObject range:
                string step = range.Step == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $", {range.Step}");
                output.Append(string.Create(CultureInfo.InvariantCulture, $"range({range.Start}, {range.Stop}{step})"));
                break;
            case NamespaceObject space:
                output.Append("<Namespace ");
                AppendDict(state, space.Attributes);
                output.Append(">");
                break;
            case MacroObject macro:
                output.Append($"<Macro '{macro.Name}'>");
                break;
            case LoopObject loop:
                loop.TryGetAttribute(state, "index", out TemplateValue index);
                output.Append(string.Create(CultureInfo.InvariantCulture, $"<LoopContext {index.AsLong}/{loop.Length(state)}>"));
                break;
            case BoundMethod method:
                output.Append($"<built-in method {method.Name} of {method.Self.TypeName} object>");
                break;
            default:
                output.Append($"<{value.TypeName} object>");
                break;
        }
    }

    private static void AppendItems(RenderState state, IEnumerable<TemplateValue> items)
    {
        bool isFirst = true;
        foreach (TemplateValue item in items)
        {
            if (!isFirst)
                state.Output.Append(", ");
            isFirst = false;
            AppendRepr(state, item);
        }
    }

    private static void AppendDict(RenderState state, TemplateDict dict)
    {
        state.Output.Append("{");
        for (int i = 0; i < dict.Count; i++)
        {
            if (i > 0)
                state.Output.Append(", ");
            AppendRepr(state, dict.Entries[i].Key);
            state.Output.Append(": ");
            AppendRepr(state, dict.Entries[i].Value);
        }
        state.Output.Append("}");
    }

    /// <summary>A string as Python's source would hold it: single quotes unless it has some and no double ones; what cannot be printed escaped.</summary>
    public static void AppendQuoted(OutputBuffer output, string text)
    {
        bool usesDouble = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal);
        string quote = usesDouble ? "\"" : "'";
        output.Append(quote);
        int plainStart = 0;
        int at = 0;
        while (at < text.Length)
        {
            int length = 1;
            string? escape = null;
            char c = text[at];
            if (c is >= ' ' and < '\x7f')
                escape = c == '\\' ? "\\\\" : c == '\'' && !usesDouble ? "\\'" : null;
            else if (c is '\n' or '\r' or '\t')
                escape = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
            else if (!Rune.TryGetRuneAt(text, at, out Rune rune))
                escape = $"\\u{(int)c:x4}";
            else
            {
                length = rune.Utf16SequenceLength;
                escape = PythonStrings.IsPrintable(rune) ? null
                    : rune.Value < 0x100 ? $"\\x{rune.Value:x2}" : rune.Value < 0x10000 ? $"\\u{rune.Value:x4}" : $"\\U{rune.Value:x8}";
            }
            if (escape is not null)
            {
                output.Append(text.AsSpan(plainStart, at - plainStart));
                output.Append(escape);
                plainStart = at + length;
            }
            at += length;
        }
        output.Append(text.AsSpan(plainStart));
        output.Append(quote);
    }
}
