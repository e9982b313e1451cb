// Attributes, subscripts, calls, filters and tests.

namespace InferenceServer.Chat.Templates;

/// <summary>value.name</summary>
internal sealed class AttributeExpression : Expression
{
    private readonly Builtin? _dictMethod;
    private readonly TemplateValue _absentFromDict;

    public AttributeExpression(Expression target, string name)
        : base(target)
    {
        Target = target;
        Name = name;
        _dictMethod = ContainerMethods.ForDict(name);
        _absentFromDict = UndefinedReason.Attribute(new TemplateDict(), name);
    }

    public Expression Target { get; }

    public string Name { get; }

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateValue target = Target.Evaluate(frame);
        // The common case, a message's field, without going through the general rules.
        if (_dictMethod is null && target.Reference is TemplateDict dict && Name[0] != '_')
            return dict.TryGet(Name, out TemplateValue value) ? value : _absentFromDict;
        return Attributes.GetAttribute(frame.State, target, Name);
    }
}

/// <summary>value[key]</summary>
internal sealed class SubscriptExpression : Expression
{
    private readonly Expression _target;
    private readonly Expression _key;

    public SubscriptExpression(Expression target, Expression key)
        : base(target, key)
    {
        _target = target;
        _key = key;
    }

    public Expression Target => _target;

    public Expression Key => _key;

    public override TemplateValue Evaluate(Frame frame) => Attributes.GetItem(frame.State, _target.Evaluate(frame), _key.Evaluate(frame));
}

/// <summary>value[start:stop:step]</summary>
internal sealed class SliceExpression : Expression
{
    private readonly Expression _target;
    private readonly Expression? _start;
    private readonly Expression? _stop;
    private readonly Expression? _step;

    public SliceExpression(Expression target, Expression? start, Expression? stop, Expression? step)
        : base(target, start, stop, step)
    {
        _target = target;
        _start = start;
        _stop = stop;
        _step = step;
    }

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateValue target = _target.Evaluate(frame);
        TemplateValue start = _start?.Evaluate(frame) ?? TemplateValue.None;
        TemplateValue stop = _stop?.Evaluate(frame) ?? TemplateValue.None;
        TemplateValue step = _step?.Evaluate(frame) ?? TemplateValue.None;
        return Attributes.GetSlice(frame.State, target, start, stop, step);
    }
}

/// <summary>What stands between the parentheses of a call.</summary>
internal sealed class ArgumentList
{
    public static readonly ArgumentList Empty = new([], [], [], null, null);

    private readonly Expression[] _positional;
    private readonly string[] _names;
    private readonly Expression[] _named;
    private readonly Expression? _spread;
    private readonly Expression? _namedSpread;

    public ArgumentList(Expression[] positional, string[] names, Expression[] named, Expression? spread, Expression? namedSpread)
    {
        _positional = positional;
        _names = names;
        _named = named;
        _spread = spread;
        _namedSpread = namedSpread;
    }

    public IEnumerable<Expression?> Expressions => [.. _positional, .. _named, _spread, _namedSpread];

    public CallArguments Evaluate(Frame frame)
    {
        if (_spread is not null || _namedSpread is not null)
            return EvaluateSpread(frame);
        if (_positional.Length == 0 && _named.Length == 0)
            return CallArguments.None;
        TemplateValue[] positional = _positional.Length == 0 ? [] : new TemplateValue[_positional.Length];
        for (int i = 0; i < positional.Length; i++)
            positional[i] = _positional[i].Evaluate(frame);
        KeyValuePair<string, TemplateValue>[] named = _named.Length == 0 ? [] : new KeyValuePair<string, TemplateValue>[_named.Length];
        for (int i = 0; i < named.Length; i++)
            named[i] = new(_names[i], _named[i].Evaluate(frame));
        return new CallArguments(positional, named);
    }

    private CallArguments EvaluateSpread(Frame frame)
    {
        List<TemplateValue> positional = [];
        foreach (Expression expression in _positional)
            positional.Add(expression.Evaluate(frame));
        if (_spread is not null)
            positional.AddRange(Iteration.Of(frame.State, _spread.Evaluate(frame)));
        frame.State.Reserve(positional.Count);
        List<KeyValuePair<string, TemplateValue>> named = [];
        for (int i = 0; i < _named.Length; i++)
            named.Add(new(_names[i], _named[i].Evaluate(frame)));
        if (_namedSpread is not null)
        {
            TemplateValue spread = _namedSpread.Evaluate(frame);
            if (spread.AsDict is not TemplateDict dict)
                throw new TemplateException($"argument after ** must be a mapping, not {spread.TypeName}");
            foreach (KeyValuePair<TemplateValue, TemplateValue> entry in dict.Entries)
                named.Add(new(entry.Key.AsText ?? throw new TemplateException("keywords must be strings"), entry.Value));
        }
        return new CallArguments([.. positional], [.. named]);
    }
}

