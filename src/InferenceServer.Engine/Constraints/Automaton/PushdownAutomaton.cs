// A grammar as a byte-level pushdown automaton: nodes joined by byte edges, choices and calls. Immutable, shared by threads.
// Always holds: byte edges are given in classes (bytes that no edge tells apart), so rows of transitions are short.

using System.Numerics;

namespace InferenceServer.Engine.Constraints.Automaton;

internal enum NodeKind : byte
{
    /// <summary>Reads one byte.</summary>
    Bytes,

    /// <summary>Goes to any of its targets without reading.</summary>
    Choice,

    /// <summary>Runs Body with Next on the stack.</summary>
    Call,

    /// <summary>Runs Body Min to Max times, counting on the stack, then goes to Next.</summary>
    Repeat,

    /// <summary>Runs each body at most once in any order, keeping the set of them on the stack, then goes to Next, or to Body where it ran none.</summary>
    Members,

    /// <summary>
    /// A state of a counted terminal: runs a body, which reads a character, and comes to the body's goal with one more on its count. May go to Next where that is set.
    /// </summary>
    Step,

    /// <summary>Returns to the top of the stack; with an empty stack, the constraint is complete.</summary>
    End,
}

/// <summary>Low and High are bytes while nodes are built and byte classes in the finished automaton.</summary>
/// <param name="Rest">What must be read of a character after this byte, before the target is reached; -1 for nothing.</param>
internal readonly record struct ByteEdge(int Low, int High, int Target, int Rest = -1);

internal sealed class AutomatonNode
{
    public required NodeKind Kind { get; init; }

    public ByteEdge[] Edges { get; set; } = [];

    public int[] Targets { get; set; } = [];

    public int Body { get; set; } = -1;

    public int Next { get; set; } = -1;

    public int Min { get; init; }

    public int Max { get; init; } = int.MaxValue;

    /// <summary>Of a members node: a bit each for the bodies that must run. Targets has all bodies, then all of them again with a separator before.</summary>
    public long Required { get; init; }

    /// <summary>Whether the last body of a members node may run any number of times.</summary>
    public bool HasExtra { get; init; }

    /// <summary>Of a step: where each of Targets leads, and how many characters are needed from there at least.</summary>
    public (int Node, int Distance)[] Goals { get; set; } = [];

    /// <summary>Whether what this node pushes counts towards the nesting limit.</summary>
    public bool Nests { get; init; }

    /// <summary>A repeat node over single characters that include all of plain text (JSON string content without escapes).</summary>
    public bool RepeatsPlainText { get; init; }

    /// <summary>Whether plain text cannot go on once this repetition is left.</summary>
    public bool PlainTextEndsHere { get; set; }

    /// <summary>The node that starts a character of such a repetition.</summary>
    public bool IsPlainTextCharacter { get; set; }

    /// <summary>No token that is plain string content (no quote, backslash or control character) can begin here.</summary>
    public bool RefusesPlainText { get; set; }

    /// <summary>Levels of nesting needed to get from here to the end of the rule; <see cref="PushdownAutomaton.Unproductive"/> when no text does.</summary>
    public int Need { get; set; } = PushdownAutomaton.Unproductive;
}

internal sealed class PushdownAutomaton
{
    public const int Unproductive = int.MaxValue / 2;

    private readonly AutomatonNode[] _nodes;
    private readonly RestEdge[][] _rests;
    private readonly byte[] _classOf = new byte[256];

    public PushdownAutomaton(
        List<AutomatonNode> nodes, IReadOnlyList<RestEdge[]> rests, int start, int maxNesting, IReadOnlyCollection<string> controlTokens, CancellationToken cancellation)
    {
        _nodes = [.. nodes];
        _rests = [.. rests.Select(rest => (RestEdge[])[.. rest])];
        Start = start;
        MaxNesting = maxNesting;
        ControlTokens = controlTokens;
        ClassCount = NumberClasses();
        ComputeNeeds(cancellation);
        foreach (AutomatonNode node in _nodes)
            if (node.Kind == NodeKind.Bytes)
                node.RefusesPlainText = node.Edges.All(e => IsOutsidePlainText(e.Low, e.High));
        foreach (AutomatonNode node in _nodes)
            if (node.RepeatsPlainText)
                node.PlainTextEndsHere = _nodes[node.Next].RefusesPlainText;
    }

    public int Start { get; }

    public int ClassCount { get; }

    /// <summary>About its memory: a node and its edges.</summary>
    public long Bytes => _nodes.Sum(node => 100L + (16 * node.Edges.Length) + (4 * node.Targets.Length)) + _rests.Sum(rest => 24L + (12 * rest.Length));

    /// <summary>The later bytes of characters, by the numbers that edges have.</summary>
    public IReadOnlyList<RestEdge[]> Rests => _rests;

