// Stories, poems, jokes, lists, rewriting, summaries and questions about a text given in the prompt.
namespace InferenceServer.Training.Corpus;

public sealed partial class Skills
{
    private static readonly string[] AnimalsForStories =
        ["cat", "dog", "fox", "rabbit", "bear", "owl", "mouse", "frog", "duck", "wolf", "lion", "elephant", "penguin", "turtle", "squirrel", "hedgehog", "dragon", "horse", "bird", "monkey"];

    public IReadOnlyList<Exchange> Story()
    {
        var bindings = new Dictionary<string, string>(StringComparer.Ordinal);
        string about, text;
        bool brief = random.Chance(0.3);
        switch (random.Next(4))
        {
            case 0 or 1:
                string animal = random.Pick(AnimalsForStories);
                bindings["animal"] = animal;
                text = grammar.Expand(brief ? "animalshort" : "animalstory", random, bindings);
                about = Grammar.WithArticle(Pick("", "", "little ", "brave ", "small ", "friendly ") + animal);
                break;
            case 2:
                string thing = grammar.Expand("thing", random);
                bindings["object"] = thing;
                text = grammar.Expand("thingstory", random, bindings);
                about = Grammar.WithArticle(thing);
                brief = false;
                break;
            default:
                text = grammar.Expand(brief ? "shortstory" : "story", random, bindings);
                about = Pick("", "", "a child", "friendship", "a brave child", $"someone named {bindings["name"]}", $"{bindings["name"]}");
                break;
        }

        string kind = brief ? Pick("short story", "very short story", "tiny story", "short tale") : Pick("story", "story", "tale", "bedtime story", "little story");
        string subject = about.Length == 0 ? "" : " about " + about;
        string ask = Pick($"Tell me a {kind}{subject}.", $"Write a {kind}{subject}.", $"Can you tell me a {kind}{subject}?", $"Please write a {kind}{subject}.", $"I want to hear a {kind}{subject}.", $"A {kind}{subject}, please.");
        List<Exchange> all = [new(ask, text)];
        if (random.Chance(0.35))
        {
            all.Add(Pick2(
                new(Pick("What was the name of the hero?", "Who was the story about?", "What was the main character called?"), Pick($"The hero was called {bindings["name"]}.", $"The story was about {bindings["name"]}.", $"{bindings["name"]}.")),
                new(Pick("Thank you, that was nice.", "I liked that story.", "Nice story!", "That was lovely."), Pick("I'm glad you liked it!", $"Thank you! {bindings["name"]} says hello.", "Thank you! Would you like another one?"))));
        }

        return all;
    }

    public IReadOnlyList<Exchange> Poem()
    {
        Row t = Pick("topics");
        string topic = t["topic"], one = t["thing1"], two = t["thing2"];
        string verb = t["does"], where = t["where2"], adjective = t["adj"];
        (string A, string B)[] couplets =
        [
            ($"{Grammar.Capitalize(one)} and {two},", "they make the world feel new."),
            ($"Oh {adjective} and {Pick("gentle", "lovely", "quiet")} {Bare(topic)}, stay,", "and keep me company today."),
            ($"{Grammar.Capitalize(topic)} {verb} {where},", Pick("and I could ask for nothing more.", "and leaves me wishing for some more.")),
            ($"I see {one}, I hear a sound,", $"and there is {Pick("joy", "peace", "wonder")} all around."),
            ($"So {adjective} the day, so {Pick("soft", "still", "long")} the night,", $"{one} {Pick("and", "with")} a little light."),
            ($"When I am sad and far from home,", $"I think of {topic} and feel less alone."),
            ($"{Grammar.Capitalize(two)} pass me by,", "below the wide and open sky."),
            ("I close my eyes and hear it sing,", $"{topic}, {Pick("a small and lovely thing", "the song that mornings bring")}."),
            ("The hours come, the hours go,", $"but {topic} {Pick("is all I need to know", "is something that I know")}."),
            ($"Let others run, let others race,", $"with {topic} I find my place."),
            ($"{Grammar.Capitalize(one)}, {two},", "all of this I share with you."),
        ];
        int count = random.Between(2, 4);
        IReadOnlyList<(string A, string B)> chosen = random.Sample(couplets, count);
        string text = string.Join('\n', chosen.Select(c => $"{c.A}\n{c.B}"));
        string kind = count == 2 ? Pick("short poem", "poem", "little poem") : Pick("poem", "poem", "rhyme");
        string ask = Pick($"Write a {kind} about {topic}.", $"Write me a {kind} about {topic}.", $"Can you write a {kind} about {topic}?", $"A {kind} about {topic}, please.", $"Please make up a {kind} about {topic}.", $"I'd like a {kind} about {topic}.");
        return [new(ask, text)];
    }

