// The automaton run lazily as a deterministic one: a configuration is everything the automaton can be doing after some text
// (nodes with their stacks), and each configuration learns once, when first needed, where every class of bytes leads.
// Thread-safe: rows and masks are published by one reference write after they are complete and read without a lock; making them takes the lock.
// Always holds: stacks and configurations are interned, so within one epoch equal ones are the same object; at most MaxConfigurations are kept.

using System.Numerics;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>A position in the automaton and the stack below it: each frame is where its child returns to.</summary>
internal sealed class Frame(int id, int node, int count, Frame? parent, int nesting)
{
    /// <summary>A count that stands for all that have reached the minimum and are not near the maximum, or,</summary>
    public const int FarFromBounds = -1;

    /// <summary>for all that are not near the minimum yet.</summary>
    public const int FarBelowMinimum = -2;

    public int Id { get; } = id;

    public int Node { get; } = node;

    /// <summary>Repetitions done, at repeat nodes.</summary>
    public int Count { get; } = count;

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

    /// <summary>Successors by byte class, null where the byte is refused; the array is null until someone needed it.</summary>
    public volatile Configuration?[]? Row;

    /// <summary>How most bytes go on from here; none until the row is known.</summary>
    public volatile Flow Flow = Flow.None;

    /// <summary>The tokens allowed here, once computed; evicted by the vocabulary's budget.</summary>
    public volatile TokenSet? Mask;
}

/// <summary>Bytes that a configuration does not tell apart: whole subtrees of tokens made of them are judged at once.</summary>
/// <param name="Groups">The groups of bytes that all lead to <paramref name="To"/>.</param>
/// <param name="To">The configuration itself where such text may go on for ever; else the next of a chain that counts.</param>
/// <param name="Length">For how many bytes of these groups, at least, the successors lead on in the same way.</param>
/// <param name="Ends">Whether <paramref name="Length"/> is all there is.</param>
internal sealed record Flow(ulong Groups, Configuration? To, int Length, bool Ends)
{
    public static Flow None { get; } = new(0, null, 0, true);
}

internal sealed class ConfigurationCache
{
    /// <summary>Around 1 kB each with their rows; a schema's working set is a few hundred.</summary>
    private const int MaxConfigurations = 16_384;

    /// <summary>Tokens longer than this are few.</summary>
    private const int ProbedFlow = 24;

    /// <summary>Around 100 bytes each.</summary>
    private const int MaxFrames = 16 * MaxConfigurations;

    /// <summary>Grammars so ambiguous that a text can be read in more ways are given up, as they would stall the decode thread.</summary>
    private const int MaxPositions = 16_384;

    private readonly Lock _gate = new();
    private readonly PushdownAutomaton _automaton;
    private readonly Dictionary<(int Node, int Count, int Parent), Frame> _frames = [];
    private readonly Dictionary<ItemsKey, Configuration> _configurations = [];

    // Scratch of the thread that holds the gate.
    private readonly Stack<Frame> _pending = [];
    private readonly HashSet<Frame> _seen = [];
    private readonly List<Frame> _items = [];
    private int _nextFrameId;
    private volatile int _epoch;

    public ConfigurationCache(PushdownAutomaton automaton)
    {
        _automaton = automaton;
        lock (_gate)
            Initial = Close([FrameOf(automaton.Start, 0, null, 0)])
                ?? throw new ConstraintException("grammar", "nothing can satisfy this constraint");
    }

    public Configuration Initial { get; }

    /// <summary>About the memory of what was met so far; masks are the vocabulary's.</summary>
    public long Bytes => (1000L * _configurations.Count) + (100L * _frames.Count);

    /// <summary>Changes when the cache was emptied: configurations from before then should be imported.</summary>
    public int Epoch => _epoch;

    /// <summary>The successors of a configuration by byte class.</summary>
    public Configuration?[] RowOf(Configuration configuration) => configuration.Row ?? Expand(configuration);

