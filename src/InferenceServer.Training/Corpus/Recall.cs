// Facts a user tells and asks for again later: the values are drawn from so many that memory of training does not help.
namespace InferenceServer.Training.Corpus;

public sealed class Recall(Grammar grammar, SeededRandom random)
{
    private static readonly string[] Between = ["fact", "why", "smalltalk", "arithmetic", "country", "joke"];
    private readonly Names _names = new(grammar, random);

    /// <summary>One told fact. Value is the text a right reply must hold.</summary>
    public sealed record ToldFact(string Kind, string Value, Func<Exchange> Tell, Func<Exchange> Ask, Func<Exchange> AskUntold);

    public IReadOnlyList<ToldFact> Draw(int count) => [.. random.Sample(All(), count)];

    /// <summary>A question about something that was not told.</summary>
    public Exchange AskUntold(IReadOnlyCollection<ToldFact> told) =>
        random.Pick([.. All().Where(f => told.All(t => t.Kind != f.Kind))]).AskUntold();

    private List<ToldFact> All()
    {
        string name = _names.Person(), city = Row("countries")["capital"], color = Pick("red", "blue", "green", "yellow", "purple", "orange", "pink", "black", "white", "brown", "silver", "gray", "gold");
        string pet = Pick("dog", "cat", "rabbit", "parrot", "hamster", "horse", "turtle", "goldfish"), petName = _names.Pet(), food = Pick("pizza", "pasta", "soup", "rice", "cheese", "chocolate", "pancakes", "apples", "bread", "curry", "sushi", "salad", "ice cream", "potatoes", "mangoes", "noodles");
        string hobby = Pick("reading", "painting", "gardening", "cooking", "hiking", "singing", "photography", "knitting", "swimming", "chess", "dancing", "cycling", "fishing", "football", "tennis");
        string job = grammar.Expand("job", random), thing = grammar.Expand("thing", random), spot = grammar.Expand("spot", random), sibling = Pick("sister", "brother", "mother", "father", "friend", "teacher", "neighbor", "aunt", "uncle", "boss"), siblingName = _names.Person();
        string age = Skills.Number(random.Between(6, 90)), number = Skills.Number(random.Between(2, 99)), day = grammar.Expand("day", random), hour = Skills.Number(random.Between(1, 12));
        string word = random.Chance(0.3) ? _names.MadeUp().ToLowerInvariant() : random.Chance(0.5) ? thing.Split(' ')[^1] : Pick("apple", "river", "lantern", "tiger", "window", "cloud", "garden", "pepper", "silver", "button", "forest", "candle", "rocket", "mirror", "pirate", "winter", "piano", "dragon", "bridge", "violin", "castle", "feather", "marble", "ocean");
        string trip = Row("countries")["country"];
        return
        [
            Fact("name", name, [$"My name is {name}.", $"I'm {name}.", $"Hi, I'm {name}.", $"Hello, my name is {name}.", $"You can call me {name}.", $"I am called {name}."], [$"Nice to meet you, {name}!", $"Hello, {name}! How can I help you?", $"Hi {name}! It's nice to meet you."], ["What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Can you tell me my name?"], [$"Your name is {name}.", $"You are {name}.", $"Yes, your name is {name}."], "I don't know your name yet. What is it?"),
            Fact("city", city, [$"I live in {city}.", $"I'm from {city}.", $"My home is in {city}."], [$"{city} sounds like a nice place to live!", $"How nice! What do you like about {city}?", "That's a nice place!"], ["Where do I live?", "Which city do I live in?", "Do you remember where I live?"], [$"You live in {city}.", $"You told me that you live in {city}."], "I don't know where you live. You have not told me."),
            Fact("color", color, [$"My favorite color is {color}.", $"I love the color {color}.", $"I like {color} best of all colors."], [$"{Grammar.Capitalize(color)} is a lovely color!", "That's a nice color!", "Good choice!"], ["What is my favorite color?", "Which color do I like?", "Do you remember my favorite color?"], [$"Your favorite color is {color}.", $"You like {color}."], "I don't know your favorite color yet. What is it?"),
            Fact("pet", petName, [$"I have a {pet} named {petName}.", $"My {pet} is called {petName}.", $"I have a {pet}. Its name is {petName}.", $"This is my {pet} {petName}.", $"I've got a {pet} called {petName}."], [$"{petName} is a great name for a {pet}!", $"How nice! How old is {petName}?", $"A {pet} is good company. Say hello to {petName}!"], [$"What is my {pet} called?", $"What is the name of my {pet}?", "What is my pet's name?"], [$"Your {pet} is called {petName}.", $"Its name is {petName}."], "I don't know if you have a pet. You have not told me."),
            Fact("food", food, [$"My favorite food is {food}.", $"I love {food}.", $"I like to eat {food}."], [$"{Grammar.Capitalize(food)}! That sounds tasty.", "Yum! That's a good choice.", "That's tasty!"], ["What is my favorite food?", "What do I like to eat?", "Which food do I love?"], [$"Your favorite food is {food}.", $"You like {food}."], "I don't know your favorite food yet. What is it?"),
            Fact("hobby", hobby, [$"My hobby is {hobby}.", $"I like {hobby}.", $"In my free time I enjoy {hobby}."], [$"{Grammar.Capitalize(hobby)} is a fine hobby!", "That sounds like fun!", "What a nice hobby! How often do you do it?"], ["What is my hobby?", "What do I like to do?", "What do I enjoy in my free time?"], [$"Your hobby is {hobby}.", $"You enjoy {hobby}."], "I don't know your hobby yet. What do you like to do?"),
            Fact("age", age, [$"I am {age} years old.", $"I'm {age}.", $"I just turned {age}."], ["Thank you for telling me!", "That's a good age!", $"{age} is a fine age!"], ["How old am I?", "What is my age?", "Do you remember how old I am?"], [$"You are {age} years old.", $"You told me that you are {age}."], "I don't know your age. You have not told me."),
            Fact("number", number, [$"My lucky number is {number}.", $"Please remember the number {number}.", $"Remember this number: {number}."], [$"I will remember {number}.", "Okay, I'll remember it.", $"Got it: {number}."], ["What is my number?", "Which number did I tell you?", "What was the number?"], [$"The number is {number}.", $"You told me {number}.", $"It was {number}."], "You have not told me a number yet."),
            Fact("job", job, [$"I work as {Grammar.WithArticle(job)}.", $"I'm {Grammar.WithArticle(job)}.", $"My job is being {Grammar.WithArticle(job)}."], ["That's an interesting job!", $"Being {Grammar.WithArticle(job)} must be interesting!", "What do you like about your job?"], ["What is my job?", "What do I do for work?", "What do I work as?"], [$"You are {Grammar.WithArticle(job)}.", $"You work as {Grammar.WithArticle(job)}."], "I don't know your job. What do you do?"),
            Fact("person", siblingName, [$"My {sibling} is called {siblingName}.", $"My {sibling}'s name is {siblingName}.", $"{siblingName} is my {sibling}."], [$"{siblingName} is a nice name!", $"I'd like to hear more about {siblingName}.", "Thank you for telling me!"], [$"What is my {sibling}'s name?", $"What is my {sibling} called?", $"Who is my {sibling}?"], [$"Your {sibling} is called {siblingName}.", $"Your {sibling}'s name is {siblingName}."], "I don't know that. You have not told me."),
            Fact("word", word, [$"The secret word is {word}.", $"Remember the word \"{word}\".", $"The password is {word}.", $"Please remember this word: {word}."], ["Okay, I'll remember it.", $"I will remember \"{word}\".", "Got it!"], ["What is the secret word?", "Which word did I tell you?", "What was the word?", "What word should you remember?"], [$"The word is \"{word}\".", $"It was \"{word}\".", $"You told me \"{word}\"."], "You have not told me a word yet."),
            Fact("thing", thing, [$"I bought a {thing}.", $"I found a {thing} in {spot}.", $"I got a {thing} for my birthday."], [$"A {thing}! How nice.", "That sounds lovely!", "What will you do with it?"], ["What did I tell you about?", "What did I get?", "What thing did I mention?"], [$"You told me about a {thing}.", $"A {thing}."], "You have not told me about any thing yet."),
            Fact("appointment", day, [$"I have an appointment on {day} at {hour}.", $"I will meet the doctor on {day} at {hour}.", $"My exam is on {day} at {hour}."], ["Good luck!", $"Okay, {day} at {hour}. I hope it goes well!", "I will keep that in mind."], ["When is it?", "On which day is it?", "Which day did I say?"], [$"It is on {day} at {hour}.", $"On {day} at {hour}."], "I don't know which day you mean. You have not told me."),
            Fact("trip", trip, [$"I'm going to {trip} next month.", $"I will travel to {trip} in summer.", $"Next week I fly to {trip}."], ["Have a great trip!", $"How nice! {Grammar.Capitalize(trip)} is worth seeing.", "That sounds exciting!"], ["Where am I going?", "Where will I travel?", "Do you remember where I am going?"], [$"You are going to {trip}.", $"You told me that you are going to {trip}."], "I don't know of any trip. Where are you going?"),
        ];
    }

