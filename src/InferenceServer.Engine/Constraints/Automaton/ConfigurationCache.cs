// The automaton run lazily as a deterministic one: a configuration is everything the automaton can be doing after some text
// (nodes with their stacks), and each configuration learns once, when first needed, how text goes on from it.
// Thread-safe: outlooks and masks are published by one reference write after they are complete and read without a lock; making them takes the lock.
// Always holds: stacks and configurations are interned, so within one epoch equal ones are the same object; at most MaxConfigurations are kept.

using System.Numerics;

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class ConfigurationCache
{
    /// <summary>Around 500 bytes each with their outlooks; a schema's working set is a few hundred.</summary>
    private const int MaxConfigurations = 16_384;

    /// <summary>Around 100 bytes each.</summary>
    private const int MaxFrames = 16 * MaxConfigurations;

    /// <summary>Up to 2 kB each; all letters of Unicode in one class are some 300.</summary>
    private const int MaxReadings = 8_192;

    /// <summary>Grammars so ambiguous that a text can be read in more ways are given up, as they would stall the decode thread.</summary>
    private const int MaxPositions = 16_384;

    private readonly Lock _gate = new();
    private readonly PushdownAutomaton _automaton;
    private readonly Readings _readings;
    private readonly Dictionary<(int Node, int Remainder, long Count, int Parent), Frame> _frames = [];
    private readonly Dictionary<ItemsKey, Configuration> _configurations = [];
    private readonly Dictionary<Frame[], Destinations> _destinations = new(new SequenceComparer<Frame>());

    // Scratch of the thread that holds the gate.
    private readonly Stack<Frame> _pending = [];
    private readonly HashSet<Frame> _seen = [];
    private readonly List<Frame> _items = [];
    private int _nextFrameId;
    private volatile int _epoch;

    public ConfigurationCache(PushdownAutomaton automaton)
    {
        _automaton = automaton;
        _readings = new(automaton);
        lock (_gate)
            Initial = Close([FrameOf(automaton.Start, null, 0)])
                ?? throw new ConstraintException("grammar", "nothing can satisfy this constraint");
    }

    public Configuration Initial { get; }

    /// <summary>About the memory of what was met so far; masks are the vocabulary's.</summary>
    public long Bytes => (500L * _configurations.Count) + (100L * _frames.Count) + _readings.Bytes;

    /// <summary>The class of each byte; length 256.</summary>
    public ReadOnlySpan<byte> ClassOfByte => _automaton.ClassOfByte;

    /// <summary>Changes when the cache was emptied: configurations from before then should be imported.</summary>
    public int Epoch => _epoch;

    /// <summary>How text goes on from a configuration.</summary>
    public Outlook OutlookOf(Configuration configuration) => configuration.Outlook ?? LookOut(configuration);

    /// <summary>What each class of bytes leads to.</summary>
    public Reading?[] StepsOf(Reading reading) => _readings.StepsOf(reading);

    /// <summary>The configuration after the byte that led to a step.</summary>
    public Configuration Land(Destinations destinations, Reading step) => destinations.After(step) ?? MakeLanding(destinations, step);

    /// <summary>The configuration after some bytes; null where they may not come.</summary>
    public Configuration? After(Configuration configuration, ReadOnlySpan<byte> bytes)
    {
        ByteCursor cursor = new(this, configuration);
        foreach (byte b in bytes)
            if (!cursor.TryRead(b))
                return null;
        return cursor.Configuration;
    }

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
                long count = frame.Count;
                if (DistanceToBound(frame) is { } distance && distance >= least)
                {
                    nearest = Math.Min(nearest, distance);
                    count = frame.Count < _automaton[frame.Node].Min ? Frame.FarBelowMinimum : Frame.FarFromBounds;
                }
                return FrameOf(frame.Node, frame.Rest, count, parent, frame.Nesting);
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
        if (frame.Rest >= 0 || node.Kind != NodeKind.Repeat || frame.Count < 0 || (node.Max == int.MaxValue && frame.Count >= node.Min))
            return null;
        return (int)((frame.Count < node.Min ? node.Min : node.Max) - frame.Count);
    }

    /// <summary>The configuration of this epoch that equals one of an earlier epoch.</summary>
    public Configuration Import(Configuration old)
    {
        lock (_gate)
        {
            Frame Copy(Frame frame) => FrameOf(
                frame.Node, frame.Rest, frame.Count, frame.Parent is null ? null : Copy(frame.Parent), frame.Nesting);
            Frame[] items = [.. old.Items.Select(Copy).OrderBy(f => f.Id)];
            return Intern(items, old.CanEnd, old.PlainTextCapacity, old.IsPlainTextOnly);
        }
    }

    private Outlook LookOut(Configuration configuration)
    {
        lock (_gate)
        {
            if (configuration.Outlook is { } known)
                return known;
            if (_configurations.Count > MaxConfigurations || _frames.Count > MaxFrames || _readings.Count > MaxReadings)
                Reset();
            // In an order that does not depend on what was met before, so that what reads alike is found alike.
            var readers = configuration.Items.Select(item => (Item: item, Reader: item.Rest >= 0 ? (item.Rest, [item.Node]) : _readings.OfNode(item.Node)))
                .OrderBy(read => read.Reader.Item1).ToArray();
            List<int> items = [];
            List<Frame> ends = [];
            Dictionary<Frame, int> numbers = [];
            foreach ((Frame item, (int reader, int[] targets)) in readers)
            {
                items.Add(reader);
                foreach (int target in targets)
                {
                    Frame end = FrameOf(target, item.Parent, item.Nesting);
                    if (!IsWithinNesting(end))
                    {
                        items.Add(-1);
                        continue;
                    }
                    if (numbers.TryAdd(end, ends.Count))
                        ends.Add(end);
                    items.Add(numbers[end]);
                }
            }
            Outlook outlook = new(_readings.Of([.. items]), DestinationsOf([.. ends]));
            outlook.Flow = TextFlows.FlowOf(this, configuration, outlook);
            return configuration.Outlook = outlook;
        }
    }

    private Destinations DestinationsOf(Frame[] ends)
    {
        if (!_destinations.TryGetValue(ends, out Destinations? destinations))
            _destinations.Add(ends, destinations = new(ends));
        return destinations;
    }

    private Configuration MakeLanding(Destinations destinations, Reading step)
    {
        lock (_gate)
        {
            if (destinations.After(step) is { } known)
                return known;
            List<Frame> reached = [.. step.Ends.Select(end => destinations.Frames[end])];
            // Whoever is within a character has one end.
            for (int i = 0; i < step.Items.Length; i += 2)
            {
                Frame end = destinations.Frames[step.Items[i + 1]];
                reached.Add(FrameOf(end.Node, step.Items[i], 0, end.Parent, end.Nesting));
            }
            // Ends out of reach have no number, and within reach of nesting every position can be finished.
            Configuration landed = Close(reached) ?? throw new InvalidOperationException("a constraint came to a dead end");
            destinations.Remember(step, landed);
            return landed;
        }
    }

    /// <summary>Forgets all outlooks and masks. Whoever still holds an old configuration keeps it alone alive, not what it led to.</summary>
    private void Reset()
    {
        foreach (Configuration configuration in _configurations.Values)
        {
            configuration.Outlook = null;
            configuration.Mask = null;
        }
        _configurations.Clear();
        _destinations.Clear();
        _frames.Clear();
        _readings.Forget();
        _epoch++;
    }

    private Frame FrameOf(int node, Frame? parent, int nesting) => FrameOf(node, -1, 0, parent, nesting);

    private Frame FrameOf(int node, int rest, long count, Frame? parent, int nesting)
    {
        var key = (node, rest, count, parent?.Id ?? -1);
        if (!_frames.TryGetValue(key, out Frame? frame))
            _frames.Add(key, frame = new(_nextFrameId++, node, rest, count, parent, nesting));
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
                case var _ when frame.Rest >= 0:
                case NodeKind.Bytes:
                    _items.Add(frame);
                    break;
                case NodeKind.Choice:
                    foreach (int target in node.Targets)
                        Visit(FrameOf(target, frame.Parent, frame.Nesting));
                    break;
                case NodeKind.Call:
                    Frame after = FrameOf(node.Next, frame.Parent, frame.Nesting);
                    Visit(FrameOf(node.Body, after, frame.Nesting + (node.Nests ? 1 : 0)));
                    break;
                case NodeKind.Repeat:
                    if (node.RepeatsPlainText)
                    {
                        capacity = Math.Max(capacity, node.Max == int.MaxValue || frame.Count < 0 ? int.MaxValue : (int)(node.Max - frame.Count));
                        plainTextOnly &= node.PlainTextEndsHere;
                    }
                    FollowRepeat(frame, node);
                    break;
                case NodeKind.Members:
                    FollowMembers(frame, node);
                    break;
                case NodeKind.Step:
                    FollowStep(frame, node);
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
        plainTextOnly &= _items.TrueForAll(item => item.Rest < 0 && _automaton[item.Node] is { IsPlainTextCharacter: true } or { RefusesPlainText: true });
        return Intern([.. _items], canEnd, capacity, plainTextOnly);
    }

    private void FollowRepeat(Frame frame, AutomatonNode node)
    {
        if (frame.Count >= node.Min || frame.Count == Frame.FarFromBounds)
            Visit(FrameOf(node.Next, frame.Parent, frame.Nesting));
        if (frame.Count >= node.Max)
            return;
        // Without an upper bound, counts past the minimum are all alike: the automaton stays finite.
        long count = frame.Count < 0 ? frame.Count : node.Max == int.MaxValue ? Math.Min(frame.Count + 1, node.Min) : frame.Count + 1;
        Frame after = FrameOf(frame.Node, -1, count, frame.Parent, frame.Nesting);
        Visit(FrameOf(node.Body, after, frame.Nesting + (node.Nests ? 1 : 0)));
    }

    private void FollowStep(Frame frame, AutomatonNode node)
    {
        if (node.Next >= 0)
            Visit(FrameOf(node.Next, frame.Parent, frame.Nesting));
        for (int i = 0; i < node.Targets.Length; i++)
            if (frame.Count + 1 + node.Goals[i].Distance <= node.Max)
                Visit(FrameOf(node.Targets[i], FrameOf(node.Goals[i].Node, -1, frame.Count + 1, frame.Parent, frame.Nesting), frame.Nesting));
    }

    private void FollowMembers(Frame frame, AutomatonNode node)
    {
        const long any = 1L << Expression.Members.MaxMembers;
        int bodies = node.Targets.Length / 2, extra = node.HasExtra ? bodies - 1 : -1;
        bool isFirst = frame.Count == 0;
        int written = BitOperations.PopCount((ulong)(frame.Count & ~any));
        long missing = node.Required & ~frame.Count;
        if (missing == 0 && written >= node.Min)
            Visit(FrameOf(isFirst ? node.Body : node.Next, frame.Parent, frame.Nesting));
        for (int i = 0; i < bodies; i++)
        {
            long bit = i == extra ? 0 : 1L << i;
            bool isDue = bit == (missing & -missing);
            if ((frame.Count & bit) != 0 || ((node.Required & bit) != 0 && !isDue) || (i == extra && missing != 0))
                continue;
            // What is still required must fit.
            if (written + 1 + BitOperations.PopCount((ulong)(missing & ~bit)) > node.Max)
                continue;
            Frame after = FrameOf(frame.Node, -1, frame.Count | bit | any, frame.Parent, frame.Nesting);
            Visit(FrameOf(node.Targets[isFirst ? i : bodies + i], after, frame.Nesting));
        }
    }

    /// <summary>Positions from which the text could not be finished within the nesting limit are dropped, so no dead end is ever entered.</summary>
    private void Visit(Frame frame)
    {
        if (IsWithinNesting(frame) && _seen.Add(frame))
            _pending.Push(frame);
    }

    private bool IsWithinNesting(Frame frame) => frame.Nesting + _automaton.NeedAt(frame.Node, frame.Count) <= _automaton.MaxNesting;

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
