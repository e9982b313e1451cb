// The places where the automaton can be, and what is known of each. Interned by ConfigurationCache: within one epoch equal ones are the same object.

using System.Collections.Concurrent;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>A position in the automaton and the stack below it: each frame is where its child returns to.</summary>
internal sealed class Frame(int id, int node, int rest, long count, Frame? parent, int nesting)
{
    /// <summary>A count that stands for all that have reached the minimum and are not near the maximum, or,</summary>
    public const int FarFromBounds = -1;

    /// <summary>for all that are not near the minimum yet.</summary>
    public const int FarBelowMinimum = -2;

    public int Id { get; } = id;

    public int Node { get; } = node;

    /// <summary>What must be read of a character that has begun before the node is reached; -1 at the node itself.</summary>
    public int Rest { get; } = rest;

    /// <summary>Repetitions done, at repeat nodes; the set of members written, at members nodes.</summary>
    public long Count { get; } = count;

    public Frame? Parent { get; } = parent;

    /// <summary>Levels of nesting below this frame.</summary>
    public int Nesting { get; } = nesting;
}

/// <summary>What the automaton can be doing after some text.</summary>
internal sealed class Configuration(Frame[] items, bool canEnd, int plainTextCapacity, bool isPlainTextOnly)
{
    /// <summary>Positions that read a byte, by ascending id.</summary>
    public Frame[] Items { get; } = items;

    /// <summary>Whether the text so far satisfies the constraint.</summary>
    public bool CanEnd { get; } = canEnd;

    /// <summary>How many more code points of plain JSON string content are allowed here for certain; int.MaxValue without limit.</summary>
    public int PlainTextCapacity { get; } = plainTextCapacity;

    /// <summary>Whether plain content is allowed through the string alone, so that tokens longer than the capacity are refused.</summary>
    public bool IsPlainTextOnly { get; } = isPlainTextOnly;

    /// <summary>How text goes on from here; null until someone needed it.</summary>
    public volatile Outlook? Outlook;

    /// <summary>The tokens allowed here, once computed; evicted by the vocabulary's budget.</summary>
    public volatile TokenSet? Mask;
}

/// <summary>How text goes on from a configuration.</summary>
/// <param name="Reading">What is read.</param>
/// <param name="Destinations">Where that leads.</param>
internal sealed record Outlook(Reading Reading, Destinations Destinations)
{
    /// <summary>How most bytes go on.</summary>
    public volatile Flow Flow = Flow.None;
}

/// <summary>Where the ends of readings lead, and the configurations that were met there.</summary>
internal sealed class Destinations(Frame[] frames)
{
    private readonly Configuration?[] _atOne = new Configuration?[frames.Length];
    private ConcurrentDictionary<Reading, Configuration>? _atSeveral; // few grammars need one

    /// <summary>By number of the end.</summary>
    public Frame[] Frames { get; } = frames;

    public Configuration? After(Reading step) => step.OnlyEnd >= 0 ? Volatile.Read(ref _atOne[step.OnlyEnd]) : Volatile.Read(ref _atSeveral)?.GetValueOrDefault(step);

    /// <summary>For one thread at a time.</summary>
    public void Remember(Reading step, Configuration configuration)
    {
        if (step.OnlyEnd >= 0)
            Volatile.Write(ref _atOne[step.OnlyEnd], configuration);
        else if (_atSeveral is { } several)
            several[step] = configuration;
        else
            Volatile.Write(ref _atSeveral, new([new(step, configuration)]));
    }
}
