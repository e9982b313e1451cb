// The skills a dialogue is made of: each method returns one or more exchanges that belong together.
// Facts come from the tables, phrasing from choices here; replies are short, true and plain.
using System.Globalization;

namespace InferenceServer.Training.Corpus;

public sealed partial class Skills(Grammar grammar, SeededRandom random)
{
    private readonly Names _names = new(grammar, random);
    private readonly (string Act, string Offer)[] _harmful = [.. HarmfulActs(grammar)];

    /// <summary>Name the assistant goes by, when a system prompt gave it one.</summary>
    public string? AssistantName { get; set; }

    public IReadOnlyList<Exchange> Greeting()
    {
        string hello = Pick("Hello", "Hi", "Hey", "Hello there", "Hi there", "Good morning", "Good evening", "Good afternoon", "Hey there", "Greetings", "Hiya", "Good day");
        string answer = hello.StartsWith("Good", StringComparison.Ordinal) ? hello : Pick("Hello", "Hi", "Hi there", "Hello there");
        string ask = Pick("How can I help you today?", "How can I help you?", "What can I do for you?", "What would you like to talk about?", "It's nice to hear from you. What's on your mind?", "How are you today?", "What would you like to know?");
        string user = hello + Pick("!", ".", "", "!", ", how are you?", " :)");
        return user.EndsWith("you?", StringComparison.Ordinal)
            ? [new(user, $"{answer}! I'm doing well, thank you. {Pick("How are you?", "How can I help you?", "And you?")}")]
            : [new(user, $"{answer}! {ask}")];
    }

    public IReadOnlyList<Exchange> SmallTalk()
    {
        Row row = Pick("smalltalk");
        return [new(row["said"], row["reply"])];
    }

    public IReadOnlyList<Exchange> Identity()
    {
        Row row = Pick("identity");
        string told = row["told"];
        if (AssistantName is { } name)
        {
            told = told.Replace("Chat Small, a small language model made by the InferenceServer project", name + ", your assistant", StringComparison.Ordinal)
                .Replace("Chat Small", name, StringComparison.Ordinal);
        }

        return [new(row["asked"], told)];
    }

    public IReadOnlyList<Exchange> Why()
    {
        Row row = Pick("whys");
        string question = row["question"];
        string core = char.ToLowerInvariant(question[0]) + question[1..];
        return [new(Pick(question, question, $"Do you know {Indirect(core)}", $"I have a question: {core}", $"Please explain: {core}", $"Tell me, {core}"), row["because"])];
    }

    public IReadOnlyList<Exchange> Fact()
    {
        Row row = Pick("big");
        string question = row["asked2"];
        string core = char.ToLowerInvariant(question[0]) + question[1..];
        return [new(Pick(question, question, question, $"Tell me, {core}", $"Quick question: {core}", $"Can you tell me: {core}"), row["answer2"])];
    }

    public IReadOnlyList<Exchange> Country()
    {
        Row row = Pick("countries");
        string country = row["country"], name = Grammar.Capitalize(country);
        List<Exchange> all = [];
        List<Func<bool, Exchange>> questions =
        [
            follow => new(follow ? Pick("What is its capital?", "And the capital?", "What about its capital?")
                : Pick($"What is the capital of {country}?", $"What's the capital of {country}?", $"Tell me the capital of {country}.", $"Which city is the capital of {country}?", $"Capital of {country}?", $"Do you know the capital of {country}?"),
                Pick($"The capital of {country} is {row["capital"]}.", $"{Grammar.Capitalize(row["capital"])} is the capital of {country}.", $"It is {row["capital"]}.").Replace("D.C..", "D.C.", StringComparison.Ordinal)),
            follow => new(follow ? Pick("Which language do people speak there?", "What do they speak there?", "And the language?")
                : Pick($"What language do people speak in {country}?", $"Which language is spoken in {country}?", $"What do they speak in {country}?"),
                Pick($"People in {country} speak {row["language"]}.", $"They speak {row["language"]} there.", $"In {country}, people speak {row["language"]}.")),
            follow => new(follow ? Pick("Where is it?", "Which continent is it in?", "And where does it lie?")
                : Pick($"Where is {country}?", $"Which continent is {country} in?", $"Where can I find {country}?"),
                Pick($"{name} is in {row["continent"]}.", $"It is in {row["continent"]}.", $"{name} lies in {row["continent"]}.")),
            follow => new(follow ? Pick("What is it known for?", "Why is it famous?", "Tell me more about it.")
                : Pick($"What is {country} known for?", $"Tell me about {country}.", $"Tell me something about {country}.", $"What do you know about {country}?"),
                Pick($"{name} is known for {row["known"]}.", $"{name} is a country in {row["continent"]}. It is known for {row["known"]}.", $"{name} lies in {row["continent"]}, and its capital is {row["capital"]}. It is known for {row["known"]}.")),
        ];
        random.Shuffle(questions);
        int count = random.Chance(0.4) ? random.Between(2, 3) : 1;
        for (int i = 0; i < count; i++)
        {
            all.Add(questions[i](i > 0));
        }

        return all;
    }