    public IReadOnlyList<Exchange> Joke()
    {
        Row row = Pick("jokes");
        List<Exchange> all = [new(Ask(row), Tell(row))];
        if (random.Chance(0.35))
        {
            all.Add(new(Pick("Another one!", "Tell me another one.", "One more, please.", "Do you know another one?", "Haha, one more!"), Tell(Pick("jokes"))));
        }
        else if (random.Chance(0.2))
        {
            all.Add(new(Pick("I don't get it.", "Explain it, please.", "Haha, good one!", "That's funny."), Pick("Jokes play with words that sound alike or mean two things. Shall I try another one?", "I'm glad you are here to listen! Would you like another one?")));
        }

        return all;

        string Ask(Row r) => random.Chance(0.35)
            ? Pick("Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Can you tell me a joke?", "Tell me something funny.", "A joke, please.", "Say something funny.")
            : Pick($"Tell me a joke about {r["joketopic"]}.", $"Do you know a joke about {r["joketopic"]}?", $"Can you tell me a joke about {r["joketopic"]}?", $"A joke about {r["joketopic"]}, please.");
        string Tell(Row r) => $"{r["setup"]} {r["punch"]}";
    }

    public IReadOnlyList<Exchange> ListOf()
    {
        Row row = Pick("categories");
        string category = row["category"];
        string[] members = row["members"].Split(';');
        int count = random.Between(2, Math.Min(5, members.Length - 1));
        IReadOnlyList<string> chosen = random.Sample(members, count + 1);
        string[] words = ["", "one", "two", "three", "four", "five"];
        string amount = random.Chance(0.75) ? words[count] : Number(count);
        string ask, answer;
        if (random.Chance(0.5))
        {
            ask = Pick($"Name {amount} {category}.", $"Tell me {amount} {category}.", $"Give me {amount} {category}.", $"What are {amount} {category}?", $"Can you name {amount} {category}?");
            answer = Grammar.Capitalize(Joined(chosen.Take(count))) + ".";
        }
        else
        {
            ask = Pick($"List {amount} {category}.", $"Make a list of {amount} {category}.", $"Give me a list of {amount} {category}.", $"Write a list of {amount} {category}.", $"I need a list of {amount} {category}.");
            bool bullets = random.Chance(0.4);
            answer = string.Join('\n', chosen.Take(count).Select((m, i) => (bullets ? "- " : Number(i + 1) + ". ") + Grammar.Capitalize(m)));
            ask = bullets && random.Chance(0.5) ? ask.TrimEnd('.') + " with bullets." : ask;
        }

        List<Exchange> all = [new(ask, answer)];
        if (random.Chance(0.35))
        {
            all.Add(Pick2(
                new(Pick("One more, please.", "Can you add one more?", "And one more?"), Grammar.Capitalize(chosen[count]) + "."),
                new(Pick("Which one did you name first?", "What was the first one?"), Grammar.Capitalize(chosen[0]) + ".")));
        }

        return all;
    }

