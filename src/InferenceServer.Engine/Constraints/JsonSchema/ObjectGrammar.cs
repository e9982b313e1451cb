// The members of an object: required ones in the schema's order, so that a model thinks before it answers where the schema says so, optional ones anywhere,
// and those that patterns and additionalProperties allow once nothing required is missing.
// Past what one set can remember all keep the schema's order. Rules in last position call each other without stack there, so a thousand optional
// properties cost a thousand rules and no depth.

using InferenceServer.Engine.Constraints.Automaton;
using InferenceServer.Engine.Constraints.Regular;

namespace InferenceServer.Engine.Constraints.JsonSchema;

internal sealed class ObjectGrammar
{
    /// <summary>Each subset of the patterns is a kind of member of its own.</summary>
    private const int MaxPatterns = 4;

    /// <summary>Rules for one object whose members are counted.</summary>
    private const int MaxStates = 20_000;

    private readonly SchemaCompiler _compiler;
    private readonly SchemaAlternative _alternative;
    private readonly string _path;
    private readonly List<string> _names = [];
    private readonly List<Expression> _members = [];
    private readonly Dictionary<(int Index, int Count), GrammarRule> _tails = [];
    private readonly Expression? _extra;
    private readonly int _min;
    private readonly int? _max;

    private readonly MemberGrammar? _notation;

    /// <param name="notation">How members are written where that is not JSON's way; null for JSON.</param>
    public ObjectGrammar(SchemaCompiler compiler, SchemaAlternative alternative, string path, MemberGrammar? notation = null)
    {
        (_compiler, _alternative, _path, _notation) = (compiler, alternative, path, notation);
        Dfa? keys = alternative.PropertyNames.Count > 0 ? KeysAllowed() : null;
        List<string> declared = [.. alternative.Members.SelectMany(m => m.Properties).Select(p => p.Name).Concat(alternative.Required).Distinct()];
        foreach (string name in declared)
        {
            if (alternative.Forbidden.Contains(name) || keys?.Accepts(name) == false)
                continue;
            Expression? member = notation is null
                ? new Expression.Sequence([compiler.Key(name), compiler.ValueOf(alternative.MemberNamed(name))])
                : notation.Member(name, alternative.MemberNamed(name), path);
            if (member is null)
            {
                alternative.Required.Remove(name); // refused; where that is allowed, calls do without it
                continue;
            }
            _names.Add(name);
            _members.Add(member);
        }
        _impossible = alternative.Required.Exists(name => !_names.Contains(name));
        _extra = ExtraMember(keys, [.. declared, .. alternative.Forbidden]);
        _min = alternative.MinProperties <= alternative.Required.Count ? 0 : alternative.MinProperties;
        _max = _extra is null && alternative.MaxProperties >= _names.Count ? null : alternative.MaxProperties;
        // JSON allows a name twice, and a constraint cannot remember which names it has seen: two extra members may count as one.
        if (_extra is not null && _min > alternative.Required.Count + 1)
        {
            compiler.Expander.Refuse(new(path + "/minProperties", "demands several members whose names are not declared; nothing keeps their names apart"));
            _min = alternative.Required.Count + 1;
        }
        if (!IsUnordered && (long)_names.Count * (Math.Min(Clamp(int.MaxValue), _names.Count) + 1) > MaxStates)
        {
            compiler.Expander.Refuse(new(path, "counts too many members"));
            (_min, _max) = (0, null);
        }
    }

    private readonly bool _impossible;

    public Expression Build()
    {
        if (_impossible)
            return Expression.Never;
        Expression members = IsUnordered ? Unordered() : new Expression.Reference(Tail(0, 0));
        return _notation is not null
            ? members
            : new Expression.Sequence([Expression.Text("{"), new Expression.Nested(new Expression.Sequence([_compiler.Space, members])), Expression.Text("}")]);
    }

    /// <summary>Whether there is an order to choose, a set can hold what was written, and bounds count nothing else.</summary>
    private bool IsUnordered => _names.Count <= Expression.Members.MaxMembers && _names.Count + (_extra is null ? 0 : 1) > 1
        && _names.Exists(name => !_alternative.Required.Contains(name)) && (_extra is null || (_min == 0 && _max is null));

    private Expression Unordered()
    {
        if (Math.Max(_min, _alternative.Required.Count) > (_max ?? int.MaxValue))
            return Expression.Never;
        return new Expression.Members([.. _names.Select((name, i) => new Expression.Member(_members[i], _alternative.Required.Contains(name)))], _extra, Comma, Space, _min, _max);
    }

    private Expression Comma => _notation?.Separator ?? new Expression.Sequence([Expression.Text(","), _compiler.Space]);

    private Expression Space => _notation is null ? _compiler.Space : Expression.Empty;

    /// <summary>How many members written so far still matter: whether there were any, or the exact count when it is bounded.</summary>
    private int Clamp(int count) => Math.Min(count, _max is { } max ? Math.Max(max, _min) : Math.Max(1, _min));

