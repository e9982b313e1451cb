// Printing, branching and assignment.

namespace InferenceServer.Chat.Templates;

/// <summary>The template's own text between tags.</summary>
internal sealed class TextExpression : Expression
{
    private readonly string _text;

    public TextExpression(string text)
    {
        _text = text;
    }

    public override TemplateValue Evaluate(Frame frame) => TemplateValue.From(_text);

    public override void WriteTo(Frame frame) => frame.State.Output.Append(_text);
}

internal sealed class OutputStatement : Statement
{
    private readonly Expression _value;

    public OutputStatement(Expression value)
    {
        _value = value;
    }

    public override IEnumerable<Expression?> Expressions => [_value];

    public override Completion Execute(Frame frame)
    {
        if (frame.State.AutoEscape && _value is not TextExpression)
            frame.State.Output.Append(PythonText.Escaped(frame.State, _value.Evaluate(frame)));
        else
            _value.WriteTo(frame);
        return Completion.Normal;
    }
}

internal sealed class IfStatement : Statement
{
    public IfStatement(Expression[] tests, Body[] bodies, Body? otherwise)
    {
        Tests = tests;
        Branches = bodies;
        Otherwise = otherwise;
    }

    /// <summary>The conditions of if and of each elif.</summary>
    public Expression[] Tests { get; }

    public Body[] Branches { get; }

    public Body? Otherwise { get; }

    public override IEnumerable<Expression?> Expressions => Tests;

    public override IEnumerable<Body> Bodies => Otherwise is null ? Branches : [.. Branches, Otherwise];

    public override Completion Execute(Frame frame)
    {
        for (int i = 0; i < Tests.Length; i++)
            if (Tests[i].IsTrue(frame))
                return Branches[i].Execute(frame);
        return Otherwise?.Execute(frame) ?? Completion.Normal;
    }
}

internal sealed class SetStatement : Statement
{
    public SetStatement(AssignTarget target, Expression value)
    {
        Target = target;
        Value = value;
    }

    public AssignTarget Target { get; }

    public Expression Value { get; }

    /// <summary>At the top level of a template with blocks, which see what is set there.</summary>
    public bool IsExported { get; set; }

    public override IEnumerable<Expression?> Expressions => [Value];

    public override Completion Execute(Frame frame)
    {
        Target.Assign(frame, Value.Evaluate(frame));
        if (IsExported)
            Export(frame, Target);
        return Completion.Normal;
    }

    public static void Export(Frame frame, AssignTarget target)
    {
        foreach ((NameExpression name, bool isNamespace) in target.Names)
            if (!isNamespace)
                frame.State.Exported?.Set(name.Name, name.Evaluate(frame));
    }
}

/// <summary>{% set name %}…{% endset %}, perhaps through filters.</summary>
internal sealed class SetBlockStatement : Statement
{
    public SetBlockStatement(AssignTarget target, FilterExpression? filter, Body body)
    {
        Target = target;
        Filter = filter;
        Body = body;
    }

    public AssignTarget Target { get; }

    public FilterExpression? Filter { get; }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public bool IsExported { get; set; }

    public override IEnumerable<Expression?> Expressions => [Filter];

    public override IEnumerable<Body> Bodies => [Body];

    public override Completion Execute(Frame frame)
    {
        Scope!.Enter(frame);
        TemplateValue text = Body.Capture(frame);
        Target.Assign(frame, Filter is null ? text : Filter.EvaluateOn(frame, text));
        if (IsExported)
            SetStatement.Export(frame, Target);
        return Completion.Normal;
    }
}

internal sealed class FilterBlockStatement : Statement
{
    public FilterBlockStatement(FilterExpression filter, Body body)
    {
        Filter = filter;
        Body = body;
    }

    public FilterExpression Filter { get; }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public override IEnumerable<Expression?> Expressions => [Filter];

    public override IEnumerable<Body> Bodies => [Body];

    public override Completion Execute(Frame frame)
    {
        Scope!.Enter(frame);
        PythonText.AppendString(frame.State, Filter.EvaluateOn(frame, Body.Capture(frame)));
        return Completion.Normal;
    }
}

/// <summary>{% with name = value %}: the values are evaluated outside of the new scope.</summary>
internal sealed class WithStatement : Statement
{
    public WithStatement(AssignTarget[] targets, Expression[] values, Body body)
    {
        Targets = targets;
        Values = values;
        Body = body;
    }

    public AssignTarget[] Targets { get; }

    public Expression[] Values { get; }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public override IEnumerable<Expression?> Expressions => Values;

    public override IEnumerable<Body> Bodies => [Body];

    public override Completion Execute(Frame frame)
    {
        Scope!.Enter(frame);
        for (int i = 0; i < Targets.Length; i++)
            Targets[i].Assign(frame, Values[i].Evaluate(frame));
        return Body.Execute(frame);
    }
}

/// <summary>A scope of its own and nothing else: {% generation %} marks what the model wrote, which only training needs.</summary>
internal sealed class ScopeStatement : Statement
{
    public ScopeStatement(Body body)
    {
        Body = body;
    }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public override IEnumerable<Body> Bodies => [Body];

    public override Completion Execute(Frame frame)
    {
        Scope!.Enter(frame);
        return Body.Execute(frame);
    }
}

internal sealed class AutoEscapeStatement : Statement
{
    public AutoEscapeStatement(Expression isOn, Body body)
    {
        IsOn = isOn;
        Body = body;
    }

    public Expression IsOn { get; }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public override IEnumerable<Expression?> Expressions => [IsOn];

    public override IEnumerable<Body> Bodies => [Body];

    public override Completion Execute(Frame frame)
    {
        RenderState state = frame.State;
        bool before = state.AutoEscape;
        Scope!.Enter(frame);
        state.AutoEscape = IsOn.IsTrue(frame);
        Completion completion = Body.Execute(frame);
        state.AutoEscape = before;
        return completion;
    }
}

/// <summary>{% do expression %}</summary>
internal sealed class DoStatement : Statement
{
    private readonly Expression _value;

    public DoStatement(Expression value)
    {
        _value = value;
    }

    public override IEnumerable<Expression?> Expressions => [_value];

    public override Completion Execute(Frame frame)
    {
        _value.Evaluate(frame);
        return Completion.Normal;
    }
}

/// <summary>{% break %} and {% continue %}</summary>
internal sealed class JumpStatement : Statement
{
    private readonly Completion _completion;

    public JumpStatement(Completion completion)
    {
        _completion = completion;
    }

    public override Completion Execute(Frame frame) => _completion;
}

/// <summary>{% block name %}: rendered in place, seeing the context and what was set at the top level.</summary>
internal sealed class BlockStatement : Statement
{
    public BlockStatement(string name, Body body)
    {
        Name = name;
        Body = body;
    }

    public string Name { get; }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public FunctionLayout? Layout { get; set; }

    public override IEnumerable<Body> Bodies => [Body];

    public override Completion Execute(Frame frame)
    {
        Frame inner = new(frame.State, Layout!.SlotCount, null);
        Scope!.Enter(inner);
        Body.Execute(inner);
        return Completion.Normal;
    }
}
