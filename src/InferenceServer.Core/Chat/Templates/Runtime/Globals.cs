// The functions that every template can call.

using System.Collections.Frozen;

namespace InferenceServer.Chat.Templates;

internal static class Globals
{
    // Jinja's sandbox refuses longer ranges.
    private const long MaxRange = 100_000;

    private static readonly FrozenDictionary<string, TemplateValue> Values = All().ToFrozenDictionary(each => each.Name, each => TemplateValue.From(each));

    public static bool TryGet(string name, out TemplateValue value) => Values.TryGetValue(name, out value);

    private static Builtin[] All() =>
    [
        new("range", "start stop? step?", (_, _, args) => Range(args)),
        new("dict", (state, _, arguments) => Dict(state, arguments)),
        new("namespace", (state, _, arguments) => Namespace(state, arguments)),
        new("cycler", (_, _, arguments) => TemplateValue.From(new CyclerObject(arguments.Positional))),
        new("joiner", "sep?", (_, _, args) => TemplateValue.From(new JoinerObject(args[0].IsMissing ? ", " : args[0]))),
        new("lipsum", (_, _, _) => throw new TemplateException("lipsum() is not supported")),
        new("raise_exception", "message", (state, _, args) => throw new TemplateRaisedException(PythonText.String(state, args[0]))),
        new("strftime_now", "format", (state, _, args) => state.Text(Strftime.Format(state, state.Clock.GetLocalNow(),
            args[0].AsText ?? throw new TemplateException("strftime_now() takes a string")))),
    ];

    private static TemplateValue Range(TemplateValue[] args)
    {
        long Integer(TemplateValue value) => value.Kind is TemplateValueKind.Integer or TemplateValueKind.Boolean ? value.AsLong
            : throw (value.IsUndefined ? Operators.UndefinedUse(value)
            : new TemplateException($"'{value.TypeName}' object cannot be interpreted as an integer"));
        long start = args[1].IsMissing ? 0 : Integer(args[0]);
        long stop = Integer(args[1].IsMissing ? args[0] : args[1]);
        long step = args[2].IsMissing ? 1 : Integer(args[2]);
        if (step == 0)
            throw new TemplateException("range() arg 3 must not be zero");
        RangeObject range = new(start, stop, step);
        return range.Count <= MaxRange ? TemplateValue.From(range) : throw new TemplateException($"range too big: more than {MaxRange} items");
    }

    private static TemplateValue Dict(RenderState state, CallArguments arguments)
    {
        TemplateDict dict = new();
        ContainerMethods.Fill(state, dict, arguments, "dict");
        return dict;
    }

    private static TemplateValue Namespace(RenderState state, CallArguments arguments)
    {
        NamespaceObject space = new();
        ContainerMethods.Fill(state, space.Attributes, arguments, "namespace");
        return TemplateValue.From(space);
    }

    private sealed class CyclerObject : TemplateObject
    {
        private readonly TemplateValue[] _items;
        private readonly TemplateValue _next;
        private readonly TemplateValue _reset;
        private int _at;

        public CyclerObject(TemplateValue[] items)
            : base(TemplateValueKind.Other)
        {
            if (items.Length == 0)
                throw new TemplateException("at least one item has to be provided to cycler()");
            _items = items;
            _next = TemplateValue.From(new Builtin("next", "", (_, _, _) => Advance()));
            _reset = TemplateValue.From(new Builtin("reset", "", (_, _, _) => Reset()));
        }

        internal override string TypeName => "jinja2.utils.Cycler";

        internal override bool TryGetAttribute(RenderState state, string name, out TemplateValue value)
        {
            value = name switch
            {
                "current" => _items[_at],
                "pos" => _at,
                "next" => _next,
                "reset" => _reset,
                _ => default,
            };
            return name is "current" or "pos" or "next" or "reset";
        }

        private TemplateValue Advance()
        {
            TemplateValue item = _items[_at];
            _at = (_at + 1) % _items.Length;
            return item;
        }

        private TemplateValue Reset()
        {
            _at = 0;
            return TemplateValue.None;
        }
    }

    private sealed class JoinerObject : CallableObject
    {
        private readonly TemplateValue _separator;
        private bool _isUsed;

        public JoinerObject(TemplateValue separator)
        {
            _separator = separator;
        }

        internal override string TypeName => "jinja2.utils.Joiner";

        public override TemplateValue Call(RenderState state, CallArguments arguments)
        {
            if (_isUsed)
                return _separator;
            _isUsed = true;
            return TemplateValue.Empty;
        }
    }
}
