using System.Collections;

namespace InferenceServer.Chat.Templates;

/// <summary>A Python list, or a tuple when it was made as one.</summary>
public sealed class TemplateList : TemplateObject, IReadOnlyList<TemplateValue>
{
    private readonly List<TemplateValue> _items;

    public TemplateList(int capacity = 0)
        : this(new List<TemplateValue>(capacity), isTuple: false)
    {
    }

    public TemplateList(IEnumerable<TemplateValue> items)
        : this([.. items], isTuple: false)
    {
    }

    internal TemplateList(List<TemplateValue> items, bool isTuple)
        : base(isTuple ? TemplateValueKind.Tuple : TemplateValueKind.List)
    {
        _items = items;
        IsFrozen = isTuple;
    }

    public int Count => _items.Count;

    public TemplateValue this[int index] => _items[index];

    /// <summary>Frozen lists refuse every change a template attempts: input values and tuples.</summary>
    internal bool IsFrozen { get; private set; }

    /// <summary>Names of a named tuple's items, as the groups of the groupby filter have.</summary>
    internal string[]? ItemNames { get; init; }

    internal bool IsTuple => Kind == TemplateValueKind.Tuple;

    /// <summary>The items, to change when not frozen.</summary>
    internal List<TemplateValue> Items => _items;

    public override bool IsTruthy => _items.Count != 0;

    internal override string TypeName => IsTuple ? "tuple" : "list";

    public void Add(TemplateValue item) => _items.Add(item);

    internal static TemplateValue Tuple(params TemplateValue[] items) => From(new List<TemplateValue>(items), isTuple: true);

    internal static TemplateValue From(List<TemplateValue> items, bool isTuple = false) => TemplateValue.From(new TemplateList(items, isTuple));

    internal override bool TryGetAttribute(RenderState state, string name, out TemplateValue value)
    {
        int at = ItemNames is null ? -1 : Array.IndexOf(ItemNames, name);
        value = at < 0 ? default : _items[at];
        return at >= 0;
    }

    public TemplateList Freeze()
    {
        IsFrozen = true;
        return this;
    }

    public IEnumerator<TemplateValue> GetEnumerator() => _items.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