    public int MaxNesting { get; }

    /// <summary>Names of control tokens that the grammar spells; a vocabulary may lack some.</summary>
    public IReadOnlyCollection<string> ControlTokens { get; }

    public AutomatonNode this[int node] => _nodes[node];

    /// <summary>The class of each byte; length 256.</summary>
    public ReadOnlySpan<byte> ClassOfByte => _classOf;

    private int NumberClasses()
    {
        // Bytes that plain string content never holds get boundaries of their own: see IsOutsidePlainText.
        HashSet<int> starts = [0, 0x20, '"', '"' + 1, '\\', '\\' + 1, ControlTokenBytes.Close];
        foreach ((int low, int high) in _nodes.SelectMany(node => node.Edges).Select(edge => (edge.Low, edge.High))
            .Concat(_rests.SelectMany(rest => rest).Select(edge => (edge.Low, edge.High))))
        {
            starts.Add(low);
            starts.Add(high + 1);
        }
        int current = -1;
        for (int b = 0; b < 256; b++)
        {
            if (starts.Contains(b))
                current++;
            _classOf[b] = (byte)current;
        }
        foreach (AutomatonNode node in _nodes)
            for (int i = 0; i < node.Edges.Length; i++)
                node.Edges[i] = node.Edges[i] with { Low = _classOf[node.Edges[i].Low], High = _classOf[node.Edges[i].High] };
        foreach (RestEdge[] rest in _rests)
            for (int i = 0; i < rest.Length; i++)
                rest[i] = rest[i] with { Low = _classOf[rest[i].Low], High = _classOf[rest[i].High] };
        return current + 1;
    }

    private bool IsOutsidePlainText(int lowClass, int highClass)
    {
        for (int b = 0; b < 256; b++)
            if (_classOf[b] >= lowClass && _classOf[b] <= highClass && b >= 0x20 && b != '"' && b != '\\' && b < ControlTokenBytes.Close)
                return false;
        return true;
    }

    /// <summary>A fixpoint over all nodes. Nodes were made back to front, so ascending passes settle all but loops at once.</summary>
    private void ComputeNeeds(CancellationToken cancellation)
    {
        for (bool changed = true; changed;)
        {
            cancellation.ThrowIfCancellationRequested();
            changed = false;
            foreach (AutomatonNode node in _nodes)
            {
                int need = NeedOf(node, node.Min > 0);
                if (need < node.Need)
                {
                    node.Need = need;
                    changed = true;
                }
            }
        }
    }

    /// <summary>Levels of nesting a position needs to finish its rule; a repeat that has its minimum needs only what follows.</summary>
    public int NeedAt(int node, long count)
    {
        AutomatonNode at = _nodes[node];
        return at.Kind == NodeKind.Repeat ? NeedOf(at, count != Frame.FarFromBounds && count < at.Min) : at.Need;
    }

    private int NeedOf(AutomatonNode node, bool needsBody)
    {
        int nesting = node.Nests ? 1 : 0;
        switch (node.Kind)
        {
            case NodeKind.End:
                return 0;
            case NodeKind.Bytes:
                return node.Edges.Length == 0 ? Unproductive : node.Edges.Min(e => _nodes[e.Target].Need);
            case NodeKind.Choice:
                return node.Targets.Length == 0 ? Unproductive : node.Targets.Min(t => _nodes[t].Need);
            case NodeKind.Members:
                return NeedOfMembers(node);
            case NodeKind.Step:
                return Math.Min(node.Next < 0 ? Unproductive : _nodes[node.Next].Need, node.Goals.Select(goal => _nodes[goal.Node].Need).DefaultIfEmpty(Unproductive).Min());
            case NodeKind.Repeat when !needsBody:
                return _nodes[node.Next].Need;
            default:
                return Math.Max(_nodes[node.Next].Need, Math.Min(Unproductive, nesting + _nodes[node.Body].Need));
        }
    }

    /// <summary>What the required bodies need, and as many of the cheapest others as the minimum asks for.</summary>
    private int NeedOfMembers(AutomatonNode node)
    {
        int count = node.Targets.Length / 2, required = BitOperations.PopCount((ulong)node.Required);
        if (node.Required == 0 && node.Min == 0)
            return Math.Min(_nodes[node.Body].Need, _nodes[node.Next].Need);
        int need = _nodes[node.Next].Need;
        List<int> optional = [];
        for (int i = 0; i < count; i++)
        {
            int body = _nodes[node.Targets[i]].Need;
            if ((node.Required >> i & 1) != 0)
                need = Math.Max(need, body);
            else
                optional.Add(body);
        }
        optional.Sort();
        int more = node.Min - required;
        return more <= 0 ? need : more > optional.Count ? Unproductive : Math.Max(need, optional[more - 1]);
    }
}
