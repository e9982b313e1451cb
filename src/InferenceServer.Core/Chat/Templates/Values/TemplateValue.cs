// A value as a template sees it: Python's types in 16 bytes. Numbers, booleans, None and plain strings need no object of our own.
// Immutable itself; lists, dicts and namespaces that it refers to belong to one render unless frozen.

using System.Globalization;
using System.Numerics;

namespace InferenceServer.Chat.Templates;

/// <summary>The Python type of a <see cref="TemplateValue"/>.</summary>
internal enum TemplateValueKind : byte
{
    Undefined,
    None,
    Boolean,
    Integer,
    BigInteger,
    Float,
    String,
    Markup,
    List,
    Tuple,
    Dict,
    DictView,
    Range,
    Iterator,
    Namespace,
    Callable,
    Other,
}

/// <summary>One Python-like value. The default value is undefined.</summary>
public readonly partial struct TemplateValue
{
    private static readonly TemplateObject NoneTag = new Tag(TemplateValueKind.None);
    private static readonly TemplateObject BooleanTag = new Tag(TemplateValueKind.Boolean);
    private static readonly TemplateObject IntegerTag = new Tag(TemplateValueKind.Integer);
    private static readonly TemplateObject FloatTag = new Tag(TemplateValueKind.Float);

    private readonly object? _reference;
    private readonly long _bits;

    private TemplateValue(object? reference, long bits)
    {
        _reference = reference;
        _bits = bits;
    }

    public static TemplateValue None { get; } = new(NoneTag, 0);

    public static TemplateValue True { get; } = new(BooleanTag, 1);

    public static TemplateValue False { get; } = new(BooleanTag, 0);

    public static TemplateValue Empty { get; } = new("", 0);

    internal TemplateValueKind Kind => _reference switch
    {
        null => TemplateValueKind.Undefined,
        string => TemplateValueKind.String,
        _ => ((TemplateObject)_reference).Kind,
    };

    /// <summary>No value was ever stored here; unlike an undefined value, which carries the name that was looked up.</summary>
    internal bool IsMissing => _reference is null;

    public bool IsUndefined => Kind == TemplateValueKind.Undefined;

    public bool IsNone => ReferenceEquals(_reference, NoneTag);

    /// <summary>A string, escaped or not.</summary>
    internal bool IsText => _reference is string or MarkupText;

    internal object? Reference => _reference;

    internal bool IsNumber => Kind is TemplateValueKind.Boolean or TemplateValueKind.Integer or TemplateValueKind.BigInteger or TemplateValueKind.Float;

    public static TemplateValue From(bool value) => value ? True : False;

    public static TemplateValue From(long value) => new(IntegerTag, value);

    public static TemplateValue From(double value) => new(FloatTag, BitConverter.DoubleToInt64Bits(value));

    public static TemplateValue From(string value) => new(value, 0);

    public static TemplateValue From(BigInteger value) =>
        value >= long.MinValue && value <= long.MaxValue ? From((long)value) : new(new BigInt(value), 0);

    public static TemplateValue From(TemplateList value) => new(value, 0);

    public static TemplateValue From(TemplateDict value) => new(value, 0);

    internal static TemplateValue From(TemplateObject value) => new(value, 0);

    public static implicit operator TemplateValue(string value) => From(value);

    public static implicit operator TemplateValue(long value) => From(value);

    public static implicit operator TemplateValue(bool value) => From(value);

    public static implicit operator TemplateValue(TemplateList value) => From(value);

    public static implicit operator TemplateValue(TemplateDict value) => From(value);

    internal bool AsBoolean => _bits != 0;

    /// <summary>The integer of a Boolean or Integer value.</summary>
    internal long AsLong => _bits;

    internal double AsDouble => BitConverter.Int64BitsToDouble(_bits);

    internal BigInteger AsBigInteger => _reference is BigInt big ? big.Value : _bits;

    /// <summary>The text of a string value, or null for any other.</summary>
    public string? AsText => _reference as string ?? (_reference as MarkupText)?.Text;

    internal TemplateList? AsList => _reference as TemplateList;

    internal TemplateDict? AsDict => _reference as TemplateDict;

    /// <summary>Any number as a float, as Python's float() of an int does.</summary>
    internal double ToDouble() => Kind switch
    {
        TemplateValueKind.Float => AsDouble,
        TemplateValueKind.BigInteger => (double)AsBigInteger,
        _ => _bits,
    };

    internal bool IsTruthy => Kind switch
    {
        TemplateValueKind.Undefined or TemplateValueKind.None => false,
        TemplateValueKind.Boolean or TemplateValueKind.Integer => _bits != 0,
        TemplateValueKind.Float => AsDouble != 0,
        TemplateValueKind.String => ((string)_reference!).Length != 0,
        _ => ((TemplateObject)_reference!).IsTruthy,
    };

    /// <summary>Python's name of the type.</summary>
    internal string TypeName => Kind switch
    {
        TemplateValueKind.Undefined => "Undefined",
        TemplateValueKind.None => "NoneType",
        TemplateValueKind.Boolean => "bool",
        TemplateValueKind.Integer or TemplateValueKind.BigInteger => "int",
        TemplateValueKind.Float => "float",
        TemplateValueKind.String => "str",
        _ => ((TemplateObject)_reference!).TypeName,
    };

    /// <summary>Python's str() for debugging; rendering goes through <see cref="PythonText"/> with the render's limits.</summary>
    public override string ToString() => Kind switch
    {
        TemplateValueKind.Undefined => "",
        TemplateValueKind.Integer => _bits.ToString(CultureInfo.InvariantCulture),
        _ => AsText ?? TypeName,
    };

    private sealed class Tag : TemplateObject
    {
        public Tag(TemplateValueKind kind)
            : base(kind)
        {
        }
    }

    private sealed class BigInt : TemplateObject
    {
        public BigInt(BigInteger value)
            : base(TemplateValueKind.BigInteger)
        {
            Value = value;
        }

        public BigInteger Value { get; }

        public override bool IsTruthy => !Value.IsZero;
    }
}
