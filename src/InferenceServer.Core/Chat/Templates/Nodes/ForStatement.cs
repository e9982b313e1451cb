// The for statement and the loop variable of its body.

namespace InferenceServer.Chat.Templates;

internal sealed class ForStatement : Statement
{
    public ForStatement(AssignTarget target, Expression iterable, Expression? test, bool isRecursive, Body body, Body? otherwise)
    {
        Target = target;
        TestTarget = target.Clone();
        Iterable = iterable;
        Test = test;
        IsRecursive = isRecursive;
        Body = body;
        Otherwise = otherwise;
    }

    public AssignTarget Target { get; }

    /// <summary>The target as the filtering condition sees it, in a scope of its own.</summary>
    public AssignTarget TestTarget { get; }

    public Expression Iterable { get; }

    public Expression? Test { get; }

    public bool IsRecursive { get; }

    public Body Body { get; }

    public Body? Otherwise { get; }

    public ScopeEntry? Scope { get; set; }

    public ScopeEntry? TestScope { get; set; }

    public ScopeEntry? ElseScope { get; set; }

    /// <summary>The variable "loop", when the body may read it.</summary>
    public NameExpression? LoopVariable { get; set; }

    /// <summary>Set for a recursive loop: each of its levels is an activation of its own.</summary>
    public FunctionLayout? Layout { get; set; }

    public override IEnumerable<Expression?> Expressions => [Iterable, Test];

    public override IEnumerable<Body> Bodies => Otherwise is null ? [Body] : [Body, Otherwise];

    public override Completion Execute(Frame frame)
    {
        TemplateValue iterable = Iterable.Evaluate(frame);
        if (IsRecursive)
            RunLevel(frame, iterable, 0);
        else
            Run(frame, iterable, null, 0);
        return Completion.Normal;
    }

    /// <summary>Prints one level of a recursive loop; <paramref name="outer"/> is where the loop stands.</summary>
    public void RunLevel(Frame outer, TemplateValue iterable, int depth)
    {
        outer.State.EnterCall();
        Run(new Frame(outer.State, Layout!.SlotCount, outer), iterable, outer, depth);
        outer.State.LeaveCall();
    }

    private void Run(Frame frame, TemplateValue iterable, Frame? recursionOuter, int depth)
    {
        IEnumerable<TemplateValue> items = Iteration.Of(frame.State, iterable);
        if (Test is not null)
            items = Filtered(frame, items);
        bool isEmpty = LoopVariable is null ? RunPlain(frame, items) : RunExtended(frame, iterable, items, recursionOuter, depth);
        if (isEmpty && Otherwise is not null)
        {
            ElseScope!.Enter(frame);
            Otherwise.Execute(frame);
        }
    }

    private bool RunPlain(Frame frame, IEnumerable<TemplateValue> items)
    {
        bool isEmpty = true;
        foreach (TemplateValue item in items)
        {
            Target.Assign(frame, item);
            Scope!.Enter(frame);
            Completion completion = Body.Execute(frame);
            // As in the reference, an iteration that a jump cut short does not count: only a completed one keeps the else branch out.
            isEmpty &= completion != Completion.Normal;
            if (completion == Completion.Break)
                break;
        }
        return isEmpty;
    }

    private bool RunExtended(Frame frame, TemplateValue iterable, IEnumerable<TemplateValue> items, Frame? recursionOuter, int depth)
    {
        long? length = Test is null ? Iteration.LengthOf(iterable) : null;
        LoopObject loop = new(this, items, length, recursionOuter, depth);
        bool isEmpty = true;
        while (loop.MoveNext(frame.State, out TemplateValue item))
        {
            Target.Assign(frame, item);
            LoopVariable!.Assign(frame, TemplateValue.From(loop));
            Scope!.Enter(frame);
            Completion completion = Body.Execute(frame);
            isEmpty &= completion != Completion.Normal;
            if (completion == Completion.Break)
                break;
        }
        return isEmpty;
    }

    private IEnumerable<TemplateValue> Filtered(Frame frame, IEnumerable<TemplateValue> items)
    {
        TestScope!.Enter(frame);
        foreach (TemplateValue item in items)
        {
            TestTarget.Assign(frame, item);
            if (Test!.IsTrue(frame))
                yield return item;
        }
    }
}

