// Pairs of replies with a known better one: scripted ones here, sampled and ranked ones from the compare stage.
using System.Globalization;
using System.Text.RegularExpressions;

namespace InferenceServer.Training.Corpus;

/// <summary>A prompt with a better and a worse reply; <see cref="Kind"/> says what makes the difference.</summary>
public sealed record Comparison(Message[] Prompt, string Chosen, string Rejected, string Kind);

public sealed class ComparisonGenerator(Grammar grammar, ulong seed)
{
    private const int LongestPrompt = 500;

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
    private readonly string[] _harmful = [.. Skills.HarmfulActs(grammar).Select(h => h.Act)];
    private readonly DialogueGenerator _dialogues = new(grammar, seed + 1);
    private readonly Recall _recall = new(grammar, new SeededRandom(seed + 2));
    private readonly Names _names = new(grammar, new SeededRandom(seed + 3));
    private readonly AnswerKeys _keys = new(grammar);

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

    /// <summary>A question with a right reply and, where there is one, the words that any right reply must hold.</summary>
    public (Message[] Prompt, string Reference, string? Key) Question(string skill)
    {
        if (skill == "recall")
        {
            (Dialogue asked, Recall.ToldFact fact) = _recall.Question(_dialogues, _random.Between(0, 2));
            return (PromptOf(asked), asked.Messages[^1].Text, fact.Value);
        }

        Dialogue dialogue = _dialogues.Next(skill);
        string reply = dialogue.Messages[^1].Text;
        string? key = skill == "arithmetic" ? SumKey(reply)
            : AnswerKeys.Skills.Contains(skill) ? _keys.Find(skill, dialogue.Messages[^2].Text, reply)?.Cell
            : null;
        return (PromptOf(dialogue), reply, key);
    }

    // "= 82" of a sum, all of a sorted list, the first number of a comparison.
    private static string SumKey(string reply) =>
        reply.Contains('=', StringComparison.Ordinal) ? "= " + Judge.LastNumber(reply)
        : reply.Contains(',', StringComparison.Ordinal) ? reply.TrimEnd('.')
        : reply.Split(' ')[0];

    // A right answer against a wrong one of the same kind, in the same words.
    private Comparison? Truthful() => _random.Next(8) switch
    {
        0 or 1 or 2 => WrongFact(_random.Pick([.. AnswerKeys.Skills])),
        3 => WrongSum(),
        4 or 5 => WrongRecall(),
        6 => WrongPremise(),
        _ => MadeUp(),
    };

    private Comparison? WrongFact(string skill)
    {
        Dialogue dialogue = _dialogues.Next(skill);
        return _keys.Wrong(skill, dialogue.Messages[^2].Text, dialogue.Messages[^1].Text, _random) is { } wrong ? Pair(dialogue, wrong, "truthful") : null;
    }

    private Comparison? WrongSum()
    {
        Dialogue dialogue = _dialogues.Next("arithmetic");
        string right = dialogue.Messages[^1].Text;
        int equals = right.LastIndexOf("= ", StringComparison.Ordinal);
        if (equals < 0 || !int.TryParse(right[(equals + 2)..].TrimEnd('.'), CultureInfo.InvariantCulture, out int result))
        {
            return null;
        }

        int wrong = Math.Abs(result + _random.Pick<int>([-11, -10, -9, -2, -1, 1, 2, 9, 10, 11]));
        return Pair(dialogue, $"{right[..(equals + 2)]}{Skills.Number(wrong)}.", "truthful");
    }

    private Comparison WrongRecall()
    {
        (Dialogue dialogue, Recall.ToldFact fact) = _recall.Question(_dialogues, _random.Between(0, 2));
        Recall.ToldFact other;
        do
        {
            other = _recall.Draw(1)[0];
        }
        while (other.Kind != fact.Kind || other.Value == fact.Value);

        return Pair(dialogue, dialogue.Messages[^1].Text.Replace(fact.Value, other.Value, StringComparison.OrdinalIgnoreCase), "truthful");
    }

