// Where the automaton reads much text alike, so that many tokens are judged at once.

using System.Numerics;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>Characters that a configuration does not tell apart: whole subtrees of tokens made of them are judged at once.</summary>
/// <param name="Groups">The groups of characters that all lead to <paramref name="To"/>.</param>
/// <param name="To">The configuration itself where such text may go on for ever; else the next of a chain that counts.</param>
/// <param name="Length">For how many characters of these groups, at least, the successors lead on in the same way.</param>
/// <param name="Ends">Whether <paramref name="Length"/> is all there is.</param>
internal sealed record Flow(ulong Groups, Configuration? To, int Length, bool Ends)
{
    public static Flow None { get; } = new(0, null, 0, true);
}

internal static class TextFlows
{
    /// <summary>Tokens longer than this are few.</summary>
    private const int ProbedFlow = 24;

    /// <summary>Finds the successor that the groups of characters share of which most tokens are made.</summary>
    public static Flow FlowOf(ConfigurationCache cache, Configuration configuration, Outlook outlook)
    {
        Flow best = Flow.None;
        bool readsBytes = ReadsBytes(cache, outlook.Reading);
        foreach ((ulong groups, Reading step) in outlook.Reading.Flows ??= GroupsOf(cache, outlook.Reading))
        {
            Configuration to = cache.Land(outlook.Destinations, step);
            bool loops = ReferenceEquals(to, configuration);
            // Where bytes are counted one by one, characters are not.
            ulong whole = loops || !readsBytes ? groups : groups & ~CharacterGroups.AllBeyondAscii;
            if (WeightOf(whole) > WeightOf(best.Groups))
                best = loops ? new(whole, to, int.MaxValue, Ends: true) : new(whole, to, 1, Ends: false);
        }
        return best;
    }

    private static int WeightOf(ulong groups) => BitOperations.PopCount(groups)
        + ((groups & CharacterGroups.SmallLetters) != 0 ? 512 : 0) + ((groups & CharacterGroups.CapitalLetters) != 0 ? 256 : 0) + ((groups & CharacterGroups.Digits) != 0 ? 128 : 0);

    /// <summary>Groups of characters that lead to one step, which reaches an end.</summary>
    private static (ulong Groups, Reading Step)[] GroupsOf(ConfigurationCache cache, Reading reading)
    {
        Reading?[] steps = cache.StepsOf(reading);
        Dictionary<ulong, Reading?> stepOf = [];
        ulong mixed = 0;
        for (int b = 0; b < 256; b = b == 0x7F ? 0xF8 : b + 1)
        {
            ulong group = CharacterGroups.OfByte((byte)b);
            Reading? step = steps[cache.ClassOfByte[b]];
            if (!stepOf.TryAdd(group, step) && !ReferenceEquals(stepOf[group], step))
                mixed |= group;
        }
        if (ReadsBytes(cache, reading))
            stepOf.Add(CharacterGroups.AllBeyondAscii, steps[cache.ClassOfByte[0x80]]);
        else
            foreach ((ulong group, List<(byte Low, byte High)[]> sequences) in CharacterGroups.BeyondAscii)
                stepOf.Add(group, Through(cache, reading, sequences));
        Dictionary<Reading, ulong> groups = [];
        foreach ((ulong group, Reading? step) in stepOf)
            if ((mixed & group) == 0 && step is { IsWithinCharacter: false })
                groups[step] = groups.GetValueOrDefault(step) | group;
        return [.. groups.Select(pair => (pair.Value, pair.Key))];
    }

    /// <summary>Whether bytes beyond ASCII are read one at a time, all alike, as free text does; else characters are.</summary>
    private static bool ReadsBytes(ConfigurationCache cache, Reading reading) => Through(cache, reading, 0x80, 0xF7) is { IsWithinCharacter: false };

    /// <summary>What all of some characters lead to; null when not all lead to the same.</summary>
    private static Reading? Through(ConfigurationCache cache, Reading reading, List<(byte Low, byte High)[]> sequences)
    {
        Reading? common = null;
        foreach ((byte Low, byte High)[] sequence in sequences)
        {
            Reading? at = reading;
            for (int i = 0; i < sequence.Length && at is not null; i++)
                at = i > 0 && !at.IsWithinCharacter ? null : Through(cache, at, sequence[i].Low, sequence[i].High);
            if (at is not { IsWithinCharacter: false } || !ReferenceEquals(common ??= at, at))
                return null;
        }
        return common;
    }

    private static Reading? Through(ConfigurationCache cache, Reading reading, int low, int high)
    {
        Reading?[] steps = cache.StepsOf(reading);
        Reading? target = steps[cache.ClassOfByte[low]];
        for (int b = low + 1; b <= high && target is not null; b++)
            if (!ReferenceEquals(steps[cache.ClassOfByte[b]], target))
                return null;
        return target;
    }

    /// <summary>Whether any <paramref name="needed"/> characters of the flow's groups can be read.</summary>
    public static bool FlowsFor(ConfigurationCache cache, Outlook outlook, int needed)
    {
        Flow flow = outlook.Flow;
        if (flow.Length >= needed || flow.Ends)
            return flow.Length >= needed;
        int length = Math.Max(needed, ProbedFlow); // further than asked, so that few subtrees ask again
        int reached = 0;
        bool ends = false;
        for (Outlook at = outlook; reached < length && !ends;)
        {
            Flow here = at.Flow;
            if (here.To is null || (flow.Groups & ~here.Groups) != 0)
                ends = true;
            else if (here.Length == int.MaxValue)
                (reached, ends) = (int.MaxValue, true);
            else
                (at, reached) = (cache.OutlookOf(here.To), reached + 1);
        }
        outlook.Flow = flow with { Length = reached, Ends = ends };
        return reached >= needed;
    }

    /// <summary>Whether every character of plain JSON string content leads back here, as in any text without a bound on its length.</summary>
    public static bool StaysOnPlainText(ConfigurationCache cache, Configuration configuration) =>
        cache.OutlookOf(configuration).Flow is { Length: int.MaxValue } flow && ReferenceEquals(flow.To, configuration) && (CharacterGroups.Plain & ~flow.Groups) == 0;
}