    /// <summary>
    /// The configuration that allows the same tokens of up to <paramref name="reach"/> bytes, in which counts that no such token brings to a bound are not
    /// told apart: what a walk meets there it meets again at the next token. The configuration itself where every count is near a bound.
    /// </summary>
    /// <param name="least">The least reach that is worth it.</param>
    public Configuration FarFromBounds(Configuration configuration, int least, out int reach)
    {
        int nearest = int.MaxValue;
        reach = int.MaxValue;
        if (!Array.Exists(configuration.Items, item => IsFar(item, least)))
            return configuration;
        lock (_gate)
        {
            Frame Blur(Frame frame)
            {
                Frame? parent = frame.Parent is null ? null : Blur(frame.Parent);
                int count = frame.Count;
                if (DistanceToBound(frame) is { } distance && distance >= least)
                {
                    nearest = Math.Min(nearest, distance);
                    count = frame.Count < _automaton[frame.Node].Min ? Frame.FarBelowMinimum : Frame.FarFromBounds;
                }
                return FrameOf(frame.Node, count, parent, frame.Nesting);
            }
            Frame[] items = [.. configuration.Items.Select(Blur).DistinctBy(f => f.Id).OrderBy(f => f.Id)];
            reach = nearest;
            int capacity = configuration.PlainTextCapacity > least ? int.MaxValue : configuration.PlainTextCapacity;
            return Intern(items, configuration.CanEnd, capacity, configuration.IsPlainTextOnly);
        }
    }

    private bool IsFar(Frame item, int least)
    {
        for (Frame? frame = item; frame is not null; frame = frame.Parent)
            if (DistanceToBound(frame) >= least)
                return true;
        return false;
    }

    /// <summary>Repetitions until a bound is reached; null where there is none to reach. A frame counts the repetition that it returns from.</summary>
    private int? DistanceToBound(Frame frame)
    {
        AutomatonNode node = _automaton[frame.Node];
        if (node.Kind != NodeKind.Repeat || frame.Count < 0 || (node.Max == int.MaxValue && frame.Count >= node.Min))
            return null;
        return (frame.Count < node.Min ? node.Min : node.Max) - frame.Count;
    }

    /// <summary>The configuration of this epoch that equals one of an earlier epoch.</summary>
    public Configuration Import(Configuration old)
    {
        lock (_gate)
        {
            Frame Copy(Frame frame) => FrameOf(frame.Node, frame.Count, frame.Parent is null ? null : Copy(frame.Parent), frame.Nesting);
            Frame[] items = [.. old.Items.Select(Copy).OrderBy(f => f.Id)];
            return Intern(items, old.CanEnd, old.PlainTextCapacity, old.IsPlainTextOnly);
        }
    }

    private Configuration?[] Expand(Configuration configuration)
    {
        lock (_gate)
        {
            if (configuration.Row is { } known)
                return known;
            if (_configurations.Count > MaxConfigurations || _frames.Count > MaxFrames)
                Reset();
            int classes = _automaton.ClassCount;
            Span<bool> boundary = stackalloc bool[257];
            List<(ByteEdge Edge, Frame Item)> edges = [];
            foreach (Frame item in configuration.Items)
                foreach (ByteEdge edge in _automaton[item.Node].Edges)
                {
                    boundary[edge.Low] = true;
                    boundary[edge.High + 1] = true;
                    edges.Add((edge, item));
                }
            Configuration?[] row = new Configuration?[classes];
            edges.Sort((a, b) => a.Edge.Low.CompareTo(b.Edge.Low));
            List<Frame> targets = [];
            List<(ByteEdge Edge, Frame Item)> open = []; // the edges that the class at hand takes
            Dictionary<Frame, Configuration?> alone = []; // where many edges lead to one place, as those of a large set of characters do
            int next = 0;
            for (int c = 0; c < classes; c++)
            {
                if (c > 0 && !boundary[c])
                {
                    row[c] = row[c - 1];
                    continue;
                }
                open.RemoveAll(e => e.Edge.High < c);
                for (; next < edges.Count && edges[next].Edge.Low <= c; next++)
                    open.Add(edges[next]);
                targets.Clear();
                foreach ((ByteEdge edge, Frame item) in open)
                    targets.Add(FrameOf(edge.Target, 0, item.Parent, item.Nesting));
                if (targets.Count != 1)
                    row[c] = targets.Count == 0 ? null : Close(targets);
                else if (!alone.TryGetValue(targets[0], out row[c]))
                    alone.Add(targets[0], row[c] = Close(targets));
            }
            configuration.Flow = FlowOf(configuration, row);
            configuration.Row = row;
            return row;
        }
    }

