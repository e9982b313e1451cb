// Puts exchanges together into dialogues: facts told and asked for again, system prompts, several subjects in a row.
// Endless and deterministic for a seed. One thread.
namespace InferenceServer.Training.Corpus;

public sealed class DialogueGenerator
{
    // Asked in few or general words ("Hello!"), which nobody may miss, or split by their parts: names, numbers, acts.
    private static readonly HashSet<string> Unsplit = ["greeting", "smalltalk", "identity", "unknown", "falsepremise", "arithmetic", "harmful", "joke", "story", "poem"];

    private readonly bool _heldOut;
    private readonly SeededRandom _random;
    private readonly Skills _skills;
    private readonly Recall _recall;
    private readonly (string Name, int Weight, Func<IReadOnlyList<Exchange>> Make)[] _catalogue;
    private readonly int _totalWeight;

    public DialogueGenerator(Grammar grammar, ulong seed)
    {
        _heldOut = grammar.HeldOut;
        _random = new SeededRandom(seed);
        _skills = new Skills(grammar, _random);
        _recall = new Recall(grammar, _random);
        _catalogue =
        [
            ("greeting", 4, _skills.Greeting), ("smalltalk", 8, _skills.SmallTalk), ("identity", 6, _skills.Identity),
            ("why", 5, _skills.Why), ("fact", 8, _skills.Fact), ("country", 7, _skills.Country), ("animal", 7, _skills.Animal),
            ("concept", 10, _skills.Concept), ("person", 4, _skills.Person), ("howto", 6, _skills.HowTo), ("advice", 4, _skills.Advice),
            ("recommend", 3, _skills.Recommend), ("word", 5, _skills.Word), ("code", 2, _skills.Code), ("story", 7, _skills.Story),
            ("poem", 4, _skills.Poem), ("joke", 5, _skills.Joke), ("list", 7, _skills.ListOf), ("rewrite", 5, _skills.Rewrite),
            ("reading", 7, _skills.Reading), ("arithmetic", 12, _skills.Arithmetic), ("format", 9, _skills.Format),
            ("unknown", 5, _skills.Unknown), ("falsepremise", 4, _skills.FalsePremise), ("harmful", 8, _skills.Harmful),
            ("harmless", 6, _skills.Harmless),
        ];
        _totalWeight = _catalogue.Sum(c => c.Weight);
    }

    /// <summary>Names of all skills a dialogue can end with.</summary>
    public IEnumerable<string> SkillNames => _catalogue.Select(c => c.Name).Append("recall");

    /// <summary>The next dialogue; of one skill when named.</summary>
    /// <param name="skill">A name from <see cref="SkillNames"/>, or null for the whole mixture.</param>
    public Dialogue Next(string? skill = null)
    {
        if (skill == "recall")
        {
            return RecallDialogue(null);
        }

        if (skill is not null)
        {
            return Assemble(null, [(skill, Make(skill, _catalogue.Single(c => c.Name == skill).Make))]);
        }

        Persona? persona = _random.Chance(0.22) ? Persona.Draw(_random) : null;
        _skills.AssistantName = persona?.Name;
        double kind = _random.NextDouble();
        if (kind < 0.24)
        {
            return RecallDialogue(persona);
        }

        int parts = kind < 0.62 ? 1 : kind < 0.88 ? _random.Between(2, 3) : _random.Between(4, 7);
        List<(string, IReadOnlyList<Exchange>)> chosen = [];
        for (int i = 0; i < parts; i++)
        {
            chosen.Add(i == 0 && parts > 1 && _random.Chance(0.4) ? ("greeting", _skills.Greeting()) : Draw());
        }

        return Assemble(persona, chosen);
    }

    private Dialogue RecallDialogue(Persona? persona)
    {
        List<(string, IReadOnlyList<Exchange>)> parts = [];
        IReadOnlyList<Recall.ToldFact> facts = _recall.Draw(_random.Chance(0.5) ? 1 : _random.Between(2, 4));
        List<Recall.ToldFact> open = [];
        if (_random.Chance(0.25))
        {
            parts.Add(("greeting", _skills.Greeting()));
        }

        foreach (Recall.ToldFact[] told in facts.Chunk(_random.Chance(0.3) ? 2 : 1))
        {
            parts.Add(("recall", [told.Length == 2 ? _recall.TellBoth(told[0], told[1]) : told[0].Tell()]));
            open.AddRange(told);
            int between = _random.Chance(0.4) ? 0 : _random.Between(1, 2);
            for (int i = 0; i < between; i++)
            {
                (string name, IReadOnlyList<Exchange> exchanges) = Draw();
                // "I don't know your name" would be wrong once it was told.
                if (name == "unknown")
                {
                    continue;
                }

                // A long text in between would only make the distance longer than the context of small runs.
                parts.Add((name, [.. exchanges.Take(name is "story" or "poem" or "howto" ? 0 : 1)]));
            }

            if (_random.Chance(0.35))
            {
                parts.Add(("recall", [_random.Pick(open).Ask()]));
            }
        }

        parts.Add(("recall", _random.Chance(0.12) ? [_recall.AskUntold(open)] : [_random.Pick(open).Ask()]));
        return Assemble(persona, parts);
    }

    private (string Name, IReadOnlyList<Exchange> Exchanges) Draw()
    {
        int at = _random.Next(_totalWeight);
        foreach ((string name, int weight, Func<IReadOnlyList<Exchange>> make) in _catalogue)
        {
            at -= weight;
            if (at < 0)
            {
                return (name, Make(name, make));
            }
        }

        throw new InvalidOperationException("The weights do not add up.");
    }

    // A question that is held out comes in no dialogue of the training split, and no other in the held-out one.
    private IReadOnlyList<Exchange> Make(string skill, Func<IReadOnlyList<Exchange>> make)
    {
        while (true)
        {
            IReadOnlyList<Exchange> made = make();
            if (Unsplit.Contains(skill) || HeldOut.Contains(made[0].User, HeldOut.OneQuestionIn) == _heldOut)
            {
                return made;
            }
        }
    }

    private Dialogue Assemble(Persona? persona, IEnumerable<(string Skill, IReadOnlyList<Exchange> Exchanges)> parts)
    {
        List<Message> messages = [];
        string last = "";
        if (persona is not null)
        {
            messages.Add(new("system", persona.SystemPrompt));
        }
        else if (_random.Chance(0.1))
        {
            messages.Add(new("system", _random.Pick(Persona.Plain)));
        }

        foreach ((string skill, IReadOnlyList<Exchange> exchanges) in parts)
        {
            foreach (Exchange exchange in exchanges)
            {
                messages.Add(new("user", Casual(exchange.User, skill)));
                messages.Add(new("assistant", persona is null ? exchange.Assistant : persona.Apply(exchange.Assistant, skill)));
                last = skill;
            }
        }

        return new Dialogue(messages, last);
    }

    // People type carelessly: small letters, no question mark, a "please" or a word in front.
    private string Casual(string text, string skill)
    {
        if (skill is "rewrite" or "reading")
        {
            return text;
        }

        if (_random.Chance(0.08) && text.Length > 2 && char.IsUpper(text[0]) && text[1] != ' ' && skill is not "recall")
        {
            text = _random.Pick(["Hey, ", "So, ", "Okay, ", "Well, ", "Now, ", "Please: "]) + char.ToLowerInvariant(text[0]) + text[1..];
        }

        if (_random.Chance(0.1))
        {
            text = text.ToLowerInvariant();
        }

        return _random.Chance(0.12) ? text.TrimEnd('.', '?', '!') : text;
    }
}
