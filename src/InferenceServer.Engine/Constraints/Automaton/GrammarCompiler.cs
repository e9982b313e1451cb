// Grammar -> pushdown automaton. Lowers expressions back to front: each is given the node that follows it and returns its entry.
// One use per grammar, on the thread that compiles the constraint.

using System.Runtime.CompilerServices;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.Automaton;

internal sealed class GrammarCompiler
{
    /// <summary>Some 100 bytes a node: a grammar past this limit would hold more memory than a model's masks may.</summary>
    private const int MaxNodes = 400_000;

    /// <summary>Expressions nested deeper would overflow the compiling thread's stack.</summary>
    private const int MaxExpressionDepth = 2_000;

    /// <summary>Counted repetitions of small bodies up to this many copies are unrolled; counting on the stack costs more.</summary>
    private const int MaxUnrolled = 8;

    private const int EndNode = 0;

    private readonly List<AutomatonNode> _nodes = [new() { Kind = NodeKind.End }];
    private readonly Dictionary<GrammarRule, int> _entryOfRule = [];
    private readonly Queue<GrammarRule> _pendingRules = [];
    private readonly SortedSet<string> _controlTokens = [];
    private readonly CharacterSpeller _characters = new();
    private readonly bool _countCalls;
    private readonly CancellationToken _cancellation;
    private int _jsonCharacter = -1;
    private int _depth;

    private GrammarCompiler(bool countCalls, CancellationToken cancellation) => (_countCalls, _cancellation) = (countCalls, cancellation);

    /// <param name="root">The rule that the whole output must match.</param>
    /// <param name="maxNesting">The most levels of nesting (of <see cref="Expression.Nested"/>, or of calls) the output may have.</param>
    /// <param name="countCalls">Whether every call of a rule counts as a level; for grammars that do not mark their nesting.</param>
    /// <exception cref="ConstraintException">Left recursion, nothing matches, or past a limit.</exception>
    public static PushdownAutomaton Compile(GrammarRule root, int maxNesting, bool countCalls, CancellationToken cancellation)
    {
        GrammarCompiler compiler = new(countCalls, cancellation);
        int start = compiler.EntryOf(root);
        while (compiler._pendingRules.TryDequeue(out GrammarRule? rule))
        {
            if (rule.Body is null)
                throw new ConstraintException(rule.Name, "this rule is referred to but not defined");
            compiler._nodes[compiler._entryOfRule[rule]].Targets = [compiler.Lower(rule.Body, EndNode)];
        }
        LeftRecursion.Refuse(compiler._nodes, compiler._entryOfRule, cancellation);
        PushdownAutomaton automaton = new(compiler._nodes, compiler._characters.Rests, start, maxNesting, compiler._controlTokens, cancellation);
        if (automaton.NeedAt(start, 0) > maxNesting)
            throw new ConstraintException(root.Name, automaton.NeedAt(start, 0) >= PushdownAutomaton.Unproductive
                ? "nothing can satisfy this constraint" : $"needs nesting deeper than {maxNesting} levels");
        return automaton;
    }

    private int Add(AutomatonNode node)
    {
        if (_nodes.Count >= MaxNodes)
            throw new ConstraintException("grammar", $"needs more than {MaxNodes} automaton nodes");
        _nodes.Add(node);
        return _nodes.Count - 1;
    }

    private int AddBytes(params ByteEdge[] edges) => Add(new() { Kind = NodeKind.Bytes, Edges = edges });

    private int AddChoice(params int[] targets) => targets.Length == 1 ? targets[0] : Add(new() { Kind = NodeKind.Choice, Targets = targets });

    private int EntryOf(GrammarRule rule)
    {
        if (!_entryOfRule.TryGetValue(rule, out int entry))
        {
            _entryOfRule.Add(rule, entry = Add(new() { Kind = NodeKind.Choice }));
            _pendingRules.Enqueue(rule);
        }
        return entry;
    }

