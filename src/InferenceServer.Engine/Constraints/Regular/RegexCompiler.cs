// Regular expression -> nondeterministic automaton (Thompson) -> deterministic automaton (subset construction), within limits.

namespace InferenceServer.Engine.Constraints.Regular;

internal sealed class RegexCompiler
{
    /// <summary>Repetition counts multiply; beyond this the subset construction would take longer than a request may wait.</summary>
    private const int MaxNfaStates = 50_000;

    /// <summary>Members of state sets visited by one subset construction: about a second's work.</summary>
    private const long MaxWork = 20_000_000;

    private enum EdgeKind : byte
    {
        None,
        Free,
        Begin,
        End,
    }

    private readonly record struct State(EdgeKind Kind, int First, int Second, int Symbol, int Target);

    private readonly List<State> _states = [];
    private readonly List<CodePointSet> _symbols = [];
    private readonly Dictionary<CodePointSet, int> _symbolIds = [];

    private RegexCompiler()
    {
    }

    /// <summary>The strings that the whole pattern matches from first to last character.</summary>
    /// <exception cref="RegexSyntaxException">Not part of the dialect.</exception>
    /// <exception cref="AutomatonTooLargeException">Past the limits.</exception>
    public static Dfa CompileWhole(string pattern) => new RegexCompiler().Compile(RegexParser.Parse(pattern));

    /// <summary>The strings in which the pattern matches somewhere, as JSON Schema's <c>pattern</c> means it.</summary>
    /// <exception cref="RegexSyntaxException">Not part of the dialect.</exception>
    /// <exception cref="AutomatonTooLargeException">Past the limits.</exception>
    public static Dfa CompileSearch(string pattern)
    {
        RegexNode any = new RegexNode.Repeat(new RegexNode.Chars(CodePointSet.All), 0, null);
        return new RegexCompiler().Compile(new RegexNode.Concat([any, RegexParser.Parse(pattern), any]));
    }

    private int Add(State state)
    {
        if (_states.Count >= MaxNfaStates)
            throw new AutomatonTooLargeException("repeats too much: its counts multiply past the limit");
        _states.Add(state);
        return _states.Count - 1;
    }

    private int AddFree(int first, int second = -1) => Add(new(EdgeKind.Free, first, second, -1, -1));

    /// <summary>Adds states that match the node and then go on at <paramref name="next"/>; returns the entry.</summary>
    private int Lower(RegexNode node, int next)
    {
        switch (node)
        {
            case RegexNode.Chars(var set):
                if (!_symbolIds.TryGetValue(set, out int symbol))
                {
                    _symbolIds.Add(set, symbol = _symbols.Count);
                    _symbols.Add(set);
                }
                return Add(new(EdgeKind.None, -1, -1, symbol, next));
            case RegexNode.Begin:
                return Add(new(EdgeKind.Begin, next, -1, -1, -1));
            case RegexNode.End:
                return Add(new(EdgeKind.End, next, -1, -1, -1));
            case RegexNode.Concat(var items):
                for (int i = items.Count - 1; i >= 0; i--)
                    next = Lower(items[i], next);
                return next;
            case RegexNode.Alternate(var items):
                int entry = Lower(items[^1], next);
                for (int i = items.Count - 2; i >= 0; i--)
                    entry = AddFree(Lower(items[i], next), entry);
                return entry;
            case RegexNode.Repeat(var body, int min, var max):
                if (max is { } most)
                {
                    int after = next;
                    for (int i = min; i < most; i++)
                        next = AddFree(Lower(body, next), after);
                }
                else
                {
                    int loop = AddFree(-1, next);
                    _states[loop] = _states[loop] with { First = Lower(body, loop) };
                    next = loop;
                }
                for (int i = 0; i < min; i++)
                    next = Lower(body, next);
                return next;
            default:
                throw new InvalidOperationException($"unknown node {node}");
        }
    }