    private Comparison? WrongPremise()
    {
        (Row right, Row other) = (_random.Pick(grammar.Table("countries")), _random.Pick(grammar.Table("countries")));
        if (right["capital"] == other["capital"])
        {
            return null;
        }

        (string asked, string told) = _random.Chance(0.5) ? (other["capital"], "No, ") : (right["capital"], "Yes, ");
        string truth = $"the capital of {right["country"]} is {right["capital"]}.", lie = $"the capital of {right["country"]} is {other["capital"]}.";
        Message[] prompt = [new("user", _random.Chance(0.5) ? $"Is {asked} the capital of {right["country"]}?" : $"{asked} is the capital of {right["country"]}, right?")];
        return new Comparison(prompt, told + truth, (told == "No, " ? "Yes, " : "No, ") + lie, "truthful");
    }

    // An invented name, honestly not known against a life made up for it.
    private Comparison MadeUp()
    {
        string name = $"{_names.MadeUp()} {_names.MadeUp()}";
        Row person = _random.Pick(grammar.Table("people"));
        return new Comparison(
            [new("user", _random.Pick([$"Who is {name}?", $"Tell me about {name}.", $"Who was {name}?"]))],
            _random.Pick([$"I don't know anyone called {name}.", $"I'm sorry, I don't know who {name} is.", $"I have not heard of {name}, so I can't say."]),
            $"{name} was {person["who"]}. {person["fact"]}",
            "truthful");
    }

    private Comparison Brief()
    {
        Dialogue dialogue = Short();
        string reply = dialogue.Messages[^1].Text;
        string padded = _random.Chance(0.5)
            ? $"{_random.Pick(Padding)} {reply} {_random.Pick(Padding)}"
            : $"{reply} {string.Join(' ', _random.Sample(Padding, 2))}";
        return Pair(dialogue, padded, "brief");
    }

    private Comparison OnTopic()
    {
        Dialogue dialogue = Short(), other = Short();
        return Pair(dialogue, other.Messages[^1].Text, "topic");
    }

    private Comparison Refusal()
    {
        Dialogue dialogue = _dialogues.Next("harmful");
        Message[] asked = [dialogue.Messages[0]];
        string known = _harmful.Where(h => asked[0].Text.Contains(h, StringComparison.OrdinalIgnoreCase)).MaxBy(h => h.Length) ?? "do that";
        string complied = string.Format(CultureInfo.InvariantCulture, _random.Pick(Compliance), known);
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
        Dialogue dialogue = Short();
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

    // Long chats cost time and add nothing to what their last reply shows.
    private Dialogue Short()
    {
        while (true)
        {
            Dialogue dialogue = _dialogues.Next();
            if (dialogue.PromptText.Length <= LongestPrompt)
            {
                return dialogue;
            }
        }
    }

    private static Message[] PromptOf(Dialogue dialogue) => [.. dialogue.Messages.Take(dialogue.Messages.Count - 1)];

    private static Comparison Pair(Dialogue dialogue, string rejected, string kind) =>
        new(PromptOf(dialogue), dialogue.Messages[^1].Text, rejected, kind);
}

/// <summary>Ranks sampled replies where the generator knows a right one.</summary>
public static partial class Judge
{
    /// <summary>
    /// Whether the reply holds the key, or without one its agreement with a reference (word F1); less for looping,
    /// padding and not coming to an end.
    /// </summary>
    public static double Score(string reference, string? key, string reply, bool ended)
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
        double fits = key is null ? f1 : AnswerKeys.Holds(reply, key) ? 1 : 0;
        return fits - (0.5 * Math.Max(0, repeated - 0.4)) - (0.1 * padded) - (ended ? 0 : 0.5);
    }

    internal static string? LastNumber(string text) => Digits().Matches(text) is { Count: > 0 } all ? all[^1].Value : null;

    [GeneratedRegex(@"\d+")]
    private static partial Regex Digits();

    private static string[] Words(string text) =>
        text.ToLowerInvariant().Split([' ', '\n', '.', ',', '!', '?', '"', ':'], StringSplitOptions.RemoveEmptyEntries);
}
