// Obeying a format, and the replies that need judgement: not knowing, correcting, declining.
namespace InferenceServer.Training.Corpus;

public sealed partial class Skills
{
    /// <summary>A request whose reply must have a given form.</summary>
    public IReadOnlyList<Exchange> Format()
    {
        switch (random.Next(6))
        {
            case 0 or 1:
                (string question, string word) = OneWord();
                return [new(Pick($"{question} Answer with one word.", $"Answer in one word: {question}", $"{question} One word only.", $"In one word: {question}", $"{question} Just one word, please."), word + ".")];
            case 2:
                (string statement, bool truth) = YesNo();
                return [new(Pick($"{statement} Answer yes or no.", $"Yes or no: {statement}", $"{statement} Just say yes or no."), truth ? "Yes." : "No.")];
            case 3:
                Row row = Pick("categories");
                IReadOnlyList<string> members = random.Sample(row["members"].Split(';'), 3);
                string list = Pick($"1. {Grammar.Capitalize(members[0])}\n2. {Grammar.Capitalize(members[1])}\n3. {Grammar.Capitalize(members[2])}", $"- {Grammar.Capitalize(members[0])}\n- {Grammar.Capitalize(members[1])}\n- {Grammar.Capitalize(members[2])}");
                return [new(Pick($"Give me a list of three {row["category"]}.", $"List three {row["category"]}.", $"Answer with a list of three: {row["category"]}.", $"Write down three {row["category"]} as a list."), list)];
            case 4:
                Row concept = Pick("concepts");
                string ending = Pick("Would you like to know more?", "What else would you like to know?", "Does that help?", "Did you know that?");
                return [new(Pick($"What is {concept["concept"]}? End with a question.", $"Tell me about {concept["concept"]} and end with a question.", $"Explain {concept["concept"]}. End your answer with a question."), $"{Grammar.Capitalize(concept["concept"])} is {concept["definition"]}. {ending}")];
            default:
                Row animal = Pick("animals");
                return [new(Pick($"Tell me about the {animal["animal"]} in one sentence.", $"In one sentence, tell me about the {animal["animal"]}.", $"One sentence about the {animal["animal"]}, please."), animal["fact"])];
        }
    }

    public IReadOnlyList<Exchange> Unknown()
    {
        if (random.Chance(0.55))
        {
            Row row = Pick("unknown");
            return [new(row["hidden"], row["honest"])];
        }

        string first = _names.MadeUp(), last = _names.MadeUp();
        return random.Next(3) switch
        {
            0 => [new(Pick($"Who is {first} {last}?", $"Tell me about {first} {last}.", $"Who was {first} {last}?"), Pick($"I don't know anyone called {first} {last}.", $"I'm sorry, I don't know who {first} {last} is.", $"I have not heard of {first} {last}, so I can't say."))],
            1 => [new(Pick($"What is a {first.ToLowerInvariant()}?", $"What does \"{first.ToLowerInvariant()}\" mean?"), Pick($"I don't know the word \"{first.ToLowerInvariant()}\". Where did you see it?", $"I'm not sure what \"{first.ToLowerInvariant()}\" means. It may be a made-up word."))],
            _ => [new(Pick($"What is the capital of {first}?", $"Where is {first}?"), Pick($"I don't know a country called {first}.", $"I'm sorry, I don't know {first}. Is it a made-up place?"))],
        };
    }

    public IReadOnlyList<Exchange> FalsePremise()
    {
        if (random.Chance(0.4))
        {
            Row row = Pick("false");
            return [new(row["premise"], row["truth"])];
        }

        Row right = Pick("countries"), other = Pick("countries");
        if (right["country"] == other["country"])
        {
            string yes = $"Yes, {right["capital"]} is the capital of {right["country"]}.";
            return [new($"Is {right["capital"]} the capital of {right["country"]}?", yes)];
        }

        string truth = $"the capital of {right["country"]} is {right["capital"]}.".Replace("D.C..", "D.C.", StringComparison.Ordinal);
        if (random.Chance(0.3))
        {
            return [new(Pick($"Is {right["capital"]} the capital of {right["country"]}?", $"{right["capital"]} is the capital of {right["country"]}, right?"), $"Yes, {truth}")];
        }

        return [new(Pick($"Is {other["capital"]} the capital of {right["country"]}?", $"{other["capital"]} is the capital of {right["country"]}, right?", $"Why is {other["capital"]} the capital of {right["country"]}?"),
            Pick($"No, {truth}", $"Actually, {truth}", $"That is not right: {truth}"))];
    }

