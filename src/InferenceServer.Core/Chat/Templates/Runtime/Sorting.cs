// Python's sort: stable, also when reversed. Our own merge sort, since .NET's wrap what a comparison throws and fail on orders that NaN makes inconsistent.

namespace InferenceServer.Chat.Templates;

internal static class Sorting
{
    public static void Sort(RenderState state, List<TemplateValue> items, Func<TemplateValue, TemplateValue> key, bool isReversed)
    {
        List<TemplateValue> sorted = Sorted(state, items, key, isReversed);
        items.Clear();
        items.AddRange(sorted);
    }

    public static List<T> Sorted<T>(RenderState state, IEnumerable<T> items, Func<T, TemplateValue> key, bool isReversed)
    {
        (TemplateValue Key, T Item)[] from = [.. items.Select(item => (key(item), item))];
        (TemplateValue Key, T Item)[] to = new (TemplateValue, T)[from.Length];
        state.Reserve(from.Length);
        for (int width = 1; width < from.Length; width *= 2)
        {
            for (int start = 0; start < from.Length; start += 2 * width)
                Merge(state, from, to, start, Math.Min(start + width, from.Length), Math.Min(start + (2 * width), from.Length), isReversed);
            (from, to) = (to, from);
        }
        return [.. from.Select(pair => pair.Item)];
    }

    private static void Merge<T>(
        RenderState state, (TemplateValue Key, T Item)[] from, (TemplateValue Key, T Item)[] to, int start, int middle, int end, bool isReversed)
    {
        int left = start;
        int right = middle;
        for (int i = start; i < end; i++)
        {
            bool takesRight = left == middle || (right < end && (isReversed
                ? Operators.Compare(state, Comparison.Less, from[left].Key, from[right].Key)
                : Operators.Compare(state, Comparison.Less, from[right].Key, from[left].Key)));
            to[i] = from[takesRight ? right++ : left++];
        }
    }
}