    private Dfa Compile(RegexNode root)
    {
        int final = AddFree(-1);
        int start = Lower(root, final);
        (List<CodePointSet> alphabet, List<List<int>> membersOf) = SplitAlphabet();

        Dictionary<string, int> ids = [];
        List<(int[] Set, bool AtStart)> sets = [];
        long work = 0;
        int Intern(IEnumerable<int> seeds, bool atStart)
        {
            int[] set = Closure(seeds, atStart, atEnd: false);
            work += set.Length;
            string key = (atStart ? "^" : "") + string.Create(set.Length * 2, set, (span, s) =>
            {
                for (int i = 0; i < s.Length; i++)
                    (span[2 * i], span[2 * i + 1]) = ((char)(s[i] & 0xFFFF), (char)(s[i] >> 16));
            });
            if (!ids.TryGetValue(key, out int id))
            {
                if (sets.Count >= Dfa.MaxStates || work > MaxWork)
                    throw new AutomatonTooLargeException("is too complex: its automaton grows past the limit");
                ids.Add(key, id = sets.Count);
                sets.Add((set, atStart));
            }
            return id;
        }

        Intern([start], atStart: true);
        List<int> next = [];
        List<int>[] targetsBySymbol = [.. _symbols.Select(_ => new List<int>())];
        for (int id = 0; id < sets.Count; id++)
        {
            foreach (List<int> targets in targetsBySymbol)
                targets.Clear();
            foreach (int member in sets[id].Set)
                if (_states[member].Symbol >= 0)
                    targetsBySymbol[_states[member].Symbol].Add(_states[member].Target);
            foreach (List<int> symbols in membersOf)
            {
                int[] seeds = [.. symbols.SelectMany(s => targetsBySymbol[s])];
                next.Add(seeds.Length == 0 ? Dfa.Dead : Intern(seeds, atStart: false));
            }
        }
        bool[] accepting = [.. sets.Select(s => Closure(s.Set, s.AtStart, atEnd: true).Contains(final))];
        int classes = alphabet.Count;
        return Dfa.Build(0, alphabet, (state, k) => next[state * classes + k] is >= 0 and int target ? target : null, state => accepting[state]).Minimize();
    }

    /// <summary>Disjoint sets that tell all symbols apart, and which symbols contain each.</summary>
    private (List<CodePointSet> Alphabet, List<List<int>> MembersOf) SplitAlphabet()
    {
        SortedSet<int> starts = [];
        foreach (CodePointSet symbol in _symbols)
            foreach (CodePointRange range in symbol.Ranges)
            {
                starts.Add(range.Low);
                starts.Add(range.High + 1);
            }
        Dictionary<string, (List<CodePointRange> Ranges, List<int> Members)> bySignature = [];
        int[] cuts = [.. starts];
        for (int k = 0; k + 1 < cuts.Length; k++)
        {
            List<int> members = [.. Enumerable.Range(0, _symbols.Count).Where(s => _symbols[s].Contains(cuts[k]))];
            if (members.Count == 0)
                continue;
            string signature = string.Join(',', members);
            if (!bySignature.TryGetValue(signature, out var entry))
                bySignature.Add(signature, entry = ([], members));
            entry.Ranges.Add(new(cuts[k], cuts[k + 1] - 1));
        }
        return ([.. bySignature.Values.Select(v => CodePointSet.FromRanges(v.Ranges))], [.. bySignature.Values.Select(v => v.Members)]);
    }

    /// <summary>All states reached without reading, passing anchors only where they hold; sorted, so that equal sets compare equal.</summary>
    private int[] Closure(IEnumerable<int> seeds, bool atStart, bool atEnd)
    {
        HashSet<int> seen = [];
        Stack<int> pending = new(seeds);
        while (pending.TryPop(out int id))
        {
            if (!seen.Add(id))
                continue;
            State state = _states[id];
            bool open = state.Kind switch
            {
                EdgeKind.Free => true,
                EdgeKind.Begin => atStart,
                EdgeKind.End => atEnd,
                _ => false,
            };
            if (!open)
                continue;
            if (state.First >= 0)
                pending.Push(state.First);
            if (state.Second >= 0)
                pending.Push(state.Second);
        }
        int[] result = [.. seen];
        Array.Sort(result);
        return result;
    }
}
