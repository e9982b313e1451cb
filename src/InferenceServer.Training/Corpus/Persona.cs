// System prompts: who the assistant is to be and how long or in which form it is to reply.
namespace InferenceServer.Training.Corpus;

public sealed class Persona
{
    private static readonly string[] Openings = ["The ", "It ", "You ", "Your ", "A ", "They ", "This "];
    private readonly string[] _before;
    private readonly string[] _after;
    private readonly Length _length;
    private readonly SeededRandom _random;

    private Persona(string? name, string systemPrompt, string[] before, string[] after, Length length, SeededRandom random)
    {
        (Name, SystemPrompt, _before, _after, _length, _random) = (name, systemPrompt, before, after, length, random);
    }

    private enum Length
    {
        Free,
        OneSentence,
        Question,
        Capitals,
    }

    /// <summary>System prompts that ask for nothing special.</summary>
    public static IReadOnlyList<string> Plain { get; } =
    [
        "You are a helpful assistant.", "You are a friendly assistant.", "You are Chat Small, a helpful assistant.",
        "You are a kind and honest assistant.", "Be helpful, honest and brief.", "You are a helpful AI.",
    ];

    public string? Name { get; }

    public string SystemPrompt { get; }

    public static Persona Draw(SeededRandom random)
    {
        string name = random.Pick(["Robo", "Captain Blue", "Ada", "Max", "Luna", "Professor Oak", "Pixel", "Nova", "Milo", "Aria", "Otto", "Bella", "Hal", "Iris", "Sparky", "Jarvis", "Zara", "Finn"]);
        (string kind, string[] before, string[] after) = random.Pick<(string, string[], string[])>(
        [
            ("a pirate", ["Arr! ", "Ahoy! ", "Arr, matey! "], ["", " Yo ho ho!", " Arr!"]),
            ("a robot", ["Beep boop. ", "Beep. "], ["", " Beep.", " Boop."]),
            ("a cat", ["Meow! ", "Purr. "], ["", " Meow.", " Purr."]),
            ("a knight", ["My lord, ", "Hail! "], ["", " At your service!", " On my honor."]),
            ("a wizard", ["By my beard! ", "Behold! "], ["", " So say the stars.", " It is magic."]),
            ("a kind grandmother", ["Oh my dear, ", "Sweetheart, "], ["", " Take care, my dear."]),
            ("a strict teacher", ["Listen well. ", "Pay attention. "], ["", " Write that down.", " Study it."]),
            ("a cheerful coach", ["Great question! ", "You've got this! "], ["", " Keep going!", " Well done!"]),
            ("a butler", ["Certainly, sir. ", "Of course, sir. "], ["", " Will that be all?"]),
            ("a cowboy", ["Howdy! ", "Well, partner, "], ["", " Yeehaw!"]),
        ]);
        return random.Next(7) switch
        {
            0 or 1 => new(null, random.Pick([$"You are {kind}.", $"Talk like {kind}.", $"Answer like {kind}.", $"You are {kind}. Stay in character."]), before, after, Length.Free, random),
            2 => new(name, random.Pick([$"Your name is {name}.", $"You are {name}, a helpful assistant.", $"You are {name}."]), [""], [""], Length.Free, random),
            3 => new(name, $"You are {name}, {kind}.", before, after, Length.Free, random),
            4 => new(null, random.Pick(["Answer in one short sentence.", "Keep every answer to one sentence.", "Reply with a single sentence.", "Be very brief: one sentence only."]), [""], [""], Length.OneSentence, random),
            5 => new(null, random.Pick(["Always end with a question.", "End every reply with a question.", "Finish each answer with a question."]), [""], [""], Length.Question, random),
            _ => new(null, random.Pick(["Write everything in capital letters.", "Answer in capital letters only."]), [""], [""], Length.Capitals, random),
        };
    }

    /// <summary>The reply as this persona would give it. Refusals and exact formats keep their words.</summary>
    public string Apply(string reply, string skill)
    {
        switch (_length)
        {
            case Length.OneSentence:
                return FirstSentence(reply);
            case Length.Question:
                return reply.EndsWith('?') ? reply
                    : reply + _random.Pick([" Would you like to know more?", " What do you think?", " Is there anything else?", " Does that help?"]);
            case Length.Capitals:
                return reply.ToUpperInvariant();
            default:
                return skill is "format" or "rewrite" or "code" ? reply : Joined(_random.Pick(_before), reply) + _random.Pick(_after);
        }
    }

    private static string Joined(string before, string reply)
    {
        // After a comma the sentence goes on in small letters, unless it opens with a name or "I".
        bool goesOn = before.EndsWith(", ", StringComparison.Ordinal) && reply.Length > 2
            && Openings.Any(w => reply.StartsWith(w, StringComparison.Ordinal));
        return before + (goesOn ? char.ToLowerInvariant(reply[0]) + reply[1..] : reply);
    }

    private static string FirstSentence(string reply)
    {
        for (int i = 0; i < reply.Length - 1; i++)
        {
            if (reply[i] is '.' or '!' or '?' && reply[i + 1] is ' ' or '\n' && i > 3 && !char.IsDigit(reply[i - 1]) && !reply[..(i + 1)].EndsWith("D.", StringComparison.Ordinal))
            {
                return reply[..(i + 1)];
            }
        }

        return reply;
    }
}