    public IReadOnlyList<Exchange> Animal()
    {
        Row row = Pick("animals");
        string animal = row["animal"], one = Grammar.WithArticle(animal), One = Grammar.Capitalize(one);
        List<Func<bool, Exchange>> questions =
        [
            follow => new(follow ? Pick("What does it eat?", "And what does it eat?") : Pick($"What does {one} eat?", $"What do {Plural(animal)} eat?", $"Tell me what {one} eats."),
                Pick($"{One} eats {row["food"]}.", $"It eats {row["food"]}.", $"Mostly {row["food"]}.")),
            follow => new(follow ? Pick("Where does it live?", "And where does it live?") : Pick($"Where does {one} live?", $"Where do {Plural(animal)} live?", $"Where can I find {one}?"),
                Pick($"{One} lives in {row["home"]}.", $"It lives in {row["home"]}.", $"You can find it in {row["home"]}.")),
            follow => new(follow ? Pick("What is its baby called?", "And the young one?", "What do you call its baby?") : Pick($"What is a baby {animal} called?", $"What do you call a young {animal}?"),
                Pick($"A baby {animal} is called {row["baby"]}.", $"It is called {row["baby"]}.")),
            follow => new(follow ? Pick("What kind of animal is it?", "Is it a mammal?") : Pick($"What is {one}?", $"What kind of animal is {one}?"),
                $"{One} is {Grammar.WithArticle(row["kind"])}. {Pick($"It lives in {row["home"]}.", row["fact"], $"It eats {row["food"]}.")}"),
            follow => new(follow ? Pick("Tell me a fact about it.", "Tell me something interesting about it.", "Anything else?") : Pick($"Tell me about the {animal}.", $"Tell me a fact about {Plural(animal)}.", $"What do you know about {Plural(animal)}?", $"Tell me something interesting about {Plural(animal)}."),
                Pick(row["fact"], $"{row["fact"]} It lives in {row["home"]}.", $"{One} is {Grammar.WithArticle(row["kind"])} and eats {row["food"]}. {row["fact"]}")),
            follow => new(follow ? Pick("What sound does it make?", "And the sound?") : Pick($"What sound does {one} make?", $"What does {one} sound like?"),
                row["sound"].StartsWith("makes", StringComparison.Ordinal) ? $"{One} {row["sound"]}." : Pick($"{One} {row["sound"]}.", $"It {row["sound"]}.")),
        ];
        random.Shuffle(questions);
        int count = random.Chance(0.45) ? random.Between(2, 3) : 1;
        return [.. Enumerable.Range(0, count).Select(i => questions[i](i > 0))];
    }

    public IReadOnlyList<Exchange> Concept()
    {
        Row row = Pick("concepts");
        string concept = row["concept"], Concept = Grammar.Capitalize(concept);
        string answer = $"{Concept} is {row["definition"]}.";
        string more = row["more"];
        return Pick(
            [new Exchange(AskWhat(concept), $"{answer} {more}")],
            [new Exchange(AskWhat(concept), $"{answer} {more}")],
            [new Exchange(AskWhat(concept), answer), new Exchange(Pick("Tell me more.", "Can you tell me more?", "What else?", "More, please.", "Go on."), more)],
            (IReadOnlyList<Exchange>)[new Exchange(Pick($"Explain {concept} in one sentence.", $"In one sentence, what is {concept}?", $"Define {concept} in one sentence."), answer)]);

        string AskWhat(string c) => Pick($"What is {c}?", $"What is {c}?", $"What's {c}?", $"Explain {c}.", $"Can you explain {c}?", $"Can you explain what {c} is?", $"What do you know about {c}?", $"Tell me about {c}.", $"Please explain {c} to me.", $"What does \"{Bare(c)}\" mean?", $"Explain {c} to a child.", $"How would you describe {c}?");
    }

