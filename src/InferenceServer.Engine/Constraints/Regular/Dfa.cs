// Deterministic finite automata over code points: what patterns, formats, key sets and number bounds become before they are
// spelled as bytes. Immutable after construction, so they can be shared by threads. Every operation is bounded by MaxStates.

using System.Text;

namespace InferenceServer.Engine.Constraints.Regular;

/// <summary>An automaton grew past <see cref="Dfa.MaxStates"/>: a constraint that would take too much memory or time.</summary>
internal sealed class AutomatonTooLargeException(string what) : Exception(what);

internal sealed class Dfa
{
    public const int Dead = -1;

    /// <summary>A pattern of this size already costs tens of megabytes of lazily built configurations.</summary>
    public const int MaxStates = 20_000;

    private readonly int[] _intervalStarts; // interval k covers code points [_intervalStarts[k], _intervalStarts[k + 1])
    private readonly int[] _intervalClass;
    private readonly int[] _next;           // [state * ClassCount + class]
    private readonly bool[] _accepting;

    internal Dfa(int[] intervalStarts, int[] intervalClass, int classCount, int[] next, bool[] accepting)
    {
        _intervalStarts = intervalStarts;
        _intervalClass = intervalClass;
        ClassCount = classCount;
        _next = next;
        _accepting = accepting;
        Trim();
    }

    /// <summary>All strings of code points.</summary>
    public static Dfa AllStrings { get; } = Build(0, [CodePointSet.All], (state, _) => state, _ => true);

    /// <summary>State 0 is the start; an automaton always has one, even when it accepts nothing.</summary>
    public int StateCount => _accepting.Length;

    public int ClassCount { get; }

    public bool IsEmpty => !_accepting[0] && Enumerable.Range(0, ClassCount).All(k => _next[k] == Dead);

    public bool IsAccepting(int state) => _accepting[state];

    public int Next(int state, int codePoint) => _next[state * ClassCount + _intervalClass[IntervalOf(codePoint)]];

