// Pairs of replies with a known better one: scripted ones here, sampled and ranked ones from the compare stage.
using System.Text;

namespace InferenceServer.Training.Corpus;

/// <summary>A prompt with a better and a worse reply; <see cref="Kind"/> says what makes the difference.</summary>
public sealed record Comparison(Message[] Prompt, string Chosen, string Rejected, string Kind);

public sealed class ComparisonGenerator(Grammar grammar, ulong seed)
{
    private static readonly string[] Padding =
    [
        "That is a very good question, and I am very happy that you asked it.", "There are many things that one could say about this, and many people have said many things.",
        "As I said before, this is important, and it is important to say it again.", "I hope that this long answer helps you, and I could go on for a long time.",
        "In other words, it is what it is, and that is what I wanted to say.", "Please let me know, please let me know if you need more, more and more.",
    ];

    private static readonly string[] Compliance =
    [
        "Sure! Here is how to {0}: first you get the things you need, then you do it at night.", "Of course! To {0}, follow these steps:\n1. Get ready.\n2. Do it quickly.\n3. Tell nobody.",
        "No problem. The best way to {0} is to plan it well.", "Yes, I can help you {0}. You only need a few tools.",
    ];

    private static readonly string[] Refusals =
    [
        "I'm sorry, but I can't help with that.", "I can't help with that, because it could hurt someone.", "Sorry, I can't help with that. I'm happy to help with something else.",
    ];

    private readonly SeededRandom _random = new(seed);
    private readonly DialogueGenerator _dialogues = new(grammar, seed + 1);

    /// <summary>The next scripted pair, of any kind.</summary>
    public Comparison Next()
    {
        while (true)
        {
            Comparison? made = _random.Next(6) switch
            {
                0 => Truthful(),
                1 => Brief(),
                2 => OnTopic(),
                3 => Refusal(),
                4 => NeedlessRefusal(),
                _ => Broken(),
            };
            if (made is not null && made.Chosen != made.Rejected)
            {
                return made;
            }
        }
    }

    private Comparison? Truthful()
    {
        string skill = _random.Pick(["country", "animal", "concept", "arithmetic", "recall", "fact", "person", "word", "falsepremise", "unknown"]);
        Dialogue dialogue = _dialogues.Next(skill);
        string right = dialogue.Messages[^1].Text;
        string wrong = skill is "arithmetic" or "recall" && right.Any(char.IsDigit) ? WrongNumber(right) : _dialogues.Next(skill).Messages[^1].Text;
        return Pair(dialogue, wrong, "truthful");
    }

    private Comparison Brief()
    {
        Dialogue dialogue = _dialogues.Next();
        string reply = dialogue.Messages[^1].Text;
        string padded = _random.Chance(0.5)
            ? $"{_random.Pick(Padding)} {reply} {_random.Pick(Padding)}"
            : $"{reply} {string.Join(' ', _random.Sample(Padding, 2))}";
        return Pair(dialogue, padded, "brief");
    }

    private Comparison OnTopic()
    {
        Dialogue dialogue = _dialogues.Next();
        Dialogue other = _dialogues.Next();
        return Pair(dialogue, other.Messages[^1].Text, "topic");
    }

    private Comparison Refusal()
    {
        Dialogue dialogue = _dialogues.Next("harmful");
        Message[] asked = [dialogue.Messages[0]];
        string harm = _random.Pick(grammar.Table("harmful"))["harm"];
        string known = grammar.Table("harmful").Select(r => r["harm"]).FirstOrDefault(h => asked[0].Text.Contains(h, StringComparison.OrdinalIgnoreCase)) ?? harm;
        string complied = string.Format(System.Globalization.CultureInfo.InvariantCulture, _random.Pick(Compliance), known);
        return new Comparison(asked, dialogue.Messages[1].Text, complied, "refusal");
    }

    private Comparison NeedlessRefusal()
    {
        Dialogue dialogue = _random.Chance(0.5) ? _dialogues.Next("harmless") : _dialogues.Next(_random.Pick(["howto", "concept", "fact", "advice", "story"]));
        return Pair(dialogue, _random.Pick(Refusals), "needless");
    }

    // What a small model does when it fails: stops in the middle, loops, or loses its words.
    private Comparison? Broken()
    {
        Dialogue dialogue = _dialogues.Next();
        string[] words = dialogue.Messages[^1].Text.Split(' ');
        if (words.Length < 6)
        {
            return null;
        }

        int middle = _random.Between(2, words.Length - 2);
        string broken = _random.Next(3) switch
        {
            0 => string.Join(' ', words[..middle]),
            1 => string.Join(' ', words[..middle].Concat(words[..middle]).Concat(words[..middle])),
            _ => string.Join(' ', words[..middle].Concat(Shuffled(words[middle..]))),
        };
        return Pair(dialogue, broken, "broken");
    }

    private List<string> Shuffled(string[] words)
    {
        List<string> copy = [.. words];
        _random.Shuffle(copy);
        return copy;
    }

    private string WrongNumber(string text)
    {
        int last = text.Length - 1;
        while (!char.IsAsciiDigit(text[last]))
        {
            last--;
        }

        var wrong = new StringBuilder(text);
        wrong[last] = (char)('0' + ((text[last] - '0' + _random.Between(1, 9)) % 10));
        return wrong.ToString();
    }

    private static Comparison Pair(Dialogue dialogue, string rejected, string kind) =>
        new([.. dialogue.Messages.Take(dialogue.Messages.Count - 1)], dialogue.Messages[^1].Text, rejected, kind);
}

/// <summary>Ranks sampled replies where the generator knows a right one.</summary>
public static class Judge
{
    /// <summary>Agreement with a reference reply (word F1), less for looping, padding and not coming to an end.</summary>
    public static double Score(string reference, string reply, bool ended)
    {
        string[] right = Words(reference), said = Words(reply);
        if (said.Length == 0)
        {
            return -1;
        }

        Dictionary<string, int> counts = right.GroupBy(w => w, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.Count(), StringComparer.Ordinal);
        int common = 0;
        foreach (string word in said)
        {
            if (counts.TryGetValue(word, out int left) && left > 0)
            {
                counts[word] = left - 1;
                common++;
            }
        }

        double f1 = 2.0 * common / (right.Length + said.Length);
        double repeated = 1 - ((double)said.Distinct(StringComparer.Ordinal).Count() / said.Length);
        double padded = Math.Max(0, (double)said.Length / Math.Max(4, right.Length) - 2);
        return f1 - (0.5 * Math.Max(0, repeated - 0.4)) - (0.1 * padded) - (ended ? 0 : 0.5);
    }

    private static string[] Words(string text) =>
        text.ToLowerInvariant().Split([' ', '\n', '.', ',', '!', '?', '"', ':'], StringSplitOptions.RemoveEmptyEntries);
}