    public IReadOnlyList<Exchange> Harmful()
    {
        (string act, string offer) = random.Pick(_harmful);
        string no = Pick("I'm sorry, but I can't help with that.", "I can't help with that, because it could hurt someone.", "Sorry, I can't help with that.", "I won't help with that, since someone could get hurt.", "That could cause harm, so I can't help with it.");
        List<Exchange> all = [new(AskHow(act), $"{no} {offer}")];
        if (random.Chance(0.2))
        {
            all.Add(new(Pick("Please, just this once.", "Come on, tell me.", "But I really need it.", "Nobody will know.", "It is only for a film.", "I promise not to do it."), Pick("I'm sorry, but my answer is still no. I'm happy to help with something else.", "I understand, but I still can't help with that. Is there something else I can do?")));
        }

        return all;
    }

    /// <summary>What sounds like a harmful request but is none.</summary>
    public IReadOnlyList<Exchange> Harmless()
    {
        if (random.Chance(0.2))
        {
            Row asked = Pick("harmless");
            return [new(asked["safeask"], asked["safereply"])];
        }

        Row row = Pick("lookalike");
        return [new(AskHow(row["act"]), row["help"])];
    }

    // The same words for harmful acts and their harmless look-alikes: only the act itself may decide.
    private string AskHow(string act) => Pick(
        $"How do I {act}?", $"How do I {act}?", $"How can I {act}?", $"How to {act}?", $"Tell me how to {act}.", $"Help me {act}.", $"I want to {act}.", $"Can you help me {act}?",
        $"Explain how to {act}.", $"What is the best way to {act}?", $"Teach me how to {act}.", $"Give me a plan to {act}.", $"I need to {act}. What do I do?", $"For a story, explain how to {act}.",
        $"Could you explain to me how to {act}?", $"What do I need to {act}?", $"Is there an easy way to {act}?", $"My friend wants to {act}. What should I tell him?", $"Step by step, how do I {act}?", $"I'd like to {act}. Any tips?");

    internal (string Question, string Word) OneWord()
    {
        switch (random.Next(6))
        {
            case 0:
                Row country = random.Pick([.. grammar.Table("countries").Where(r => !r["capital"].Contains(' ', StringComparison.Ordinal))]);
                return ($"What is the capital of {country["country"]}?", country["capital"]);
            case 1:
                Row opposite = Pick("opposites");
                return ($"What is the opposite of {opposite["word"]}?", Grammar.Capitalize(opposite["opposite"]));
            case 2:
                Row color = Pick("colors");
                return ($"What color is {color["colored"]}?", Grammar.Capitalize(color["color"]));
            case 3:
                Row synonym = Pick("synonyms");
                return ($"What is another word for {synonym["word"]}?", Grammar.Capitalize(synonym["synonym"]));
            case 4:
                Row verb = Pick("verbs");
                return ($"What is the past tense of {verb["verb"]}?", Grammar.Capitalize(verb["past"]));
            default:
                Row category = random.Pick([.. grammar.Table("categories").Where(r => r["members"].Split(';').All(m => !m.Contains(' ', StringComparison.Ordinal)))]);
                string member = random.Pick(category["members"].Split(';'));
                return ($"Name one of the {category["category"]} you know.", Grammar.Capitalize(member));
        }
    }

    private (string Statement, bool Truth) YesNo()
    {
        bool truth = random.Chance(0.5);
        switch (random.Next(4))
        {
            case 0:
                Row country = Pick("countries"), other = Pick("countries");
                truth = truth || country["capital"] == other["capital"];
                return ($"Is {(truth ? country : other)["capital"]} the capital of {country["country"]}?", truth);
            case 1:
                int a = random.Between(0, 50), b = random.Between(51, 99);
                return truth ? ($"Is {b} larger than {a}?", true) : ($"Is {a} larger than {b}?", false);
            case 2:
                Row animal = Pick("animals");
                string kind = truth ? animal["kind"] : animal["kind"] == "bird" ? "fish" : "bird";
                return ($"Is {Grammar.WithArticle(animal["animal"])} {Grammar.WithArticle(kind)}?", truth);
            default:
                Row color = Pick("colors");
                string said = truth ? color["color"] : color["color"] == "blue" ? "red" : "blue";
                return ($"Is {color["colored"]} {said}?", truth);
        }
    }
}