    private int Lower(Expression expression, int next)
    {
        _cancellation.ThrowIfCancellationRequested();
        if (++_depth > MaxExpressionDepth || !RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw new ConstraintException("grammar", "expressions nest too deep");
        int entry = expression switch
        {
            Expression.Literal(var bytes) => LowerLiteral(bytes, next),
            Expression.ControlToken token => LowerControlToken(token, next),
            Expression.Characters(var set) => AddBytes([.. _characters.EdgesOf(set, next)]),
            Expression.Sequence(var items) => LowerSequence(items, next),
            Expression.Choice(var items) => AddChoice([.. items.Select(item => Lower(item, next))]),
            Expression.Repeat repeat => LowerRepeat(repeat, next),
            Expression.Reference(var rule) => LowerCall(EntryOf(rule), next, _countCalls),
            Expression.Members members => LowerMembers(members, next),
            Expression.Nested(var body) => LowerCall(Lower(body, EndNode), next, nests: true),
            Expression.Terminal(var dfa, var encoding, null) => LowerTerminal(dfa, encoding, next),
            Expression.Terminal(var dfa, var encoding, { } max) => LowerCounted(dfa, encoding, max, next),
            Expression.JsonStringBody(int min, var max) => Add(new()
            {
                Kind = NodeKind.Repeat,
                Body = JsonCharacter(),
                Next = next,
                Min = min,
                Max = max ?? int.MaxValue,
                RepeatsPlainText = true,
            }),
            Expression.FreeText freeText => LowerFreeText(freeText, next),
            _ => throw new InvalidOperationException($"unknown expression {expression}"),
        };
        _depth--;
        return entry;
    }

    private int LowerLiteral(ReadOnlySpan<byte> bytes, int next)
    {
        for (int i = bytes.Length - 1; i >= 0; i--)
            next = AddBytes(new ByteEdge(bytes[i], bytes[i], next));
        return next;
    }

    private int LowerControlToken(Expression.ControlToken token, int next)
    {
        if (token.IsRequired)
            _controlTokens.Add(token.Name);
        return LowerLiteral(ControlTokenBytes.Of(token.Name), next);
    }

    private int LowerSequence(IReadOnlyList<Expression> items, int next)
    {
        for (int i = items.Count - 1; i >= 0; i--)
            next = Lower(items[i], next);
        return next;
    }

    private int LowerCall(int body, int next, bool nests)
    {
        // A call in last position needs no return: right recursion then takes no stack.
        if (next == EndNode)
            return body;
        return Add(new() { Kind = NodeKind.Call, Body = body, Next = next, Nests = nests });
    }

    private int LowerRepeat(Expression.Repeat repeat, int next)
    {
        if (repeat.Max is null && repeat.Min <= 1)
        {
            int loop = Add(new() { Kind = NodeKind.Choice });
            int body = Lower(repeat.Body, loop);
            _nodes[loop].Targets = [body, next];
            return repeat.Min == 0 ? loop : body;
        }
        if (repeat.Max is 0)
            return next;
        bool small = repeat.Body is Expression.Literal { Bytes.Length: <= 8 } or Expression.Characters or Expression.Reference;
        if (repeat.Max is { } max && (max == 1 || (small && max <= MaxUnrolled)))
        {
            int after = next;
            for (int i = max; i > 0; i--)
                next = i > repeat.Min ? AddChoice(Lower(repeat.Body, next), after) : Lower(repeat.Body, next);
            return next;
        }
        int counted = Lower(repeat.Body, EndNode);
        bool plainText = repeat.Body is Expression.Characters(var set) && JsonSpelling.Plain.Except(set).IsEmpty;
        _nodes[counted].IsPlainTextCharacter |= plainText;
        return Add(new()
        {
            Kind = NodeKind.Repeat,
            Body = counted,
            Next = next,
            Min = repeat.Min,
            Max = repeat.Max ?? int.MaxValue,
            RepeatsPlainText = plainText,
        });
    }

    private int LowerMembers(Expression.Members members, int next)
    {
        if (members.Declared.Count > Expression.Members.MaxMembers)
            throw new ArgumentException($"There are {members.Declared.Count} members; at most {Expression.Members.MaxMembers} have a bit each.", nameof(members));
        int[] first = [.. members.Declared.Select(m => m.Body).Concat(members.Extra is { } extra ? [extra] : []).Select(body => Lower(body, EndNode))];
        int[] later = [.. first.Select(body => Lower(members.Separator, body))];
        return Add(new()
        {
            Kind = NodeKind.Members,
            Targets = [.. first, .. later],
            Body = next,
            Next = Lower(members.End, next),
            Required = members.Declared.Select((member, i) => member.IsRequired ? 1L << i : 0).Aggregate(0L, (all, bit) => all | bit),
            HasExtra = members.Extra is not null,
            Min = members.Min,
            Max = members.Max ?? int.MaxValue,
        });
    }

    private int LowerTerminal(Dfa dfa, TextEncoding encoding, int next)
    {
        // Where any text may follow, JSON strings go on as free ones do: all their states share one mask, and all escapes are allowed.
        bool[] universal = encoding == TextEncoding.JsonString ? dfa.UniversalStates() : new bool[dfa.StateCount];
        int[] entries = new int[dfa.StateCount];
        int[] readers = new int[dfa.StateCount];
        for (int state = 0; state < dfa.StateCount; state++)
        {
            if (universal[state])
            {
                entries[state] = Lower(new Expression.JsonStringBody(0, null), next);
                continue;
            }
            readers[state] = AddBytes();
            entries[state] = dfa.IsAccepting(state) ? AddChoice(readers[state], next) : readers[state];
        }
        TerminalSpeller speller = new(this, dfa.ClassSets(), encoding);
        List<ByteEdge> edges = [];
        for (int state = 0; state < dfa.StateCount; state++)
        {
            if (universal[state])
                continue;
            edges.Clear();
            foreach ((int target, int[] classes) in TargetsOf(dfa, state))
                speller.Add(classes, entries[target], edges);
            edges.Sort((a, b) => a.Low.CompareTo(b.Low));
            _nodes[readers[state]].Edges = Merge(edges);
        }
        return entries[0];
    }

    private int LowerCounted(Dfa dfa, TextEncoding encoding, int max, int next)
    {
        int[] distances = dfa.DistancesToEnd();
        int[] steps = [.. Enumerable.Range(0, dfa.StateCount).Select(state => Add(new() { Kind = NodeKind.Step, Next = dfa.IsAccepting(state) ? next : -1, Max = max }))];
        TerminalSpeller speller = new(this, dfa.ClassSets(), encoding);
        Dictionary<int[], int> bodies = new(new SequenceComparer<int>());
        for (int state = 0; state < dfa.StateCount; state++)
        {
            List<int> targets = [];
            List<(int, int)> goals = [];
            foreach ((int target, int[] classes) in TargetsOf(dfa, state))
            {
                if (!bodies.TryGetValue(classes, out int body))
                {
                    List<ByteEdge> edges = [];
                    speller.Add(classes, EndNode, edges);
                    edges.Sort((a, b) => a.Low.CompareTo(b.Low));
                    bodies.Add(classes, body = AddBytes(Merge(edges)));
                }
                targets.Add(body);
                goals.Add((steps[target], distances[target]));
            }
            (_nodes[steps[state]].Targets, _nodes[steps[state]].Goals) = ([.. targets], [.. goals]);
        }
        return steps[0];
    }

    /// <summary>Where a state leads, and by which classes.</summary>
    private static IEnumerable<(int Target, int[] Classes)> TargetsOf(Dfa dfa, int state)
    {
        Dictionary<int, List<int>> classesTo = [];
        ReadOnlySpan<int> targets = dfa.TargetsOf(state);
        for (int k = 0; k < targets.Length; k++)
            if (targets[k] != Dfa.Dead)
            {
                if (!classesTo.TryGetValue(targets[k], out List<int>? classes))
                    classesTo.Add(targets[k], classes = []);
                classes.Add(k);
            }
        return classesTo.Select(to => (to.Key, to.Value.ToArray()));
    }

    /// <summary>Spells the classes of a terminal: characters that need no escape in UTF-8, and escapes. What leads to one state is spelled as one set.</summary>
    private sealed class TerminalSpeller(GrammarCompiler compiler, CodePointSet[] classSets, TextEncoding encoding)
    {
        private readonly Dictionary<int[], (CodePointSet Plain, string[] Escapes)> _spellings = new(new SequenceComparer<int>());
        private readonly Dictionary<(string[], int), int> _escapes = [];

        public void Add(int[] classes, int next, List<ByteEdge> edges)
        {
            if (!_spellings.TryGetValue(classes, out var spelling))
                _spellings.Add(classes, spelling = Spell(CodePointSet.FromRanges(classes.SelectMany(k => classSets[k].Ranges.ToArray()))));
            edges.AddRange(compiler._characters.EdgesOf(spelling.Plain, next));
            if (spelling.Escapes.Length == 0)
                return;
            if (!_escapes.TryGetValue((spelling.Escapes, next), out int escaped))
                _escapes.Add((spelling.Escapes, next), escaped =
                    compiler.AddChoice([.. spelling.Escapes.Select(e => compiler.LowerLiteral(System.Text.Encoding.UTF8.GetBytes(e), next))]));
            edges.Add(new('\\', '\\', escaped));
        }

        /// <summary>What needs no escape, and the escapes without their backslash.</summary>
        private (CodePointSet Plain, string[] Escapes) Spell(CodePointSet set)
        {
            if (encoding != TextEncoding.JsonString || set.IsEmpty || set.Ranges[0].Low > '\\')
                return (set, []);
            List<string> escapes = [];
            for (int c = 0; c <= '\\'; c++)
                if (JsonSpelling.MustEscape.Contains(c) && set.Contains(c))
                    escapes.AddRange(JsonSpelling.EscapesOf((char)c).Select(e => e[1..]));
            return (set.Except(JsonSpelling.MustEscape), [.. escapes]);
        }
    }

    /// <summary>Joins neighbouring ranges of one target; the edges are sorted by their first byte.</summary>
    private static ByteEdge[] Merge(List<ByteEdge> edges)
    {
        List<ByteEdge> merged = [];
        foreach (ByteEdge edge in edges)
        {
            if (merged.Count > 0 && merged[^1].Target == edge.Target && merged[^1].Rest == edge.Rest && merged[^1].High + 1 == edge.Low)
                merged[^1] = merged[^1] with { High = edge.High };
            else
                merged.Add(edge);
        }
        return [.. merged];
    }

    /// <summary>The shared sub-rule that reads one code point inside a JSON string, in any spelling.</summary>
    private int JsonCharacter()
    {
        if (_jsonCharacter >= 0)
            return _jsonCharacter;
        CodePointSet hex = CodePointSet.FromRanges([new('0', '9'), new('A', 'F'), new('a', 'f')]);
        static Expression OneOf(string characters) => new Expression.Characters(CodePointSet.FromRanges(characters.Select(c => new CodePointRange(c, c))));
        Expression digit = new Expression.Characters(hex);
        Expression notSurrogate = new Expression.Choice([
            new Expression.Sequence([new Expression.Characters(hex.Except(CodePointSet.Of('D').Union(CodePointSet.Of('d')))), digit, digit, digit]),
            new Expression.Sequence([OneOf("dD"), OneOf("01234567"), digit, digit])]);
        Expression pair = new Expression.Sequence([OneOf("dD"), OneOf("89abAB"), digit, digit, Expression.Text("\\u"), OneOf("dD"), OneOf("cdefCDEF"), digit, digit]);
        Expression escape = new Expression.Choice([OneOf("\"\\/bfnrt"), new Expression.Sequence([Expression.Text("u"), new Expression.Choice([notSurrogate, pair])])]);
        List<ByteEdge> edges = [.. _characters.EdgesOf(CodePointSet.All.Except(JsonSpelling.MustEscape), EndNode)];
        edges.Add(new('\\', '\\', Lower(escape, EndNode)));
        _jsonCharacter = AddBytes([.. edges]);
        _nodes[_jsonCharacter].IsPlainTextCharacter = true;
        return _jsonCharacter;
    }

    /// <summary>An Aho-Corasick automaton over the triggers; completing one leaves the free text for what it leads to.</summary>
    private int LowerFreeText(Expression.FreeText freeText, int next)
    {
        TriggerTrie trie = new([.. freeText.Triggers.Select(t => t.Bytes)], [.. freeText.Triggers.Select(t => t.AtStart)], freeText.AllowsControlTokens);
        int[] readers = new int[trie.StateCount];
        int[] entries = new int[trie.StateCount];
        for (int state = 0; state < trie.StateCount; state++)
        {
            readers[state] = AddBytes();
            entries[state] = freeText.MayEnd && !trie.IsInsideControlToken(state) ? AddChoice(readers[state], next) : readers[state];
        }
        // Text that only control tokens can end would never end without them.
        if (!freeText.MayEnd && freeText.Triggers.All(t => t.Bytes[0] == ControlTokenBytes.Open))
            foreach (Trigger trigger in freeText.Triggers)
                _controlTokens.Add(System.Text.Encoding.UTF8.GetString(trigger.Bytes.AsSpan(1..^1)));
        int[] continuations = [.. freeText.Triggers.Select(t => Lower(t.Then, freeText.Resumes ? entries[trie.Start] : next))];
        List<ByteEdge> edges = [];
        for (int state = 0; state < trie.StateCount; state++)
        {
            edges.Clear();
            for (int b = 0; b < 256; b++)
                if (trie.Next(state, (byte)b) is >= 0 and int target)
                    edges.Add(new(b, b, trie.TriggerAt(target) is { } trigger ? continuations[trigger] : entries[target]));
            _nodes[readers[state]].Edges = Merge(edges);
        }
        return entries[trie.Start];
    }
}