    public IReadOnlyList<Exchange> Person()
    {
        Row row = Pick("people");
        string person = row["person"];
        Exchange who = new(Pick($"Who was {person}?", $"Who is {person}?", $"Tell me about {person}.", $"What do you know about {person}?"), $"{person} was {row["who"]}. {row["fact"]}");
        Exchange famous = new(Pick($"Why is {person} famous?", $"What is {person} known for?"), row["fact"]);
        return random.Chance(0.7) ? [who] : [famous];
    }

    public IReadOnlyList<Exchange> HowTo()
    {
        Row row = Pick("howtos");
        string task = row["task"];
        string[] steps = row["steps"].Split(';');
        string ask = Pick($"How do I {task}?", $"How can I {task}?", $"How to {task}?", $"Tell me how to {task}.", $"Can you tell me how to {task}?", $"What are the steps to {task}?", $"I want to {task}. How do I do it?", $"Explain how to {task}.");
        string list = string.Join('\n', steps.Select((s, i) => $"{Number(i + 1)}. {s}"));
        string intro = Pick("Here is how:", $"Here is how to {task.Replace(" my ", " your ", StringComparison.Ordinal)}:", "Follow these steps:", "");
        List<Exchange> all = [new(ask, intro.Length == 0 ? list : $"{intro}\n{list}")];
        if (random.Chance(0.3))
        {
            int step = random.Next(steps.Length);
            all.Add(new(step == 0 ? Pick("What is the first step?", "What do I do first?") : Pick($"What is step {Number(step + 1)}?", $"Can you repeat step {Number(step + 1)}?"), steps[step]));
        }

        return all;
    }

    public IReadOnlyList<Exchange> Advice()
    {
        Row row = Pick("advice");
        string problem = row["problem"];
        return [new(Pick($"{problem}. What should I do?", $"{problem}. Any tips?", $"{problem}. Can you help?", $"{problem}.", $"{problem}. Do you have any advice?", $"Help! {problem}."), row["tip"])];
    }

    public IReadOnlyList<Exchange> Recommend()
    {
        Row row = Pick("recommend");
        string wish = row["wish"];
        return [new(Pick($"Can you recommend {wish}?", $"Recommend {wish}, please.", $"I'm looking for {wish}. Any ideas?", $"Suggest {wish}.", $"What is {wish} you would suggest?", $"Do you have an idea for {wish}?"), row["pick"])];
    }

