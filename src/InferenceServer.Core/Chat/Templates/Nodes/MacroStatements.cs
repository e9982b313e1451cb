// Macros and call blocks: code with parameters that renders to a string.

namespace InferenceServer.Chat.Templates;

/// <summary>The parameters and body that macros and call blocks share.</summary>
internal sealed class MacroCode
{
    public MacroCode(string name, NameExpression[] parameters, Expression?[] defaults, Body body)
    {
        Name = name;
        Parameters = parameters;
        Defaults = defaults;
        Body = body;
    }

    public string Name { get; }

    public NameExpression[] Parameters { get; }

    /// <summary>One for each parameter; null where an absent argument stays undefined.</summary>
    public Expression?[] Defaults { get; }

    public Body Body { get; }

    public ScopeEntry? Scope { get; set; }

    public FunctionLayout? Layout { get; set; }

    /// <summary>The implicit variables, where the body mentions them.</summary>
    public NameExpression? Caller { get; set; }

    public NameExpression? Varargs { get; set; }

    public NameExpression? Kwargs { get; set; }
}

internal sealed class MacroStatement : Statement
{
    public MacroStatement(NameExpression name, MacroCode code)
    {
        Name = name;
        Code = code;
    }

    public NameExpression Name { get; }

    public MacroCode Code { get; }

    public bool IsExported { get; set; }

    public override IEnumerable<Expression?> Expressions => Code.Defaults;

    public override IEnumerable<Body> Bodies => [Code.Body];

    public override Completion Execute(Frame frame)
    {
        TemplateValue macro = TemplateValue.From(new MacroObject(Code, frame));
        Name.Assign(frame, macro);
        if (IsExported)
            frame.State.Exported?.Set(Name.Name, macro);
        return Completion.Normal;
    }
}

/// <summary>{% call(x) name(arguments) %}…{% endcall %}</summary>
internal sealed class CallBlockStatement : Statement
{
    public CallBlockStatement(CallExpression call, MacroCode code)
    {
        Call = call;
        Code = code;
    }

    public CallExpression Call { get; }

    public MacroCode Code { get; }

    public override IEnumerable<Expression?> Expressions => [Call, .. Code.Defaults];

    public override IEnumerable<Body> Bodies => [Code.Body];

    public override Completion Execute(Frame frame)
    {
        TemplateValue caller = TemplateValue.From(new MacroObject(Code, frame));
        PythonText.AppendString(frame.State, Call.EvaluateWithCaller(frame, caller));
        return Completion.Normal;
    }
}

/// <summary>A macro bound to the activation in which its definition was executed.</summary>
internal sealed class MacroObject : CallableObject
{
    private static readonly TemplateValue NoCaller = UndefinedReason.Because("No caller defined");

    private readonly MacroCode _code;
    private readonly Frame _outer;
    private readonly bool _autoEscape;

    public MacroObject(MacroCode code, Frame outer)
    {
        _code = code;
        _outer = outer;
        _autoEscape = outer.State.AutoEscape;
    }

    internal override string TypeName => "jinja2.runtime.Macro";

    public string Name => _code.Name;

    public override TemplateValue Call(RenderState state, CallArguments arguments)
    {
        Frame frame = new(state, _code.Layout!.SlotCount, _outer);
        Bind(frame, arguments);
        state.EnterCall();
        bool before = state.AutoEscape;
        state.AutoEscape = _autoEscape;
        _code.Scope!.Enter(frame);
        BindDefaults(frame);
        TemplateValue text = _code.Body.Capture(frame);
        state.AutoEscape = before;
        state.LeaveCall();
        return text;
    }

    internal override bool TryGetAttribute(RenderState state, string name, out TemplateValue value)
    {
        switch (name)
        {
            case "name":
                value = _code.Name;
                return true;
            case "arguments":
                value = TemplateList.Tuple([.. _code.Parameters.Select(parameter => TemplateValue.From(parameter.Name))]);
                return true;
            case "catch_kwargs":
                value = _code.Kwargs is not null;
                return true;
            case "catch_varargs":
                value = _code.Varargs is not null;
                return true;
            case "caller":
                value = _code.Caller is not null;
                return true;
            default:
                value = default;
                return false;
        }
    }

    private void Bind(Frame frame, CallArguments arguments)
    {
        NameExpression[] parameters = _code.Parameters;
        int positional = Math.Min(arguments.Positional.Length, parameters.Length);
        for (int i = 0; i < positional; i++)
            parameters[i].Assign(frame, arguments.Positional[i]);
        TemplateDict? rest = _code.Kwargs is null ? null : new TemplateDict();
        bool hasCaller = false;
        foreach ((string name, TemplateValue value) in arguments.Named)
        {
            int at = Array.FindIndex(parameters, parameter => parameter.Name == name);
            if (at >= positional)
                parameters[at].Assign(frame, value);
            else if (name == "caller" && _code.Caller is not null)
            {
                hasCaller = true;
                _code.Caller.Assign(frame, value);
            }
            else if (rest is not null)
                rest.Set(name, value);
            else if (name == "caller")
                throw new TemplateException($"macro '{_code.Name}' was invoked with two values for the special caller argument or does not use it");
            else
                throw new TemplateException($"macro '{_code.Name}' takes no keyword argument '{name}'");
        }
        if (!hasCaller)
            _code.Caller?.Assign(frame, NoCaller);
        if (rest is not null)
            _code.Kwargs!.Assign(frame, rest);
        if (_code.Varargs is not null)
            _code.Varargs.Assign(frame, TemplateList.Tuple(arguments.Positional[positional..]));
        else if (arguments.Positional.Length > parameters.Length)
            throw new TemplateException($"macro '{_code.Name}' takes not more than {parameters.Length} argument(s)");
    }

    private void BindDefaults(Frame frame)
    {
        for (int i = 0; i < _code.Parameters.Length; i++)
        {
            NameExpression parameter = _code.Parameters[i];
            if (parameter.IsAssigned(frame))
                continue;
            parameter.Assign(frame, _code.Defaults[i] is Expression value
                ? value.Evaluate(frame)
                : UndefinedReason.Because($"parameter '{parameter.Name}' was not provided"));
        }
    }
}
