// One render: its output, its context and what it may still use. Made by one thread for one call and thrown away.

using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace InferenceServer.Chat.Templates;

internal sealed class RenderState
{
    // How often the clock is read: every so many steps, each of which is bounded to some milliseconds at the very worst.
    private const int StepsBetweenClockReads = 4096;

    private long _stepsLeft;
    private long _stepsAtNextClockRead;
    private long _allocationLeft;
    private int _callDepth;
    private readonly long _startTimestamp;

    public RenderState(ChatTemplateLimits limits, TimeProvider clock, TemplateDict context, TemplateValue[] contextValues)
    {
        Limits = limits;
        Clock = clock;
        Context = context;
        ContextValues = contextValues;
        Output = new OutputBuffer(limits.MaxOutputLength);
        _stepsLeft = limits.MaxSteps;
        _stepsAtNextClockRead = _stepsLeft - StepsBetweenClockReads;
        _allocationLeft = limits.MaxAllocation;
        _startTimestamp = clock.GetTimestamp();
    }

    public ChatTemplateLimits Limits { get; }

    public TimeProvider Clock { get; }

    public TemplateDict Context { get; }

    /// <summary>The context variables that the template reads, looked up once: see Binder.</summary>
    public TemplateValue[] ContextValues { get; }

    public OutputBuffer Output { get; }

    /// <summary>Variables set at the top level, for the blocks of the template; null when it has none.</summary>
    public TemplateDict? Exported { get; set; }

    /// <summary>Inside {% autoescape true %}.</summary>
    public bool AutoEscape { get; set; }

    /// <summary>Work left; comparisons take from it directly.</summary>
    public ref long StepsLeft => ref _stepsLeft;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Charge(long steps = 1)
    {
        _stepsLeft -= steps;
        if (_stepsLeft < _stepsAtNextClockRead)
            CheckWork();
    }

    /// <summary>Charges work over a text: a step for each 64 units, about what an interpreted step costs.</summary>
    public void ChargeText(long length) => Charge(length >> 6);

    private void CheckWork()
    {
        if (_stepsLeft < 0)
            throw new TemplateException($"the template took more than {Limits.MaxSteps} steps");
        if (Clock.GetElapsedTime(_startTimestamp) > Limits.MaxDuration)
            throw new TemplateException($"the template took longer than {Limits.MaxDuration.TotalSeconds} seconds");
        _stepsAtNextClockRead = _stepsLeft - StepsBetweenClockReads;
    }

    /// <summary>Call before building a string of this many units or a list of this many items.</summary>
    public void Reserve(long length)
    {
        if (length > Limits.MaxValueLength)
            throw new TemplateException($"a value of {length} characters or items is over the limit of {Limits.MaxValueLength}");
        _allocationLeft -= length;
        if (_allocationLeft < 0)
            throw new TemplateException($"the template built more than {Limits.MaxAllocation} characters and items");
        ChargeText(length);
    }

    public TemplateValue Text(string text)
    {
        Reserve(text.Length);
        return TemplateValue.From(text);
    }

    /// <summary>A string, as Markup where the string that it was made from was Markup.</summary>
    public TemplateValue TextLike(TemplateValue origin, string text) => origin.Kind == TemplateValueKind.Markup ? Markup(text) : Text(text);

    public TemplateValue Markup(string text)
    {
        Reserve(text.Length);
        return TemplateValue.From(new MarkupText(text));
    }

    public TemplateValue List(List<TemplateValue> items, bool isTuple = false)
    {
        Reserve(items.Count);
        return TemplateList.From(items, isTuple);
    }

    public void EnterCall()
    {
        Charge();
        if (++_callDepth > Limits.MaxCallDepth)
            throw new TemplateException($"macros and recursive loops are nested more than {Limits.MaxCallDepth} deep");
        RuntimeGuard.Stack();
    }

    public void LeaveCall() => _callDepth--;

    public bool Equal(TemplateValue left, TemplateValue right)
    {
        if (left.Reference is string a && right.Reference is string b)
        {
            if (a.Length == b.Length)
                ChargeText(a.Length);
            return a == b;
        }
        bool equal = PythonEquality.Equal(left, right, ref _stepsLeft);
        Charge();
        return equal;
    }

    /// <summary>A name as the template's context and its own top-level assignments give it, or missing.</summary>
    public TemplateValue Resolve(string name)
    {
        if (Exported is not null && Exported.TryGet(name, out TemplateValue value))
            return value;
        return Context.TryGet(name, out value) || Globals.TryGet(name, out value) ? value : default;
    }
}

/// <summary>The variables of one activation: the template's top level, a macro call, a call block or one level of a recursive loop.</summary>
internal sealed class Frame
{
    public Frame(RenderState state, int slotCount, Frame? outer)
    {
        State = state;
        Slots = slotCount == 0 ? [] : new TemplateValue[slotCount];
        Outer = outer;
    }

    public RenderState State { get; }

    public TemplateValue[] Slots { get; }

    /// <summary>The activation in which this one's code was defined.</summary>
    public Frame? Outer { get; }

    public Frame Up(int depth)
    {
        Frame frame = this;
        for (; depth > 0; depth--)
            frame = frame.Outer!;
        return frame;
    }
}

internal static class RuntimeGuard
{
    /// <summary>Turns what would overflow the machine's stack into an error.</summary>
    public static void Stack()
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            ThrowTooDeep();
    }

    [DoesNotReturn]
    private static void ThrowTooDeep() => throw new TemplateException("values, macros or expressions are nested too deep");
}