    public IReadOnlyList<Exchange> Rewrite()
    {
        Row verb = Pick("verbs");
        string name = PickName();
        string where = grammar.Expand("spot", random), thing = grammar.Expand("thing", random);
        string sentence = Pick($"{name} was in {where}.", $"{name} had {Grammar.WithArticle(thing)}.", $"The {thing} was near {where}.", $"{name} looked for the {thing}.", $"{name} found the {thing} in {where}.", $"{name} gave {PickName()} {Grammar.WithArticle(thing)}.");
        switch (random.Next(7))
        {
            case 0:
                return [new(Pick($"Write this in capital letters: {sentence}", $"Put this in capitals: {sentence}"), sentence.ToUpperInvariant())];
            case 1:
                string lower = sentence.ToLowerInvariant().TrimEnd('.');
                return [new(Pick($"Fix this sentence: {lower}", $"Correct this: {lower}", $"Please add capitals and a period: {lower}"), sentence)];
            case 2:
                string subject = Pick("I", "we", "they", "you");
                string with = Pick("with a friend", "in " + where, "every day", "at home");
                string were = $"{Grammar.Capitalize(subject)} {verb["past"]} {with}.";
                return [new(Pick($"Put this in the past tense: {Grammar.Capitalize(subject)} {verb["verb"]} {with}.", $"Change this to the past: {Grammar.Capitalize(subject)} {verb["verb"]} {with}."), were)];
            case 3:
                (string rude, string polite) = random.Pick<(string, string)>(
                [
                    ("Give me the book.", "Could you please give me the book?"), ("Close the door.", "Could you please close the door?"),
                    ("Be quiet.", "Could you please be a little quieter?"), ("Help me.", "Could you please help me?"),
                    ("Send me the file.", "Could you please send me the file?"), ("Come here.", "Could you please come here?"),
                    ("I want coffee.", "I would like a coffee, please."), ("I want the bill.", "I would like the bill, please."),
                    ("Answer me.", "I would be glad about an answer."), ("Wait.", "Could you please wait a moment?"),
                    ("You are late.", "I was hoping you would be here a little earlier."), ("Tell me your name.", "May I ask your name, please?"),
                ]);
                return [new(Pick($"Make this more polite: {rude}", $"Say this politely: {rude}", $"Rewrite this in a polite way: {rude}"), polite)];
            case 4:
                string other = grammar.Expand("thing", random);
                return [new(Pick($"Replace \"{thing}\" with \"{other}\": {name} had the {thing}.", $"Change \"{thing}\" to \"{other}\" in this sentence: {name} had the {thing}."), $"{name} had the {other}.")];
            case 5:
                string second = PickName();
                return [new($"Change the name to {second}: {sentence}", sentence.Replace(name, second, StringComparison.Ordinal))];
            default:
                return [new(Pick($"Repeat after me: {sentence}", $"Repeat this: {sentence}", $"Say exactly this: {sentence}"), sentence)];
        }
    }

    /// <summary>A short text whose facts are known: to be summarized or asked about.</summary>
    public IReadOnlyList<Exchange> Reading()
    {
        string a = PickName(), b = PickName(), day = grammar.Expand("day", random), spot = grammar.Expand("spot", random);
        string thing = grammar.Expand("thing", random), treat = grammar.Expand("treat", random), talk = grammar.Expand("talk", random);
        while (b == a)
        {
            b = PickName();
        }

        string text = $"On {day}, {a} went to {spot} with {b}. {grammar.Expand("weather", random)} They ate {treat} and talked about {talk}. {Pick($"On the way home {a} found {Grammar.WithArticle(thing)}.", $"Later {b} gave {a} {Grammar.WithArticle(thing)}.", $"In the evening {a} lost {Grammar.WithArticle(thing)}.")}";
        if (random.Chance(0.3))
        {
            return [new(Pick($"Summarize this: {text}", $"Summarize this text in one sentence: {text}", $"What is this text about? {text}", $"Make this shorter: {text}"),
                Pick($"{a} and {b} went to {spot} on {day}.", $"{a} and {b} went to {spot} on {day} and talked about {talk}."))];
        }

        List<Exchange> questions =
        [
            new(Pick($"Where did {a} go?", "Where did they go?"), Pick($"{a} went to {spot}.", $"To {spot}.", $"They went to {spot}.")),
            new($"Who went with {a}?", Pick($"{b} went with {a}.", $"{b}.")),
            new(Pick("What did they eat?", $"What did {a} eat?"), Pick($"They ate {treat}.", $"{Grammar.Capitalize(treat)}.")),
            new("What did they talk about?", Pick($"They talked about {talk}.", $"About {talk}.")),
            new(Pick("On which day was it?", "When was it?", "Which day was it?"), Pick($"It was on {day}.", $"On {day}.")),
            new(Pick("What did they bring for the neighbor?", "What was the name of the dog?", "How old is the child?"), Pick("The text does not say that.", "That is not in the text.")),
        ];
        random.Shuffle(questions);
        int count = random.Between(1, 3);
        List<Exchange> all = [new(Pick($"{text} {questions[0].User}", $"Read this: {text}\n{questions[0].User}", $"{text}\nQuestion: {questions[0].User}"), questions[0].Assistant)];
        all.AddRange(questions.Skip(1).Take(count - 1));
        return all;
    }

    internal string PickName() => _names.Person();

    internal static string Joined(IEnumerable<string> items)
    {
        string[] all = [.. items];
        return all.Length == 1 ? all[0] : string.Join(", ", all[..^1]) + " and " + all[^1];
    }

    private Exchange Pick2(Exchange first, Exchange second) => random.Chance(0.5) ? first : second;
}