    /// <summary>Finds the successor that most groups of bytes share; itself when it is among them.</summary>
    private Flow FlowOf(Configuration configuration, Configuration?[] row)
    {
        ReadOnlySpan<byte> classOf = _automaton.ClassOfByte;
        Configuration?[] successorOf = new Configuration?[64];
        ulong mixed = 0, seen = 0;
        for (int b = 0; b < 256; b++)
        {
            int group = ByteGroups.IndexOf((byte)b);
            Configuration? successor = row[classOf[b]];
            if ((seen >> group & 1) == 0)
                successorOf[group] = successor;
            else if (!ReferenceEquals(successorOf[group], successor))
                mixed |= 1UL << group;
            seen |= 1UL << group;
        }
        ulong best = 0;
        Configuration? to = null;
        ulong counted = mixed;
        for (int group = 0; group < 64; group++)
        {
            if (successorOf[group] is not { } successor || (counted >> group & 1) != 0)
                continue;
            ulong groups = 0;
            for (int other = group; other < 64; other++)
                if (ReferenceEquals(successorOf[other], successor))
                    groups |= 1UL << other;
            groups &= ~mixed;
            counted |= groups;
            bool loops = ReferenceEquals(successor, configuration);
            if (loops || BitOperations.PopCount(groups) > BitOperations.PopCount(best))
                (best, to) = (groups, successor);
            if (loops)
                break;
        }
        return best == 0 ? Flow.None : ReferenceEquals(to, configuration) ? new(best, to, int.MaxValue, Ends: true) : new(best, to, 1, Ends: false);
    }

    /// <summary>Whether any <paramref name="needed"/> bytes of a configuration's flow groups can be read from it on.</summary>
    public bool FlowsFor(Configuration configuration, Flow flow, int needed)
    {
        if (flow.Length >= needed || flow.Ends)
            return flow.Length >= needed;
        int length = Math.Max(needed, ProbedFlow); // further than asked, so that few subtrees ask again
        int reached = 0;
        bool ends = false;
        for (Configuration? at = configuration; reached < length && !ends;)
        {
            RowOf(at);
            Flow here = at.Flow;
            if (here.To is null || (flow.Groups & ~here.Groups) != 0)
                ends = true;
            else if (ReferenceEquals(here.To, at))
                (reached, ends) = (int.MaxValue, true);
            else
                (at, reached) = (here.To, reached + 1);
        }
        configuration.Flow = flow with { Length = reached, Ends = ends };
        return reached >= needed;
    }

    /// <summary>Whether every character of plain JSON string content leads back here, as in any text without a bound on its length.</summary>
    public bool StaysOnPlainText(Configuration configuration)
    {
        Configuration? Through(Configuration? from, int low, int high)
        {
            Configuration?[]? row = from is null ? null : RowOf(from);
            Configuration? target = row?[_automaton.ClassOfByte[low]];
            for (int b = low; b <= high && target is not null; b++)
                if (!ReferenceEquals(row![_automaton.ClassOfByte[b]], target))
                    return null;
            return target;
        }
        bool Returns(int low, int high, int secondLow, int secondHigh, int more)
        {
            Configuration? at = Through(Through(configuration, low, high), secondLow, secondHigh);
            for (; more > 0; more--)
                at = Through(at, 0x80, 0xBF);
            return ReferenceEquals(at, configuration);
        }
        return ReferenceEquals(Through(configuration, ' ', '!'), configuration) && ReferenceEquals(Through(configuration, '#', '['), configuration)
            && ReferenceEquals(Through(configuration, ']', 0x7F), configuration)
            && Returns(0xC2, 0xDF, 0x80, 0xBF, 0) && Returns(0xE0, 0xE0, 0xA0, 0xBF, 1) && Returns(0xE1, 0xEC, 0x80, 0xBF, 1) && Returns(0xED, 0xED, 0x80, 0x9F, 1)
            && Returns(0xEE, 0xEF, 0x80, 0xBF, 1) && Returns(0xF0, 0xF0, 0x90, 0xBF, 2) && Returns(0xF1, 0xF3, 0x80, 0xBF, 2) && Returns(0xF4, 0xF4, 0x80, 0x8F, 2);
    }

    /// <summary>Forgets all rows and masks. Whoever still holds an old configuration keeps it alone alive, not what it led to.</summary>
    private void Reset()
    {
        foreach (Configuration configuration in _configurations.Values)
        {
            configuration.Row = null;
            configuration.Flow = Flow.None;
            configuration.Mask = null;
        }
        _configurations.Clear();
        _frames.Clear();
        _epoch++;
    }

