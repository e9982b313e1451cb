using System.Numerics;

namespace InferenceServer.Chat.Templates;

/// <summary>Whatever a <see cref="TemplateValue"/> refers to besides a plain string.</summary>
public abstract class TemplateObject
{
    private protected TemplateObject(TemplateValueKind kind)
    {
        Kind = kind;
    }

    internal TemplateValueKind Kind { get; }

    public virtual bool IsTruthy => true;

    internal virtual string TypeName => "object";

    /// <summary>An attribute of the object's own, or false when it has none of that name.</summary>
    internal virtual bool TryGetAttribute(RenderState state, string name, out TemplateValue value)
    {
        value = default;
        return false;
    }
}

/// <summary>An undefined value: printing and testing it is fine, using it is an error that names what was looked up.</summary>
internal sealed class UndefinedReason : TemplateObject
{
    private readonly string? _owner;
    private readonly string _name;

    private UndefinedReason(string? owner, string name, bool isWholeMessage)
        : base(TemplateValueKind.Undefined)
    {
        _owner = owner;
        _name = name;
        IsWholeMessage = isWholeMessage;
    }

    public override bool IsTruthy => false;

    internal override string TypeName => "Undefined";

    private bool IsWholeMessage { get; }

    public string Message => IsWholeMessage ? _name : _owner is null ? $"'{_name}' is undefined" : $"'{_owner}' has no attribute '{_name}'";

    public static TemplateValue Variable(string name) => TemplateValue.From(new UndefinedReason(null, name, isWholeMessage: false));

    public static TemplateValue Attribute(TemplateValue owner, string name) =>
        TemplateValue.From(new UndefinedReason(OwnerName(owner), name, isWholeMessage: false));

    public static TemplateValue Because(string message) => TemplateValue.From(new UndefinedReason(null, message, isWholeMessage: true));

    public static string OwnerName(TemplateValue owner) => owner.IsNone ? "None" : owner.TypeName + " object";
}

/// <summary>A string that counts as escaped HTML: joined with a plain string it escapes that one, as markupsafe's Markup does.</summary>
internal sealed class MarkupText : TemplateObject
{
    public MarkupText(string text)
        : base(TemplateValueKind.Markup)
    {
        Text = text;
    }

    public string Text { get; }

    public override bool IsTruthy => Text.Length != 0;

    internal override string TypeName => "Markup";

    public static string Escape(string text)
    {
        if (text.AsSpan().IndexOfAny("&<>'\"") < 0)
            return text;
        return text.Replace("&", "&amp;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal)
            .Replace("<", "&lt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal)
            .Replace("\"", "&#34;", StringComparison.Ordinal);
    }
}

/// <summary>The arithmetic sequence of range().</summary>
internal sealed class RangeObject : TemplateObject
{
    public RangeObject(long start, long stop, long step)
        : base(TemplateValueKind.Range)
    {
        Start = start;
        Stop = stop;
        Step = step;
        Int128 span = step > 0 ? (Int128)stop - start : (Int128)start - stop;
        Int128 stride = step > 0 ? step : -(Int128)step;
        Int128 count = span <= 0 ? 0 : (span + stride - 1) / stride;
        Count = count > long.MaxValue ? long.MaxValue : (long)count;
    }

    public long Start { get; }

    public long Stop { get; }

    public long Step { get; }

    public long Count { get; }

    public override bool IsTruthy => Count != 0;

    internal override string TypeName => "range";

    public long this[long index] => Start + (index * Step);
}

/// <summary>A Python generator: its items can be taken once.</summary>
internal sealed class IteratorObject : TemplateObject
{
    public IteratorObject(IEnumerable<TemplateValue> items, string typeName = "generator")
        : base(TemplateValueKind.Iterator)
    {
        Items = items.GetEnumerator();
        TypeName = typeName;
    }

    public IEnumerator<TemplateValue> Items { get; }

    internal override string TypeName { get; }
}

/// <summary>What namespace() makes: the one object whose attributes a template may assign.</summary>
internal sealed class NamespaceObject : TemplateObject
{
    public NamespaceObject()
        : base(TemplateValueKind.Namespace)
    {
    }

    public TemplateDict Attributes { get; } = new();

    internal override string TypeName => "jinja2.utils.Namespace";

    internal override bool TryGetAttribute(RenderState state, string name, out TemplateValue value) => Attributes.TryGet(name, out value);
}

/// <summary>Something that a template can call.</summary>
internal abstract class CallableObject : TemplateObject
{
    protected CallableObject(TemplateValueKind kind = TemplateValueKind.Callable)
        : base(kind)
    {
    }

    internal override string TypeName => "function";

    public abstract TemplateValue Call(RenderState state, CallArguments arguments);
}