    public IReadOnlyList<Exchange> Word()
    {
        switch (random.Next(7))
        {
            case 0:
                Row opposite = Pick("opposites");
                return [new(Pick($"What is the opposite of {opposite["word"]}?", $"What is the opposite of \"{opposite["word"]}\"?", $"Give me the opposite of {opposite["word"]}.", $"Opposite of {opposite["word"]}?"), Pick($"The opposite of \"{opposite["word"]}\" is \"{opposite["opposite"]}\".", $"{Grammar.Capitalize(opposite["opposite"])}."))];
            case 1:
                Row synonym = Pick("synonyms");
                return [new(Pick($"What is another word for {synonym["word"]}?", $"Give me a synonym for \"{synonym["word"]}\".", $"What is a synonym of {synonym["word"]}?"), Pick($"Another word for \"{synonym["word"]}\" is \"{synonym["synonym"]}\".", $"{Grammar.Capitalize(synonym["synonym"])}."))];
            case 2:
                Row verb = Pick("verbs");
                return [new(Pick($"What is the past tense of {verb["verb"]}?", $"Past tense of \"{verb["verb"]}\"?", $"How do you say \"{verb["verb"]}\" in the past?"), $"The past tense of \"{verb["verb"]}\" is \"{verb["past"]}\".")];
            case 3:
                Row plural = Pick("plurals");
                return [new(Pick($"What is the plural of {plural["singular"]}?", $"Plural of \"{plural["singular"]}\"?"), $"The plural of \"{plural["singular"]}\" is \"{plural["plural"]}\".")];
            case 4:
                Row color = Pick("colors");
                return [new(Pick($"What color is {color["colored"]}?", $"Which color does {color["colored"]} have?"), Pick($"{Grammar.Capitalize(color["colored"])} is {color["color"]}.", $"It is {color["color"]}."))];
            case 5:
                Row food = Pick("foods");
                return [new(Pick($"What does {Grammar.WithArticle(food["food"])} taste like?", $"How does {Grammar.WithArticle(food["food"])} taste?"), $"{Grammar.Capitalize(Grammar.WithArticle(food["food"]))} is {food["taste"]}.")];
            default:
                Row word = Pick("translations");
                string language = Pick("Spanish", "French", "German");
                string translated = word[language.ToLowerInvariant()];
                return [new(Pick($"How do you say \"{word["english"]}\" in {language}?", $"Translate \"{word["english"]}\" into {language}.", $"What is \"{word["english"]}\" in {language}?", $"What is the {language} word for \"{word["english"]}\"?"), Pick($"\"{Grammar.Capitalize(word["english"])}\" in {language} is \"{translated}\".", $"In {language} it is \"{translated}\".", $"\"{translated}\"."))];
        }
    }

    public IReadOnlyList<Exchange> Code()
    {
        Row row = Pick("code");
        string language = row["codelang"], task = row["codetask"];
        string ask = Pick($"Write a {language} program that {task}.", $"Write {language} code that {task}.", $"Show me {language} code that {task}.", $"How do I write code that {task} in {language}?", $"Can you write a small {language} example that {task}?");
        string intro = Pick($"Here is {language} code that {task}:", "Here it is:", "Here you go:");
        return [new(ask, $"{intro}\n```{language.ToLowerInvariant().Replace("c#", "csharp", StringComparison.Ordinal)}\n{row["snippet"]}\n```")];
    }

    /// <summary>The harmful acts of the grammar's split, each with what can be offered instead.</summary>
    public static IEnumerable<(string Act, string Offer)> HarmfulActs(Grammar grammar) =>
        from row in grammar.Table("harmful")
        from what in row["what"].Split(';')
        let act = $"{row["does"]} {what}"
        where HeldOut.Contains(act, HeldOut.OneActIn) == grammar.HeldOut
        select (act, row["offer"]);

    internal string Pick(params string[] options) => random.Pick(options);

    internal IReadOnlyList<Exchange> Pick(params IReadOnlyList<Exchange>[] options) => random.Pick(options);

    internal static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    internal Row PickRow(string table) => random.Pick(grammar.Table(table));

    private Row Pick(string table) => PickRow(table);

    private static string Bare(string concept) =>
        concept.StartsWith("a ", StringComparison.Ordinal) ? concept[2..]
        : concept.StartsWith("an ", StringComparison.Ordinal) ? concept[3..]
        : concept.StartsWith("the ", StringComparison.Ordinal) ? concept[4..] : concept;

    private string Plural(string animal)
    {
        Row? known = grammar.Table("plurals").FirstOrDefault(r => r["singular"] == animal);
        return known is not null ? known["plural"]
            : animal.EndsWith("fish", StringComparison.Ordinal) || animal is "sheep" or "salmon" ? animal
            : animal.EndsWith('x') || animal.EndsWith("ch", StringComparison.Ordinal) ? animal + "es"
            : animal.EndsWith('y') && !animal.EndsWith("ey", StringComparison.Ordinal) ? animal[..^1] + "ies"
            : animal + "s";
    }

    // "why is the sky blue?" -> "why the sky is blue?" only where the word order is safe to turn; else the plain question.
    private static string Indirect(string question)
    {
        string[] words = question.TrimEnd('?').Split(' ');
        return words.Length >= 5 && words[1] is "is" or "are" && words[2] is "the" && words.Length == 5
            ? $"{words[0]} {words[2]} {words[3]} {words[1]} {words[4]}?"
            : "the answer to this: " + question;
    }
}