/// <summary>The variable "loop": where the loop stands, and in a recursive loop the way one level down.</summary>
internal sealed class LoopObject : CallableObject
{
    private readonly ForStatement _statement;
    private readonly Frame? _recursionOuter;
    private readonly int _depth;
    private IEnumerator<TemplateValue> _items;
    private long? _length;
    private long _index = -1;
    private TemplateValue? _ahead;
    private TemplateValue _current;
    private TemplateValue _previous;
    private TemplateValue? _lastChanged;

    public LoopObject(ForStatement statement, IEnumerable<TemplateValue> items, long? length, Frame? recursionOuter, int depth)
        : base(TemplateValueKind.Callable)
    {
        _statement = statement;
        _items = items.GetEnumerator();
        _length = length;
        _recursionOuter = recursionOuter;
        _depth = depth;
    }

    internal override string TypeName => "jinja2.runtime.LoopContext";

    public bool MoveNext(RenderState state, out TemplateValue item)
    {
        _ = state;
        if (_ahead is TemplateValue ahead)
        {
            item = ahead;
            _ahead = null;
        }
        else if (_items.MoveNext())
        {
            item = _items.Current;
        }
        else
        {
            item = default;
            return false;
        }
        _index++;
        _previous = _current;
        _current = item;
        return true;
    }

    public override TemplateValue Call(RenderState state, CallArguments arguments)
    {
        if (_recursionOuter is null)
            throw new TemplateException("the loop must have the 'recursive' marker to be called recursively");
        if (arguments.Positional.Length != 1 || arguments.Named.Length != 0)
            throw new TemplateException("loop() takes one argument: what to iterate over");
        int mark = state.Output.Length;
        _statement.RunLevel(_recursionOuter, arguments.Positional[0], _depth + 1);
        return Body.CutFrom(state, mark);
    }

    internal override bool TryGetAttribute(RenderState state, string name, out TemplateValue value)
    {
        switch (name)
        {
            case "index":
                value = _index + 1;
                return true;
            case "index0":
                value = _index;
                return true;
            case "first":
                value = _index == 0;
                return true;
            case "last":
                value = !TryPeek(out _);
                return true;
            case "length":
                value = Length(state);
                return true;
            case "revindex":
                value = Length(state) - _index;
                return true;
            case "revindex0":
                value = Length(state) - _index - 1;
                return true;
            case "depth":
                value = _depth + 1;
                return true;
            case "depth0":
                value = _depth;
                return true;
            case "previtem":
                value = _index == 0 ? UndefinedReason.Because("there is no previous item") : _previous;
                return true;
            case "nextitem":
                value = TryPeek(out TemplateValue next) ? next : UndefinedReason.Because("there is no next item");
                return true;
            case "cycle":
                value = TemplateValue.From(new Builtin("cycle", (_, _, arguments) => Cycle(arguments)));
                return true;
            case "changed":
                value = TemplateValue.From(new Builtin("changed", (inner, _, arguments) => Changed(inner, arguments)));
                return true;
            default:
                value = default;
                return false;
        }
    }

    private bool TryPeek(out TemplateValue item)
    {
        if (_ahead is null && _items.MoveNext())
            _ahead = _items.Current;
        item = _ahead ?? default;
        return _ahead is not null;
    }

    /// <summary>The number of items; those of an iterator without one are taken in advance and kept.</summary>
    public long Length(RenderState state)
    {
        if (_length is long known)
            return known;
        List<TemplateValue> rest = [];
        while (_items.MoveNext())
            rest.Add(_items.Current);
        state.Reserve(rest.Count);
        _items = ((IEnumerable<TemplateValue>)rest).GetEnumerator();
        _length = rest.Count + _index + 1 + (_ahead is null ? 0 : 1);
        return _length.Value;
    }

    private TemplateValue Cycle(CallArguments arguments) => arguments.Positional.Length == 0
        ? throw new TemplateException("no items for cycling given")
        : arguments.Positional[_index % arguments.Positional.Length];

    private TemplateValue Changed(RenderState state, CallArguments arguments)
    {
        TemplateValue now = TemplateList.Tuple(arguments.Positional);
        if (_lastChanged is TemplateValue before && state.Equal(before, now))
            return false;
        _lastChanged = now;
        return true;
    }
}
