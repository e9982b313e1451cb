// Sets of characters in bytes. The later bytes of characters are read by rests, which exist once per grammar, however many of its states read these characters.
// One use per grammar, on the thread that compiles the constraint.

using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>A range of bytes within a character; as in <see cref="ByteEdge"/>, bytes first and then classes.</summary>
/// <param name="Next">The rest that reads what follows; -1 when the character is whole.</param>
internal readonly record struct RestEdge(int Low, int High, int Next);

internal sealed class CharacterSpeller
{
    private readonly Dictionary<CodePointSet, RestEdge[]> _spellings = [];
    private readonly Dictionary<RestEdge[], int> _ids = new(new SequenceComparer<RestEdge>());
    private readonly List<RestEdge[]> _rests = [];

    public IReadOnlyList<RestEdge[]> Rests => _rests;

    /// <summary>Edges that read one character of the set as UTF-8, by ascending bytes. No two begin alike.</summary>
    public IEnumerable<ByteEdge> EdgesOf(CodePointSet set, int target)
    {
        if (!_spellings.TryGetValue(set, out RestEdge[]? spelling))
        {
            List<(byte Low, byte High)[]> sequences = [];
            foreach (CodePointRange range in set.Ranges)
                Utf8Ranges.Split(range.Low, range.High, sequences);
            _spellings.Add(set, spelling = Spell([.. sequences], 0));
        }
        return spelling.Select(edge => new ByteEdge(edge.Low, edge.High, target, edge.Next));
    }

    /// <param name="sequences">Ascending and disjoint, so that at every depth two ranges are equal or disjoint; equal up to the depth.</param>
    /// <param name="depth">The byte to begin with.</param>
    private RestEdge[] Spell(ReadOnlySpan<(byte Low, byte High)[]> sequences, int depth)
    {
        List<RestEdge> edges = [];
        for (int start = 0; start < sequences.Length;)
        {
            (byte low, byte high) = sequences[start][depth];
            int end = start + 1;
            while (end < sequences.Length && sequences[end][depth] == (low, high))
                end++;
            int rest = sequences[start].Length == depth + 1 ? -1 : RestOf(Spell(sequences[start..end], depth + 1));
            if (edges.Count > 0 && edges[^1].Next == rest && edges[^1].High + 1 == low)
                edges[^1] = edges[^1] with { High = high };
            else
                edges.Add(new(low, high, rest));
            start = end;
        }
        return [.. edges];
    }

    private int RestOf(RestEdge[] edges)
    {
        if (!_ids.TryGetValue(edges, out int id))
        {
            _ids.Add(edges, id = _rests.Count);
            _rests.Add(edges);
        }
        return id;
    }
}
