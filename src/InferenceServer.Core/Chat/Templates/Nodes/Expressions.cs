// Expressions: parsed once, bound to variable slots by Binder, then evaluated by any number of renders at once (they hold no state of a render).

using System.Numerics;

namespace InferenceServer.Chat.Templates;

internal abstract class Expression
{
    protected Expression(params Expression?[] children)
    {
        Children = children;
        int depth = 0;
        foreach (Expression? child in children)
            depth = Math.Max(depth, child?.Depth ?? 0);
        Depth = depth + 1;
    }

    public Expression?[] Children { get; }

    public int Depth { get; }

    public abstract TemplateValue Evaluate(Frame frame);

    public virtual bool IsTrue(Frame frame) => Evaluate(frame).IsTruthy;

    /// <summary>Prints the value; never called inside an autoescape block.</summary>
    public virtual void WriteTo(Frame frame) => PythonText.AppendString(frame.State, Evaluate(frame));
}

internal sealed class ConstantExpression : Expression
{
    public ConstantExpression(TemplateValue value)
    {
        Value = value;
    }

    public TemplateValue Value { get; }

    public override TemplateValue Evaluate(Frame frame) => Value;
}

/// <summary>A variable, read or (as a target) written. Binder says where it lives.</summary>
internal sealed class NameExpression : Expression
{
    private readonly TemplateValue _undefined;
    private int _depth;
    private int _slot = -1;

    public NameExpression(string name, int position)
    {
        Name = name;
        Position = position;
        _undefined = UndefinedReason.Variable(name);
    }

    public string Name { get; }

    public int Position { get; }

    public void Bind(int depth, int slot)
    {
        _depth = depth;
        _slot = slot;
    }

    public void BindToContext(int index)
    {
        _depth = -1;
        _slot = index;
    }

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateValue value = _depth switch
        {
            0 => frame.Slots[_slot],
            -1 => frame.State.ContextValues[_slot],
            _ => frame.Up(_depth).Slots[_slot],
        };
        return value.IsMissing ? _undefined : value;
    }

    /// <summary>Whether this activation's variable holds a value.</summary>
    public bool IsAssigned(Frame frame) => !frame.Slots[_slot].IsMissing;

    public void Assign(Frame frame, TemplateValue value) => frame.Slots[_slot] = value.IsMissing ? _undefined : value;
}

internal sealed class ListExpression : Expression
{
    private readonly Expression[] _items;
    private readonly bool _isTuple;

    public ListExpression(Expression[] items, bool isTuple)
        : base(items)
    {
        _items = items;
        _isTuple = isTuple;
    }

    public bool IsTuple => _isTuple;

    public Expression[] Items => _items;

    public override TemplateValue Evaluate(Frame frame)
    {
        List<TemplateValue> values = new(_items.Length);
        foreach (Expression item in _items)
            values.Add(item.Evaluate(frame));
        return frame.State.List(values, _isTuple);
    }
}

internal sealed class DictExpression : Expression
{
    private readonly Expression[] _keysAndValues;

    public DictExpression(Expression[] keysAndValues)
        : base(keysAndValues)
    {
        _keysAndValues = keysAndValues;
    }

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateDict dict = new(_keysAndValues.Length / 2);
        frame.State.Reserve(_keysAndValues.Length);
        for (int i = 0; i < _keysAndValues.Length; i += 2)
            dict.Set(_keysAndValues[i].Evaluate(frame), _keysAndValues[i + 1].Evaluate(frame));
        return dict;
    }
}

internal sealed class NotExpression : Expression
{
    private readonly Expression _operand;

    public NotExpression(Expression operand)
        : base(operand)
    {
        _operand = operand;
    }

    public override TemplateValue Evaluate(Frame frame) => TemplateValue.From(!_operand.IsTrue(frame));

    public override bool IsTrue(Frame frame) => !_operand.IsTrue(frame);
}

internal sealed class LogicalExpression : Expression
{
    private readonly Expression _left;
    private readonly Expression _right;
    private readonly bool _isAnd;

    public LogicalExpression(Expression left, Expression right, bool isAnd)
        : base(left, right)
    {
        _left = left;
        _right = right;
        _isAnd = isAnd;
    }

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateValue left = _left.Evaluate(frame);
        return left.IsTruthy == _isAnd ? _right.Evaluate(frame) : left;
    }

    public override bool IsTrue(Frame frame) => _left.IsTrue(frame) == _isAnd ? _right.IsTrue(frame) : !_isAnd;
}

internal sealed class ConditionalExpression : Expression
{
    private static readonly TemplateValue NoElse =
        UndefinedReason.Because("the inline if-expression evaluated to false and no else section was defined.");

    private readonly Expression _test;
    private readonly Expression _then;
    private readonly Expression? _otherwise;

    public ConditionalExpression(Expression test, Expression then, Expression? otherwise)
        : base(test, then, otherwise)
    {
        _test = test;
        _then = then;
        _otherwise = otherwise;
    }

    public override TemplateValue Evaluate(Frame frame) =>
        _test.IsTrue(frame) ? _then.Evaluate(frame) : _otherwise?.Evaluate(frame) ?? NoElse;

    public override void WriteTo(Frame frame)
    {
        if (_test.IsTrue(frame))
            _then.WriteTo(frame);
        else
            _otherwise?.WriteTo(frame);
    }
}

internal sealed class UnaryExpression : Expression
{
    private readonly Expression _operand;
    private readonly bool _isNegative;

