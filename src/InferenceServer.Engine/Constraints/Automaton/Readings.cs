// What positions of the automaton read, apart from where that leads: the many states of a pattern that read the same characters share one reading,
// so what the bytes of characters lead to is worked out once per grammar, not once per state.
// Thread-safe: steps are published by one reference write after they are complete and read without a lock; making them takes the lock.
// Always holds: until they are forgotten, equal readings are the same object.

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>
/// What may be read up to the end of a character, as from a configuration on, or what a byte of it led to. The places that are reached are ends, known by
/// their numbers in <see cref="Destinations"/>.
/// </summary>
internal sealed class Reading(int[] ends, int[] items)
{
    /// <summary>Ends that the last byte reached, ascending.</summary>
    public int[] Ends { get; } = ends;

    /// <summary>Readers of what comes next, each followed by the numbers of its ends; -1 for an end that nesting puts out of reach.</summary>
    public int[] Items { get; } = items;

    /// <summary>Whether nothing but the rest of a character may follow.</summary>
    public bool IsWithinCharacter => Ends.Length == 0;

    /// <summary>The end, where one end and nothing else was reached; else -1.</summary>
    public int OnlyEnd { get; } = ends.Length == 1 && items.Length == 0 ? ends[0] : -1;

    /// <summary>What each class of bytes leads to, null where it is refused; the array is null until someone needed it.</summary>
    public volatile Reading?[]? Steps;

    /// <summary>Groups of characters that lead to one step, which reaches an end; null until someone needed it.</summary>
    public volatile (ulong Groups, Reading Step)[]? Flows;
}

internal sealed class Readings
{
    /// <summary>Bytes that lead to one of the reader's ends, at once or by way of another reader that has one end.</summary>
    private readonly record struct ReaderEdge(int Low, int High, int Next, int End);

    private readonly record struct Reader(ReaderEdge[] Edges, int EndCount);

    private readonly Lock _gate = new();
    private readonly PushdownAutomaton _automaton;
    private readonly List<Reader> _readers = []; // the automaton's rests by their numbers, then what nodes read
    private readonly Dictionary<ReaderEdge[], int> _readerIds = new(new SequenceComparer<ReaderEdge>());
    private readonly Dictionary<int, (int Reader, int[] Targets)> _readerOfNode = [];
    private readonly Dictionary<int[], Reading> _readings = new(new SequenceComparer<int>());

    public Readings(PushdownAutomaton automaton)
    {
        _automaton = automaton;
        foreach (RestEdge[] rest in automaton.Rests)
            _readers.Add(new([.. rest.Select(edge => new ReaderEdge(edge.Low, edge.High, edge.Next, 0))], 1));
    }

    public int Count => _readings.Count;

    /// <summary>About their memory.</summary>
    public long Bytes => (100L + (8 * _automaton.ClassCount)) * _readings.Count;

    /// <summary>What a node reads, and the node at each of its ends. Nodes that tell the same bytes apart in the same way have the same reader.</summary>
    public (int Reader, int[] Targets) OfNode(int node)
    {
        lock (_gate)
        {
            if (_readerOfNode.TryGetValue(node, out var known))
                return known;
            List<int> targets = [];
            Dictionary<int, int> endOf = [];
            ByteEdge[] edges = _automaton[node].Edges;
            ReaderEdge[] made = new ReaderEdge[edges.Length];
            for (int i = 0; i < edges.Length; i++)
            {
                if (!endOf.TryGetValue(edges[i].Target, out int end))
                {
                    endOf.Add(edges[i].Target, end = targets.Count);
                    targets.Add(edges[i].Target);
                }
                made[i] = new(edges[i].Low, edges[i].High, edges[i].Rest, end);
            }
            if (!_readerIds.TryGetValue(made, out int id))
            {
                _readerIds.Add(made, id = _readers.Count);
                _readers.Add(new(made, targets.Count));
            }
            return _readerOfNode[node] = (id, [.. targets]);
        }
    }

    /// <param name="items">As <see cref="Reading.Items"/>.</param>
    public Reading Of(int[] items)
    {
        lock (_gate)
            return Intern([], items);
    }

    /// <summary>What each class of bytes leads to.</summary>
    public Reading?[] StepsOf(Reading reading) => reading.Steps ?? MakeSteps(reading);

    /// <summary>Lets go of all; who still holds one keeps what it leads to.</summary>
    public void Forget()
    {
        lock (_gate)
            _readings.Clear();
    }

    private Reading?[] MakeSteps(Reading reading)
    {
        lock (_gate)
        {
            if (reading.Steps is { } made)
                return made;
            Reading?[] steps = new Reading?[_automaton.ClassCount];
            Span<bool> boundary = stackalloc bool[257];
            List<ReaderEdge> edges = EdgesOf(reading);
            foreach (ReaderEdge edge in edges)
                (boundary[edge.Low], boundary[edge.High + 1]) = (true, true);
            List<ReaderEdge> open = []; // those that the class at hand takes
            int next = 0;
            for (int c = 0; c < steps.Length; c++)
            {
                if (c > 0 && !boundary[c])
                {
                    steps[c] = steps[c - 1];
                    continue;
                }
                open.RemoveAll(edge => edge.High < c);
                for (; next < edges.Count && edges[next].Low <= c; next++)
                    open.Add(edges[next]);
                steps[c] = open.Count == 0 ? null : After(open);
            }
            return reading.Steps = steps;
        }
    }

    /// <summary>The edges of all that a reading's items read, by their lowest byte and with the reading's ends.</summary>
    private List<ReaderEdge> EdgesOf(Reading reading)
    {
        List<ReaderEdge> edges = [];
        for (int at = 0; at < reading.Items.Length;)
        {
            Reader reader = _readers[reading.Items[at++]];
            foreach (ReaderEdge edge in reader.Edges)
                if (reading.Items[at + edge.End] is >= 0 and int end)
                    edges.Add(edge with { End = end });
            at += reader.EndCount;
        }
        edges.Sort((a, b) => a.Low.CompareTo(b.Low));
        return edges;
    }

    private Reading After(List<ReaderEdge> edges)
    {
        if (edges.Count == 1)
            return edges[0].Next < 0 ? Intern([edges[0].End], []) : Intern([], [edges[0].Next, edges[0].End]);
        SortedSet<int> ends = [.. edges.Where(edge => edge.Next < 0).Select(edge => edge.End)];
        SortedSet<(int Next, int End)> items = [.. edges.Where(edge => edge.Next >= 0).Select(edge => (edge.Next, edge.End))];
        return Intern([.. ends], [.. items.SelectMany(item => (int[])[item.Next, item.End])]);
    }

    private Reading Intern(int[] ends, int[] items)
    {
        int[] key = [ends.Length, .. ends, .. items];
        if (!_readings.TryGetValue(key, out Reading? reading))
            _readings.Add(key, reading = new(ends, items));
        return reading;
    }
}