    public bool Accepts(string text)
    {
        int state = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            state = Next(state, rune.Value);
            if (state == Dead)
                return false;
        }
        return _accepting[state];
    }

    /// <summary>The code points of each class; no state tells those of one class apart.</summary>
    public CodePointSet[] ClassSets()
    {
        List<CodePointRange>[] ranges = [.. Enumerable.Range(0, ClassCount).Select(_ => new List<CodePointRange>())];
        for (int k = 0; k < _intervalStarts.Length; k++)
        {
            int end = k + 1 < _intervalStarts.Length ? _intervalStarts[k + 1] : CodePointSet.MaxCodePoint + 1;
            ranges[_intervalClass[k]].Add(new(_intervalStarts[k], end - 1));
        }
        return [.. ranges.Select(CodePointSet.FromRanges)];
    }

    /// <summary>The targets of a state by class.</summary>
    public ReadOnlySpan<int> TargetsOf(int state) => _next.AsSpan(state * ClassCount, ClassCount);

    /// <summary>The length of the shortest string that each state accepts; int.MaxValue where there is none.</summary>
    public int[] DistancesToEnd()
    {
        List<int>?[] sources = Sources();
        int[] distances = [.. _accepting.Select(accepts => accepts ? 0 : int.MaxValue)];
        Queue<int> pending = new(Enumerable.Range(0, StateCount).Where(state => _accepting[state]));
        while (pending.TryDequeue(out int state))
            foreach (int source in sources[state] ?? [])
                if (distances[source] == int.MaxValue)
                {
                    distances[source] = distances[state] + 1;
                    pending.Enqueue(source);
                }
        return distances;
    }

    /// <summary>The states that lead to each.</summary>
    private List<int>?[] Sources()
    {
        List<int>?[] sources = new List<int>?[StateCount];
        for (int i = 0; i < _next.Length; i++)
            if (_next[i] != Dead)
                (sources[_next[i]] ??= []).Add(i / ClassCount);
        return sources;
    }

    /// <summary>Which states accept whatever follows.</summary>
    public bool[] UniversalStates()
    {
        int[] nonEmpty = [.. ClassSets().Select((set, k) => (set, k)).Where(p => !p.set.IsEmpty).Select(p => p.k)];
        bool[] universal = [.. _accepting];
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int state = 0; state < StateCount; state++)
                if (universal[state] && Array.Exists(nonEmpty, k => _next[(state * ClassCount) + k] is var target && (target == Dead || !universal[target])))
                {
                    universal[state] = false;
                    changed = true;
                }
        }
        return universal;
    }

    /// <summary>Explores states from a start; <paramref name="step"/> gets the index of the symbol's set and returns null for no transition.</summary>
    public static Dfa Build<TState>(TState start, IReadOnlyList<CodePointSet> symbols, Func<TState, int, TState?> step, Func<TState, bool> accept)
        where TState : struct
    {
        (int[] starts, int[] classOf, int deadClass) = Partition(symbols);
        int classCount = deadClass + 1;
        Dictionary<TState, int> ids = new() { [start] = 0 };
        List<TState> states = [start];
        List<int> next = [];
        for (int id = 0; id < states.Count; id++)
        {
            for (int symbol = 0; symbol < symbols.Count; symbol++)
            {
                if (step(states[id], symbol) is not TState target)
                {
                    next.Add(Dead);
                    continue;
                }
                if (!ids.TryGetValue(target, out int targetId))
                {
                    if (states.Count >= MaxStates)
                        throw new AutomatonTooLargeException($"needs more than {MaxStates} states");
                    ids.Add(target, targetId = states.Count);
                    states.Add(target);
                }
                next.Add(targetId);
            }
            next.Add(Dead);
        }
        return new(starts, classOf, classCount, [.. next], [.. states.Select(accept)]);
    }

    /// <summary>Exactly the given strings.</summary>
    public static Dfa FromWords(IEnumerable<string> words)
    {
        List<Dictionary<int, int>> edges = [[]];
        List<bool> accepting = [false];
        foreach (string word in words)
        {
            int state = 0;
            foreach (Rune rune in word.EnumerateRunes())
            {
                if (!edges[state].TryGetValue(rune.Value, out int target))
                {
                    if (edges.Count >= MaxStates)
                        throw new AutomatonTooLargeException($"needs more than {MaxStates} states");
                    edges[state].Add(rune.Value, target = edges.Count);
                    edges.Add([]);
                    accepting.Add(false);
                }
                state = target;
            }
            accepting[state] = true;
        }
        int[] symbols = [.. edges.SelectMany(e => e.Keys).Distinct().Order()];
        return Build(0, [.. symbols.Select(symbol => CodePointSet.Of(symbol))],
            (state, symbol) => edges[state].TryGetValue(symbols[symbol], out int target) ? target : null, state => accepting[state]);
    }

    /// <summary>Strings of <paramref name="min"/> to <paramref name="max"/> code points (null for no upper bound).</summary>
    public static Dfa OfLength(int min, int? max) =>
        Build(0, [CodePointSet.All], (count, _) => max is { } most ? count < most ? count + 1 : null : Math.Min(count + 1, min), count => count >= min);

    public Dfa Intersect(Dfa other) => Combine(other, (a, b) => a && b);

    public Dfa Union(Dfa other) => Combine(other, (a, b) => a || b);

    public Dfa Except(Dfa other) => Combine(other, (a, b) => a && !b);

    public Dfa Complement() => AllStrings.Except(this);

    /// <summary>The smallest automaton of the same language.</summary>
    public Dfa Minimize()
    {
        int[] blocks = DfaMinimizer.Blocks(_next, _accepting, ClassCount);
        int[] member = new int[StateCount + 1]; // one state of each block; the dead state may have one of its own
        for (int state = StateCount - 1; state >= 0; state--)
            member[blocks[state]] = state;
        CodePointSet[] symbols = ClassSets();
        int[] nonEmpty = [.. Enumerable.Range(0, ClassCount).Where(k => !symbols[k].IsEmpty)];
        return Build(blocks[0], [.. nonEmpty.Select(k => symbols[k])],
            (block, symbol) => _next[(member[block] * ClassCount) + nonEmpty[symbol]] is >= 0 and int target ? blocks[target] : null, block => _accepting[member[block]]);
    }

    /// <summary>The product automaton; <paramref name="accept"/> must be false for two false arguments.</summary>
    private Dfa Combine(Dfa other, Func<bool, bool, bool> accept)
    {
        int[] starts = [.. _intervalStarts.Concat(other._intervalStarts).Distinct().Order()];
        int[] classOf = new int[starts.Length];
        Dictionary<(int, int), int> pairIds = [];
        List<(int Mine, int Theirs)> pairs = [];
        for (int k = 0; k < starts.Length; k++)
        {
            var pair = (_intervalClass[IntervalOf(starts[k])], other._intervalClass[other.IntervalOf(starts[k])]);
            if (!pairIds.TryGetValue(pair, out classOf[k]))
            {
                pairIds.Add(pair, classOf[k] = pairs.Count);
                pairs.Add(pair);
            }
        }
        Dictionary<(int, int), int> ids = new() { [(0, 0)] = 0 };
        List<(int Mine, int Theirs)> states = [(0, 0)];
        List<int> next = [];
        for (int id = 0; id < states.Count; id++)
        {
            foreach ((int mineClass, int theirsClass) in pairs)
            {
                int mine = states[id].Mine == Dead ? Dead : _next[states[id].Mine * ClassCount + mineClass];
                int theirs = states[id].Theirs == Dead ? Dead : other._next[states[id].Theirs * other.ClassCount + theirsClass];
                if ((mine == Dead && !accept(false, true)) || (mine == Dead && theirs == Dead) || (theirs == Dead && !accept(true, false)))
                {
                    next.Add(Dead);
                    continue;
                }
                if (!ids.TryGetValue((mine, theirs), out int target))
                {
                    if (states.Count >= MaxStates)
                        throw new AutomatonTooLargeException($"needs more than {MaxStates} states");
                    ids.Add((mine, theirs), target = states.Count);
                    states.Add((mine, theirs));
                }
                next.Add(target);
            }
        }
        bool[] accepting = [.. states.Select(s => accept(s.Mine != Dead && _accepting[s.Mine], s.Theirs != Dead && other._accepting[s.Theirs]))];
        return new(starts, classOf, pairs.Count, [.. next], accepting);
    }

    /// <summary>Cuts the symbol sets (disjoint) into intervals; the class after the last symbol is the one of all other code points.</summary>
    private static (int[] Starts, int[] ClassOf, int DeadClass) Partition(IReadOnlyList<CodePointSet> symbols)
    {
        List<(int Start, int Class)> intervals = [];
        List<(int Low, int High, int Symbol)> ranges = [];
        for (int symbol = 0; symbol < symbols.Count; symbol++)
            foreach (CodePointRange range in symbols[symbol].Ranges)
                ranges.Add((range.Low, range.High, symbol));
        ranges.Sort();
        int next = 0;
        foreach ((int low, int high, int symbol) in ranges)
        {
            if (low > next)
                intervals.Add((next, symbols.Count));
            intervals.Add((low, symbol));
            next = high + 1;
        }
        if (next <= CodePointSet.MaxCodePoint)
            intervals.Add((next, symbols.Count));
        return ([.. intervals.Select(i => i.Start)], [.. intervals.Select(i => i.Class)], symbols.Count);
    }

    private int IntervalOf(int codePoint)
    {
        int index = Array.BinarySearch(_intervalStarts, codePoint);
        return index >= 0 ? index : ~index - 1;
    }

    /// <summary>Redirects transitions into states from which nothing can be accepted to <see cref="Dead"/>.</summary>
    private void Trim()
    {
        List<int>?[] sources = Sources();
        bool[] live = [.. _accepting];
        Stack<int> pending = new(Enumerable.Range(0, StateCount).Where(s => live[s]));
        while (pending.TryPop(out int state))
            foreach (int source in sources[state] ?? [])
                if (!live[source])
                {
                    live[source] = true;
                    pending.Push(source);
                }
        for (int i = 0; i < _next.Length; i++)
            if (_next[i] != Dead && !live[_next[i]])
                _next[i] = Dead;
    }
}