/// <summary>callee(arguments)</summary>
internal sealed class CallExpression : Expression
{
    private readonly Expression _callee;
    private readonly ArgumentList _arguments;
    private readonly AttributeExpression? _method;
    private readonly Builtin? _stringMethod;
    private readonly Builtin? _dictMethod;

    public CallExpression(Expression callee, ArgumentList arguments)
        : base([callee, .. arguments.Expressions])
    {
        _callee = callee;
        _arguments = arguments;
        _method = callee as AttributeExpression;
        _stringMethod = _method is null ? null : StringMethods.Find(_method.Name);
        _dictMethod = _method is null ? null : ContainerMethods.ForDict(_method.Name);
        if (_dictMethod is { Mutates: true })
            _dictMethod = null;
    }

    public Expression Callee => _callee;

    public override TemplateValue Evaluate(Frame frame)
    {
        RenderState state = frame.State;
        if (_method is null)
            return Operators.Call(state, _callee.Evaluate(frame), _arguments.Evaluate(frame));
        TemplateValue target = _method.Target.Evaluate(frame);
        // Methods of strings and dicts, the common case, need no bound method in between.
        if (_stringMethod is not null && target.IsText)
            return _stringMethod.Invoke(state, target, _arguments.Evaluate(frame));
        if (_dictMethod is not null && target.Reference is TemplateDict)
            return _dictMethod.Invoke(state, target, _arguments.Evaluate(frame));
        TemplateValue callee = Attributes.GetAttribute(state, target, _method.Name);
        return Operators.Call(state, callee, _arguments.Evaluate(frame));
    }

    /// <summary>The call of a call block: the macro gets the block as its caller.</summary>
    public TemplateValue EvaluateWithCaller(Frame frame, TemplateValue caller)
    {
        TemplateValue callee = _callee.Evaluate(frame);
        CallArguments arguments = _arguments.Evaluate(frame);
        return Operators.Call(frame.State, callee, new CallArguments(arguments.Positional, [.. arguments.Named, new("caller", caller)]));
    }
}

/// <summary>value | name(arguments); without a value inside a filter block, which supplies it.</summary>
internal sealed class FilterExpression : Expression
{
    private readonly Expression? _value;
    private readonly string _name;
    private readonly ArgumentList _arguments;
    private readonly Builtin? _filter;

    public FilterExpression(Expression? value, string name, ArgumentList arguments)
        : base([value, .. arguments.Expressions])
    {
        _value = value;
        _name = name;
        _arguments = arguments;
        _filter = Filters.Find(name);
    }

    public bool IsUnknown => _filter is null;

    public string Name => _name;

    public override TemplateValue Evaluate(Frame frame) => Apply(frame, _value!.Evaluate(frame));

    /// <summary>Filters what a block rendered; a chain of filters starts at its innermost.</summary>
    public TemplateValue EvaluateOn(Frame frame, TemplateValue blockText) =>
        Apply(frame, _value is FilterExpression inner ? inner.EvaluateOn(frame, blockText) : blockText);

    private TemplateValue Apply(Frame frame, TemplateValue value)
    {
        if (_filter is null)
            throw new TemplateException($"no filter named '{_name}'");
        return _filter.Invoke(frame.State, value, _arguments.Evaluate(frame));
    }
}

/// <summary>value is name(arguments)</summary>
internal sealed class TestExpression : Expression
{
    private readonly Expression _value;
    private readonly string _name;
    private readonly ArgumentList _arguments;
    private readonly Builtin? _test;

    public TestExpression(Expression value, string name, ArgumentList arguments)
        : base([value, .. arguments.Expressions])
    {
        _value = value;
        _name = name;
        _arguments = arguments;
        _test = Tests.Find(name);
    }

    public bool IsUnknown => _test is null;

    public string Name => _name;

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateValue value = _value.Evaluate(frame);
        if (_test is null)
            throw new TemplateException($"no test named '{_name}'");
        return _test.Invoke(frame.State, value, _arguments.Evaluate(frame));
    }
}
