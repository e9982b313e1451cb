namespace InferenceServer.Training.Corpus;

/// <summary>Names of people and pets: from the tables, or made up of syllables, so that no model can know them all by heart.</summary>
public sealed class Names(Grammar grammar, SeededRandom random)
{
    private static readonly string[] Onsets =
        ["b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "qu", "r", "s", "sh", "sk", "st", "t", "th", "tr", "v", "w", "y", "z", ""];
    private static readonly string[] Vowels = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "ea", "ee", "ia", "io", "oo", "ou"];
    private static readonly string[] Codas = ["", "", "", "", "l", "n", "r", "s", "m", "t", "ck", "ld", "nd", "rn", "x", "ss", "d", "p"];

    public string Person() => random.Chance(0.4) ? MadeUp() : random.Pick(grammar.Table("names"))["name"];

    public string Pet() => random.Chance(0.35) ? MadeUp() : random.Chance(0.75) ? random.Pick(grammar.Table("petnames"))["petname"] : Person();

    /// <summary>Two or three syllables that belong to the grammar's split.</summary>
    public string MadeUp()
    {
        while (true)
        {
            string name = string.Concat(Enumerable.Range(0, random.Between(2, 3)).Select(i =>
                random.Pick(Onsets) + random.Pick(Vowels) + (i == 0 && random.Chance(0.6) ? "" : random.Pick(Codas))));
            if (name.Length is > 2 and < 10 && HeldOut.Contains(name, HeldOut.OneNameIn) == grammar.HeldOut)
            {
                return Grammar.Capitalize(name);
            }
        }
    }
}