    private Frame FrameOf(int node, int count, Frame? parent, int nesting)
    {
        var key = (node, count, parent?.Id ?? -1);
        if (!_frames.TryGetValue(key, out Frame? frame))
            _frames.Add(key, frame = new(_nextFrameId++, node, count, parent, nesting));
        return frame;
    }

    /// <summary>Follows everything that reads nothing. Null when no text can go on or end from there.</summary>
    private Configuration? Close(List<Frame> seeds)
    {
        _seen.Clear();
        _pending.Clear();
        _items.Clear();
        bool canEnd = false;
        int capacity = 0;
        bool plainTextOnly = true;
        foreach (Frame seed in seeds)
            Visit(seed);
        while (_pending.TryPop(out Frame? frame))
        {
            if (_seen.Count > MaxPositions)
                throw new ConstraintException("grammar", $"is too ambiguous: a text can be read in more than {MaxPositions} ways at once");
            AutomatonNode node = _automaton[frame.Node];
            switch (node.Kind)
            {
                case NodeKind.Bytes:
                    _items.Add(frame);
                    break;
                case NodeKind.Choice:
                    foreach (int target in node.Targets)
                        Visit(FrameOf(target, 0, frame.Parent, frame.Nesting));
                    break;
                case NodeKind.Call:
                    Frame after = FrameOf(node.Next, 0, frame.Parent, frame.Nesting);
                    Visit(FrameOf(node.Body, 0, after, frame.Nesting + (node.Nests ? 1 : 0)));
                    break;
                case NodeKind.Repeat:
                    if (node.RepeatsPlainText)
                    {
                        capacity = Math.Max(capacity, node.Max == int.MaxValue || frame.Count < 0 ? int.MaxValue : node.Max - frame.Count);
                        plainTextOnly &= node.PlainTextEndsHere;
                    }
                    FollowRepeat(frame, node);
                    break;
                case NodeKind.End when frame.Parent is null:
                    canEnd = true;
                    break;
                case NodeKind.End:
                    Visit(frame.Parent);
                    break;
            }
        }
        if (_items.Count == 0 && !canEnd)
            return null;
        _items.Sort((a, b) => a.Id.CompareTo(b.Id));
        plainTextOnly &= _items.TrueForAll(item => _automaton[item.Node] is { IsPlainTextCharacter: true } or { RefusesPlainText: true });
        return Intern([.. _items], canEnd, capacity, plainTextOnly);
    }

    private void FollowRepeat(Frame frame, AutomatonNode node)
    {
        if (frame.Count >= node.Min || frame.Count == Frame.FarFromBounds)
            Visit(FrameOf(node.Next, 0, frame.Parent, frame.Nesting));
        if (frame.Count >= node.Max)
            return;
        // Without an upper bound, counts past the minimum are all alike: the automaton stays finite.
        int count = frame.Count < 0 ? frame.Count : node.Max == int.MaxValue ? Math.Min(frame.Count + 1, node.Min) : frame.Count + 1;
        Frame after = FrameOf(frame.Node, count, frame.Parent, frame.Nesting);
        Visit(FrameOf(node.Body, 0, after, frame.Nesting + (node.Nests ? 1 : 0)));
    }

    /// <summary>Positions from which the text could not be finished within the nesting limit are dropped, so no dead end is ever entered.</summary>
    private void Visit(Frame frame)
    {
        if (frame.Nesting + _automaton.NeedAt(frame.Node, frame.Count) <= _automaton.MaxNesting && _seen.Add(frame))
            _pending.Push(frame);
    }

    private Configuration Intern(Frame[] items, bool canEnd, int capacity, bool plainTextOnly)
    {
        ItemsKey key = new(items, canEnd);
        if (!_configurations.TryGetValue(key, out Configuration? configuration))
            _configurations.Add(key, configuration = new(items, canEnd, capacity, plainTextOnly));
        return configuration;
    }

    private readonly struct ItemsKey(Frame[] items, bool canEnd) : IEquatable<ItemsKey>
    {
        private readonly Frame[] _items = items;
        private readonly bool _canEnd = canEnd;

        public bool Equals(ItemsKey other) => _canEnd == other._canEnd && _items.AsSpan().SequenceEqual(other._items);

        public override bool Equals(object? obj) => obj is ItemsKey other && Equals(other);

        public override int GetHashCode()
        {
            HashCode hash = new();
            foreach (Frame item in _items)
                hash.Add(item.Id);
            return hash.ToHashCode();
        }
    }
}
