// Merges states that accept the same continuations (Hopcroft's partition refinement). Fewer states mean fewer masks: a loop entered in two ways is one.

namespace InferenceServer.Engine.Constraints.Regular;

internal sealed class DfaMinimizer
{
    private readonly int _stateCount; // with the dead state, which is the last
    private readonly int _classCount;
    private readonly int[] _next;
    private readonly List<int>?[] _sources; // by target * classes + class
    private readonly int[] _elements;       // states, block by block
    private readonly int[] _position;       // where each state stands in _elements
    private readonly int[] _blockOf;
    private readonly List<(int Start, int End, int Marked)> _blocks = [];

    private DfaMinimizer(ReadOnlySpan<int> next, int classCount)
    {
        _classCount = classCount;
        int dead = next.Length / classCount;
        _stateCount = dead + 1;
        _next = new int[_stateCount * classCount];
        _sources = new List<int>?[_stateCount * classCount];
        for (int i = 0; i < _next.Length; i++)
        {
            _next[i] = i >= next.Length || next[i] == Dfa.Dead ? dead : next[i];
            (_sources[(_next[i] * classCount) + (i % classCount)] ??= []).Add(i / classCount);
        }
        (_elements, _position, _blockOf) = (new int[_stateCount], new int[_stateCount], new int[_stateCount]);
    }

    /// <summary>The block of each state; states of one block are equivalent.</summary>
    /// <param name="next">Targets by state and class; <see cref="Dfa.Dead"/> for none.</param>
    /// <param name="accepting">By state.</param>
    /// <param name="classCount">Classes of symbols.</param>
    public static int[] Blocks(ReadOnlySpan<int> next, bool[] accepting, int classCount)
    {
        DfaMinimizer minimizer = new(next, classCount);
        minimizer.Refine(accepting);
        return minimizer._blockOf[..accepting.Length];
    }

    private void Refine(bool[] accepting)
    {
        int at = 0;
        foreach (bool wanted in (ReadOnlySpan<bool>)[true, false])
        {
            int start = at;
            for (int state = 0; state < _stateCount; state++)
            {
                if ((state < accepting.Length && accepting[state]) != wanted)
                    continue;
                _blockOf[state] = _blocks.Count;
                _position[state] = at;
                _elements[at++] = state;
            }
            if (at > start)
                _blocks.Add((start, at, start));
        }
        Queue<int> pending = new(Enumerable.Range(0, _blocks.Count));
        HashSet<int> queued = [.. pending];
        while (pending.TryDequeue(out int splitter))
        {
            queued.Remove(splitter);
            int[] members = _elements[_blocks[splitter].Start.._blocks[splitter].End];
            for (int symbol = 0; symbol < _classCount; symbol++)
                foreach ((int first, int second) in SplitBySources(members, symbol))
                    foreach (int block in (ReadOnlySpan<int>)[first, second])
                        if (queued.Add(block))
                            pending.Enqueue(block);
        }
    }

    /// <summary>Splits every block into the states that reach the members by a symbol and those that do not.</summary>
    private List<(int First, int Second)> SplitBySources(int[] members, int symbol)
    {
        HashSet<int> touched = [];
        foreach (int member in members)
            foreach (int source in _sources[(member * _classCount) + symbol] ?? [])
            {
                int block = _blockOf[source];
                (int start, int end, int marked) = _blocks[block];
                if (_position[source] < marked)
                    continue;
                Swap(_position[source], marked);
                _blocks[block] = (start, end, marked + 1);
                touched.Add(block);
            }
        List<(int, int)> splits = [];
        foreach (int block in touched)
        {
            (int start, int end, int marked) = _blocks[block];
            _blocks[block] = (start, marked, start);
            if (marked == end)
                continue;
            int made = _blocks.Count;
            _blocks.Add((marked, end, marked));
            for (int i = marked; i < end; i++)
                _blockOf[_elements[i]] = made;
            splits.Add((block, made));
        }
        return splits;
    }

    private void Swap(int a, int b)
    {
        (_elements[a], _elements[b]) = (_elements[b], _elements[a]);
        _position[_elements[a]] = a;
        _position[_elements[b]] = b;
    }
}
