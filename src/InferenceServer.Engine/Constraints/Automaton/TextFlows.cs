// Where the automaton reads much text alike, so that many tokens are judged at once.

using System.Numerics;

namespace InferenceServer.Engine.Constraints.Automaton;

/// <summary>Bytes that a configuration does not tell apart: whole subtrees of tokens made of them are judged at once.</summary>
/// <param name="Groups">The groups of bytes that all lead to <paramref name="To"/>.</param>
/// <param name="To">The configuration itself where such text may go on for ever; else the next of a chain that counts.</param>
/// <param name="Length">For how many bytes of these groups, at least, the successors lead on in the same way.</param>
/// <param name="Ends">Whether <paramref name="Length"/> is all there is.</param>
internal sealed record Flow(ulong Groups, Configuration? To, int Length, bool Ends)
{
    public static Flow None { get; } = new(0, null, 0, true);
}

internal static class TextFlows
{
    /// <summary>Tokens longer than this are few.</summary>
    private const int ProbedFlow = 24;

    /// <summary>Small and capital letters, of which most tokens are made, and digits.</summary>
    private const ulong SmallLetters = 1, CapitalLetters = 2, Digits = 4;

    /// <summary>Finds the successor that the groups of bytes share of which most tokens are made; itself when it is among them.</summary>
    public static Flow FlowOf(ConfigurationCache cache, Configuration configuration, Outlook outlook)
    {
        Flow best = Flow.None;
        foreach ((ulong groups, Reading step) in outlook.Reading.Flows ??= GroupsOf(cache, outlook.Reading))
        {
            Configuration to = cache.Land(outlook.Destinations, step);
            if (ReferenceEquals(to, configuration))
                return new(groups, to, int.MaxValue, Ends: true);
            if (WeightOf(groups) > WeightOf(best.Groups))
                best = new(groups, to, 1, Ends: false);
        }
        return best;
    }

    private static int WeightOf(ulong groups) => BitOperations.PopCount(groups)
        + ((groups & SmallLetters) != 0 ? 256 : 0) + ((groups & CapitalLetters) != 0 ? 128 : 0) + ((groups & Digits) != 0 ? 64 : 0);

    private static (ulong Groups, Reading Step)[] GroupsOf(ConfigurationCache cache, Reading reading)
    {
        Reading?[] steps = cache.StepsOf(reading);
        Reading?[] stepOf = new Reading?[64];
        ulong mixed = 0, seen = 0;
        for (int b = 0; b < 256; b++)
        {
            int group = ByteGroups.IndexOf((byte)b);
            Reading? step = steps[cache.ClassOfByte[b]];
            if ((seen >> group & 1) == 0)
                stepOf[group] = step;
            else if (!ReferenceEquals(stepOf[group], step))
                mixed |= 1UL << group;
            seen |= 1UL << group;
        }
        Dictionary<Reading, ulong> groups = [];
        for (int group = 0; group < 64; group++)
            if ((mixed >> group & 1) == 0 && stepOf[group] is { IsWithinCharacter: false } step)
                groups[step] = groups.GetValueOrDefault(step) | 1UL << group;
        return [.. groups.Select(pair => (pair.Value, pair.Key))];
    }

    /// <summary>Whether any <paramref name="needed"/> bytes of the flow's groups can be read.</summary>
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
    public static bool StaysOnPlainText(ConfigurationCache cache, Configuration configuration)
    {
        Outlook outlook = cache.OutlookOf(configuration);
        Reading? Through(Reading? from, int low, int high)
        {
            Reading?[]? steps = from is null ? null : cache.StepsOf(from);
            Reading? target = steps?[cache.ClassOfByte[low]];
            for (int b = low; b <= high && target is not null; b++)
                if (!ReferenceEquals(steps![cache.ClassOfByte[b]], target))
                    return null;
            return target;
        }
        bool Returns(Reading? step, int more)
        {
            for (; more > 0 && step is not null; more--)
                step = step.IsWithinCharacter ? Through(step, 0x80, 0xBF) : Through(Landed(step), 0x80, 0xBF);
            return step is { IsWithinCharacter: false } && ReferenceEquals(cache.Land(outlook.Destinations, step), configuration);
        }
        // Bytes may also be read one at a time, as free text does: then each leads back by itself.
        Reading? Landed(Reading step) => ReferenceEquals(cache.Land(outlook.Destinations, step), configuration) ? outlook.Reading : null;
        bool Leads(int low, int high, int secondLow, int secondHigh, int more)
        {
            Reading? first = Through(outlook.Reading, low, high);
            return first is not null && Returns(Through(first.IsWithinCharacter ? first : Landed(first), secondLow, secondHigh), more);
        }
        return Returns(Through(outlook.Reading, ' ', '!'), 0) && Returns(Through(outlook.Reading, '#', '['), 0) && Returns(Through(outlook.Reading, ']', 0x7F), 0)
            && Leads(0xC2, 0xDF, 0x80, 0xBF, 0) && Leads(0xE0, 0xE0, 0xA0, 0xBF, 1) && Leads(0xE1, 0xEC, 0x80, 0xBF, 1) && Leads(0xED, 0xED, 0x80, 0x9F, 1)
            && Leads(0xEE, 0xEF, 0x80, 0xBF, 1) && Leads(0xF0, 0xF0, 0x90, 0xBF, 2) && Leads(0xF1, 0xF3, 0x80, 0xBF, 2) && Leads(0xF4, 0xF4, 0x80, 0x8F, 2);
    }
}