    /// <summary>The rest of the object after <paramref name="index"/> declared members were passed and <paramref name="count"/> written.</summary>
    private GrammarRule Tail(int index, int count)
    {
        Stack<(int Index, int Count)> pending = [];
        GrammarRule RuleOf(int at, int written)
        {
            if (_tails.TryGetValue((at, written), out GrammarRule? rule))
                return rule;
            _tails.Add((at, written), rule = new($"{_path} (member {at})"));
            pending.Push((at, written));
            return rule;
        }
        GrammarRule first = RuleOf(index, count);
        while (pending.TryPop(out var state))
            _tails[state].Body = state.Index < _names.Count ? Declared(state.Index, state.Count, RuleOf) : Extras(state.Count);
        return first;
    }

    private Expression.Choice Declared(int index, int count, Func<int, int, GrammarRule> ruleOf)
    {
        List<Expression> ways = [];
        if (_max is not { } max || count < max)
            ways.Add(new Expression.Sequence([count > 0 ? Comma : Expression.Empty, _members[index], new Expression.Reference(ruleOf(index + 1, Clamp(count + 1)))]));
        if (!_alternative.Required.Contains(_names[index]))
            ways.Add(new Expression.Reference(ruleOf(index + 1, count)));
        return new(ways);
    }

    private Expression Extras(int count)
    {
        Expression close = count > 0 ? Space : Expression.Empty;
        int need = Math.Max(0, _min - count);
        int? most = _max is { } max ? Math.Max(0, max - count) : null;
        if (_extra is null || most == 0)
            return need == 0 && most is null or >= 0 && (_max is null || count <= _max) ? close : Expression.Never;
        Expression following = new Expression.Sequence([Comma, _extra]);
        if (count > 0)
            return new Expression.Sequence([new Expression.Repeat(following, need, most), close]);
        Expression some = new Expression.Sequence([_extra, new Expression.Repeat(following, Math.Max(0, need - 1), most - 1), Space]);
        return need > 0 ? some : Expression.Optional(some);
    }

    /// <summary>The names that propertyNames allows.</summary>
    private Dfa KeysAllowed()
    {
        Dfa keys = Dfa.FromWords([]);
        foreach (SchemaAlternative names in _compiler.Expander.Expand(_alternative.PropertyNames))
        {
            if (names.IsContradiction || !names.Types.HasFlag(JsonTypes.String))
                continue;
            keys = keys.Union(names.Values is { } values
                ? Dfa.FromWords(values.Where(v => v.ValueKind == System.Text.Json.JsonValueKind.String && SchemaValues.Accepts(_compiler.Expander, names, v)).Select(v => v.GetString()!))
                : SchemaValues.StringsOf(names)?.Whole ?? Dfa.OfLength(names.MinLength, names.MaxLength));
        }
        return keys;
    }

    /// <summary>A member that is not declared, by which of the patterns its name matches; null when there can be none.</summary>
    private Expression? ExtraMember(Dfa? keys, List<string> declared)
    {
        var patterns = _alternative.Members.SelectMany(m => m.Patterns).DistinctBy(p => p.Source).ToList();
        Dfa? excluded = declared.Count > 0 ? Dfa.FromWords(declared) : null;
        if (patterns.Count > MaxPatterns)
        {
            _compiler.Expander.Refuse(new(_path + "/patternProperties", $"more than {MaxPatterns} patterns for one object are not supported"));
            return ExtraOf(excluded is null ? keys : (keys ?? Dfa.AllStrings).Except(excluded), []);
        }
        List<Expression> kinds = [];
        for (int subset = 0; subset < 1 << patterns.Count; subset++)
        {
            List<SchemaNode> schemas = [];
            bool evaluated = false;
            foreach (ObjectApplicator applicator in _alternative.Members)
            {
                List<SchemaNode> matching = [.. applicator.Patterns.Where(p => (subset >> patterns.FindIndex(q => q.Source == p.Source) & 1) != 0).Select(p => p.Schema)];
                evaluated |= matching.Count > 0 || applicator.Additional is not null;
                schemas.AddRange(matching.Count == 0 && applicator.Additional is { } additional ? [additional] : matching);
            }
            if (!evaluated && _alternative.Unevaluated is { } unevaluated)
                schemas.Add(unevaluated);
            if (schemas.Exists(s => s.IsFalse) || (!evaluated && _alternative.IsClosed))
                continue;
            Dfa? names = keys;
            for (int i = 0; i < patterns.Count; i++)
            {
                Dfa matched = patterns[i].Keys;
                names = (subset >> i & 1) != 0 ? names?.Intersect(matched) ?? matched : (names ?? Dfa.AllStrings).Except(matched);
            }
            if (excluded is not null)
                names = (names ?? Dfa.AllStrings).Except(excluded);
            if (names is { IsEmpty: true })
                continue;
            if (ExtraOf(names, schemas) is { } kind)
                kinds.Add(kind);
        }
        return kinds.Count == 0 ? null : kinds.Count == 1 ? kinds[0] : new Expression.Choice(kinds);
    }

    private Expression? ExtraOf(Dfa? names, IReadOnlyList<SchemaNode> schemas) => _notation is not null
        ? _notation.Other(names, schemas)
        : _compiler.OtherKey(names) is { } key ? new Expression.Sequence([key, _compiler.ValueOf(schemas)]) : null;
}
