namespace InferenceServer.Chat.Templates;

/// <summary>Python's iter() and len(). Each item taken costs a step.</summary>
internal static class Iteration
{
    /// <exception cref="TemplateException">At once, when the value cannot be iterated.</exception>
    public static IEnumerable<TemplateValue> Of(RenderState state, TemplateValue value) => value.Reference switch
    {
        TemplateList list => OfList(state, list),
        string text => OfText(state, text),
        MarkupText markup => OfText(state, markup.Text),
        TemplateDict dict => OfDict(state, new DictView(dict, DictViewPart.Keys)),
        DictView view => OfDict(state, view),
        RangeObject range => OfRange(state, range),
        IteratorObject iterator => OfIterator(state, iterator),
        _ when value.IsUndefined => [],
        _ => throw new TemplateException($"'{value.TypeName}' object is not iterable"),
    };

    public static bool IsIterable(TemplateValue value) =>
        value.IsUndefined || value.Reference is string or MarkupText or TemplateList or TemplateDict or DictView or RangeObject or IteratorObject;

    /// <summary>len(value), or null for what has none.</summary>
    public static long? LengthOf(TemplateValue value) => value.Reference switch
    {
        string text => PythonStrings.Length(text),
        MarkupText markup => PythonStrings.Length(markup.Text),
        TemplateList list => list.Count,
        TemplateDict dict => dict.Count,
        DictView view => view.Dict.Count,
        RangeObject range => range.Count,
        _ => value.IsUndefined ? 0 : null,
    };

    /// <summary>All items in a new list.</summary>
    public static List<TemplateValue> ToList(RenderState state, TemplateValue value)
    {
        if (value.Reference is TemplateList list)
        {
            state.Reserve(list.Count);
            return [.. list.Items];
        }
        List<TemplateValue> items = [];
        foreach (TemplateValue item in Of(state, value))
        {
            if (items.Count >= state.Limits.MaxValueLength)
                state.Reserve(items.Count + 1L);
            items.Add(item);
        }
        state.Reserve(items.Count);
        return items;
    }

    private static IEnumerable<TemplateValue> OfList(RenderState state, TemplateList list)
    {
        // By index: a list may grow while it is walked, as in Python.
        for (int i = 0; i < list.Count; i++)
        {
            state.Charge();
            yield return list[i];
        }
    }

    private static IEnumerable<TemplateValue> OfText(RenderState state, string text)
    {
        for (int i = 0; i < text.Length;)
        {
            state.Charge();
            int length = char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]) ? 2 : 1;
            yield return text.Substring(i, length);
            i += length;
        }
    }

    private static IEnumerable<TemplateValue> OfDict(RenderState state, DictView view)
    {
        int count = view.Dict.Count;
        for (int i = 0; i < count; i++)
        {
            state.Charge();
            yield return view.At(i);
            if (view.Dict.Count != count)
                throw new TemplateException("dictionary changed size during iteration");
        }
    }

    private static IEnumerable<TemplateValue> OfRange(RenderState state, RangeObject range)
    {
        for (long i = 0; i < range.Count; i++)
        {
            state.Charge();
            yield return range[i];
        }
    }

    private static IEnumerable<TemplateValue> OfIterator(RenderState state, IteratorObject iterator)
    {
        while (true)
        {
            // Iterators over iterators nest as deep as a template likes.
            RuntimeGuard.Stack();
            if (!iterator.Items.MoveNext())
                yield break;
            state.Charge();
            yield return iterator.Items.Current;
        }
    }
}
