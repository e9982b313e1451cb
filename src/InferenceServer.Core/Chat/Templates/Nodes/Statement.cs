// Statements: like expressions parsed once, bound once, then executed by any number of renders at once.

namespace InferenceServer.Chat.Templates;

/// <summary>How a statement ended.</summary>
internal enum Completion : byte
{
    Normal,
    Break,
    Continue,
}

internal abstract class Statement
{
    /// <summary>Where the statement starts in the source, from 1.</summary>
    public int Line { get; init; }

    public int Column { get; init; }

    /// <summary>The expressions of the statement itself, in the order of evaluation.</summary>
    public virtual IEnumerable<Expression?> Expressions => [];

    /// <summary>The statements nested in it.</summary>
    public virtual IEnumerable<Body> Bodies => [];

    public abstract Completion Execute(Frame frame);
}

/// <summary>Statements in a row. An error that passes through learns the place of the innermost statement at fault.</summary>
internal sealed class Body
{
    public static readonly Body Empty = new([]);

    public Body(Statement[] statements)
    {
        Statements = statements;
    }

    public Statement[] Statements { get; }

    public Completion Execute(Frame frame)
    {
        int i = 0;
        try
        {
            for (; i < Statements.Length; i++)
            {
                frame.State.Charge();
                Completion completion = Statements[i].Execute(frame);
                if (completion != Completion.Normal)
                    return completion;
            }
            return Completion.Normal;
        }
        // A filter that never catches: rethrowing at every level of a deep recursion would itself use up the stack.
        catch (TemplateException e) when (!e.IsLocated && e.LocateAt(Statements[i].Line, Statements[i].Column))
        {
            throw;
        }
    }

    /// <summary>Executes and gives the printed text as a value.</summary>
    public TemplateValue Capture(Frame frame)
    {
        RenderState state = frame.State;
        int mark = state.Output.Length;
        Execute(frame);
        return CutFrom(state, mark);
    }

    public static TemplateValue CutFrom(RenderState state, int mark)
    {
        state.Reserve(state.Output.Length - mark);
        string text = state.Output.CutFrom(mark);
        return state.AutoEscape ? TemplateValue.From(new MarkupText(text)) : TemplateValue.From(text);
    }
}

/// <summary>What to do with a scope's variables on entry, worked out by Binder; see there for the rules.</summary>
internal sealed class ScopeEntry
{
    private readonly Load[] _loads;

    public ScopeEntry(Load[] loads)
    {
        _loads = loads;
    }

    internal enum LoadKind : byte
    {
        Clear,
        Alias,
        AliasContext,
        Resolve,
    }

    internal readonly record struct Load(LoadKind Kind, int Slot, int SourceDepth, int SourceSlot, string Name);

    public void Enter(Frame frame)
    {
        foreach (Load load in _loads)
        {
            frame.Slots[load.Slot] = load.Kind switch
            {
                LoadKind.Alias => frame.Up(load.SourceDepth).Slots[load.SourceSlot],
                LoadKind.AliasContext => frame.State.ContextValues[load.SourceSlot],
                LoadKind.Resolve => frame.State.Resolve(load.Name),
                _ => default,
            };
        }
    }
}

/// <summary>The code of one activation: how many variables its frames hold.</summary>
internal sealed class FunctionLayout
{
    public FunctionLayout(FunctionLayout? outer)
    {
        Outer = outer;
    }

    public FunctionLayout? Outer { get; }

    public int SlotCount { get; set; }
}

/// <summary>The left side of an assignment: a name, a namespace's attribute or a tuple of these.</summary>
internal sealed class AssignTarget
{
    public AssignTarget(NameExpression name, string? attribute = null)
    {
        Name = name;
        Attribute = attribute;
    }

    public AssignTarget(AssignTarget[] items)
    {
        Items = items;
    }

    public NameExpression? Name { get; }

    /// <summary>Set for namespace.attribute.</summary>
    public string? Attribute { get; }

    public AssignTarget[]? Items { get; }

    /// <summary>The names assigned, and those of namespaces.</summary>
    public IEnumerable<(NameExpression Name, bool IsNamespace)> Names =>
        Items is null ? [(Name!, Attribute is not null)] : Items.SelectMany(item => item.Names);

    /// <summary>The same target, bindable to other variables.</summary>
    public AssignTarget Clone() => Items is null
        ? new AssignTarget(new NameExpression(Name!.Name, Name.Position), Attribute)
        : new AssignTarget([.. Items.Select(item => item.Clone())]);

    public void Assign(Frame frame, TemplateValue value)
    {
        if (Items is not null)
            Unpack(frame, value);
        else if (Attribute is null)
            Name!.Assign(frame, value);
        else if (Name!.Evaluate(frame).Reference is NamespaceObject space)
            space.Attributes.Set(Attribute, value);
        else
            throw new TemplateException($"cannot assign attribute '{Attribute}': '{Name.Name}' is not a namespace object");
    }

    private void Unpack(Frame frame, TemplateValue value)
    {
        int count = 0;
        TemplateValue[] values = new TemplateValue[Items!.Length];
        foreach (TemplateValue item in Iteration.Of(frame.State, value))
        {
            if (count == values.Length)
                throw new TemplateException($"too many values to unpack (expected {values.Length})");
            values[count++] = item;
        }
        if (count < values.Length)
            throw new TemplateException($"not enough values to unpack (expected {values.Length}, got {count})");
        for (int i = 0; i < count; i++)
            Items[i].Assign(frame, values[i]);
    }
}
