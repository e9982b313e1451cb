// What an automaton could do for ever without reading.

namespace InferenceServer.Engine.Constraints.Automaton;

internal static class LeftRecursion
{
    /// <summary>A repetition of a possibly empty body is followed through all its counts at once, so its count is limited.</summary>
    private const int MaxEmptyRepetitions = 500;

    /// <summary>A rule that reaches itself before reading anything would push forever.</summary>
    /// <exception cref="ConstraintException">There is such a rule, or a repetition that may be empty has too many counts.</exception>
    public static void Refuse(IReadOnlyList<AutomatonNode> nodes, IReadOnlyDictionary<GrammarRule, int> entryOfRule, CancellationToken cancellation)
    {
        bool[] nullable = ComputeNullable(nodes, cancellation);
        foreach (AutomatonNode node in nodes)
            if (node.Kind == NodeKind.Repeat && node.Max is > MaxEmptyRepetitions and < int.MaxValue && nullable[node.Body])
                throw new ConstraintException("grammar", $"repeats something that may be empty up to {node.Max} times; the limit is {MaxEmptyRepetitions}");
        HashSet<int> called = [.. nodes.Where(n => n.Kind == NodeKind.Call).Select(n => n.Body)];
        Stack<int> pending = new();
        foreach ((GrammarRule rule, int entry) in entryOfRule)
        {
            if (!called.Contains(entry))
                continue;
            cancellation.ThrowIfCancellationRequested();
            HashSet<int> seen = [entry];
            pending.Push(entry);
            while (pending.TryPop(out int id))
            {
                AutomatonNode node = nodes[id];
                if (node.Kind == NodeKind.Call && node.Body == entry)
                    throw new ConstraintException(rule.Name, $"the rule '{rule.Name}' is left-recursive: it can reach itself before reading a character");
                IEnumerable<int> reached = node.Kind switch
                {
                    NodeKind.Choice => node.Targets,
                    NodeKind.Members => [.. node.Targets, node.Body],
                    NodeKind.Step => node.Next < 0 ? [] : [node.Next],
                    NodeKind.Call => nullable[node.Body] ? [node.Body, node.Next] : [node.Body],
                    NodeKind.Repeat => node.Min == 0 || nullable[node.Body] ? [node.Body, node.Next] : [node.Body],
                    _ => [],
                };
                foreach (int target in reached)
                    if (seen.Add(target))
                        pending.Push(target);
            }
        }
    }

    private static bool[] ComputeNullable(IReadOnlyList<AutomatonNode> nodes, CancellationToken cancellation)
    {
        bool[] nullable = new bool[nodes.Count];
        for (bool changed = true; changed;)
        {
            cancellation.ThrowIfCancellationRequested();
            changed = false;
            for (int id = 0; id < nullable.Length; id++)
            {
                AutomatonNode node = nodes[id];
                bool value = node.Kind switch
                {
                    NodeKind.End => true,
                    NodeKind.Choice => node.Targets.Any(t => nullable[t]),
                    NodeKind.Call => nullable[node.Body] && nullable[node.Next],
                    NodeKind.Step => node.Next >= 0 && nullable[node.Next],
                    NodeKind.Members => node.Required == 0 && node.Min == 0 && nullable[node.Body],
                    NodeKind.Repeat => (node.Min == 0 || nullable[node.Body]) && nullable[node.Next],
                    _ => false,
                };
                changed |= value && !nullable[id];
                nullable[id] |= value;
            }
        }
        return nullable;
    }
}