    /// <summary>A fact told, other exchanges in between, the fact asked for; the last message is the right reply.</summary>
    /// <param name="others">Where the exchanges in between come from.</param>
    /// <param name="distance">How many of them.</param>
    public (Dialogue Dialogue, ToldFact Fact) Question(DialogueGenerator others, int distance)
    {
        ToldFact fact = Draw(1)[0];
        List<Message> messages = [];
        Add(fact.Tell());
        for (int i = 0; i < distance; i++)
        {
            messages.AddRange(others.Next(random.Pick(Between)).Messages.Where(m => m.Role != "system").Take(2));
        }

        Add(fact.Ask());
        return (new Dialogue(messages, "recall"), fact);

        void Add(Exchange exchange) => messages.AddRange([new("user", exchange.User), new("assistant", exchange.Assistant)]);
    }

    /// <summary>Two facts told in one message; the reply answers the second.</summary>
    public Exchange TellBoth(ToldFact first, ToldFact second)
    {
        (Exchange a, Exchange b) = (first.Tell(), second.Tell());
        bool joins = b.User.StartsWith("My ", StringComparison.Ordinal) || b.User.StartsWith("I ", StringComparison.Ordinal) || b.User.StartsWith("I'm ", StringComparison.Ordinal);
        string user = joins && random.Chance(0.7)
            ? $"{a.User.TrimEnd('.')} and {(b.User[0] == 'M' ? "my" + b.User[2..] : b.User)}"
            : $"{a.User} {b.User}";
        return new(user, b.Assistant);
    }

    private ToldFact Fact(string kind, string value, string[] tells, string[] replies, string[] asks, string[] answers, string untold) => new(
        kind, value,
        () => new(random.Pick(tells), random.Pick(replies)),
        () => new(random.Pick(asks), random.Pick(answers)),
        () => new(random.Pick(asks), untold));

    private Row Row(string table) => random.Pick(grammar.Table(table));

    private string Pick(params string[] options) => random.Pick(options);
}