    public UnaryExpression(Expression operand, bool isNegative)
        : base(operand)
    {
        _operand = operand;
        _isNegative = isNegative;
    }

    public override TemplateValue Evaluate(Frame frame)
    {
        TemplateValue value = _operand.Evaluate(frame);
        return value.Kind switch
        {
            TemplateValueKind.Float => TemplateValue.From(_isNegative ? -value.AsDouble : value.AsDouble),
            TemplateValueKind.Boolean or TemplateValueKind.Integer or TemplateValueKind.BigInteger =>
                TemplateValue.From(_isNegative ? BigInteger.Negate(value.AsBigInteger) : value.AsBigInteger),
            TemplateValueKind.Undefined => throw Operators.UndefinedUse(value),
            _ => throw new TemplateException($"bad operand type for unary {(_isNegative ? '-' : '+')}: '{value.TypeName}'"),
        };
    }
}

/// <summary>- * / // % ** of two values; + has a node of its own.</summary>
internal sealed class ArithmeticExpression : Expression
{
    private readonly string _operator;
    private readonly Expression _left;
    private readonly Expression _right;

    public ArithmeticExpression(string op, Expression left, Expression right)
        : base(left, right)
    {
        _operator = op;
        _left = left;
        _right = right;
    }

    public override TemplateValue Evaluate(Frame frame) =>
        Operators.Arithmetic(frame.State, _operator, _left.Evaluate(frame), _right.Evaluate(frame));
}

/// <summary>a + b + c …: folded from the left as Python does, with plain strings gathered instead of copied at every step.</summary>
internal sealed class AddExpression : Expression
{
    private readonly Expression[] _terms;

    public AddExpression(Expression[] terms)
        : base(terms)
    {
        _terms = terms;
    }

    public Expression[] Terms => _terms;

    public override TemplateValue Evaluate(Frame frame)
    {
        RenderState state = frame.State;
        int mark = state.Output.Length;
        TemplateValue? rest = Gather(frame);
        if (rest is TemplateValue value)
            return value;
        state.Reserve(state.Output.Length - mark);
        return TemplateValue.From(state.Output.CutFrom(mark));
    }

    public override void WriteTo(Frame frame)
    {
        if (Gather(frame) is TemplateValue value)
            PythonText.AppendString(frame.State, value);
    }

    /// <summary>Null when every term was a plain string and the sum now ends the output; else the sum, the output being as it was.</summary>
    private TemplateValue? Gather(Frame frame)
    {
        RenderState state = frame.State;
        int mark = state.Output.Length;
        TemplateValue left = _terms[0].Evaluate(frame);
        bool isGathering = left.Reference is string;
        if (isGathering)
            state.Output.Append((string)left.Reference!);
        for (int i = 1; i < _terms.Length; i++)
        {
            TemplateValue right = _terms[i].Evaluate(frame);
            if (isGathering && right.Reference is string text)
            {
                state.Output.Append(text);
                continue;
            }
            if (isGathering)
                left = state.Text(state.Output.CutFrom(mark));
            isGathering = false;
            left = Operators.Add(state, left, right);
        }
        return isGathering ? default(TemplateValue?) : left;
    }
}

/// <summary>a ~ b: the operands' texts joined.</summary>
internal sealed class ConcatExpression : Expression
{
    private readonly Expression[] _operands;

    public ConcatExpression(Expression[] operands)
        : base(operands)
    {
        _operands = operands;
    }

    public override TemplateValue Evaluate(Frame frame)
    {
        RenderState state = frame.State;
        if (state.AutoEscape)
            return EvaluateEscaping(frame);
        int mark = state.Output.Length;
        WriteTo(frame);
        state.Reserve(state.Output.Length - mark);
        return TemplateValue.From(state.Output.CutFrom(mark));
    }

    public override void WriteTo(Frame frame)
    {
        foreach (Expression operand in _operands)
            operand.WriteTo(frame);
    }

    private TemplateValue EvaluateEscaping(Frame frame)
    {
        TemplateValue[] values = [.. _operands.Select(operand => operand.Evaluate(frame))];
        bool isMarkup = values.Any(value => value.Kind == TemplateValueKind.Markup);
        string text = string.Concat(values.Select(value => isMarkup ? PythonText.Escaped(frame.State, value) : PythonText.String(frame.State, value)));
        return isMarkup ? frame.State.Markup(text) : frame.State.Text(text);
    }
}

internal enum Comparison : byte
{
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// <summary>a &lt; b &lt; c: each operand evaluated at most once, up to the first comparison that fails.</summary>
internal sealed class CompareExpression : Expression
{
    private readonly Expression _first;
    private readonly Comparison[] _operators;
    private readonly Expression[] _operands;

    public CompareExpression(Expression first, Comparison[] operators, Expression[] operands)
        : base([first, .. operands])
    {
        _first = first;
        _operators = operators;
        _operands = operands;
    }

    public override TemplateValue Evaluate(Frame frame) => TemplateValue.From(IsTrue(frame));

    public override bool IsTrue(Frame frame)
    {
        TemplateValue left = _first.Evaluate(frame);
        for (int i = 0; i < _operators.Length; i++)
        {
            TemplateValue right = _operands[i].Evaluate(frame);
            if (!Operators.Compare(frame.State, _operators[i], left, right))
                return false;
            left = right;
        }
        return true;
    }
}
