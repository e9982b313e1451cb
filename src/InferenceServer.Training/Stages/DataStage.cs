using InferenceServer.Training.Corpus;
using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training.Stages;

/// <summary>Looking at the corpus and training the tokenizer on a sample of it.</summary>
public static class DataStage
{
    private const int TokenizerDocuments = 12_000;

    public static void Print(string dataFolder, StageConfig config)
    {
        var grammar = Grammar.Read(dataFolder);
        var random = new SeededRandom((ulong)config.Seed);
        var dialogues = new DialogueGenerator(grammar, random.NextBits());
        for (int i = 0; i < config.Samples; i++)
        {
            Dialogue dialogue = dialogues.Next();
            Console.WriteLine($"--- {dialogue.Skill}");
            foreach (Message message in dialogue.Messages)
            {
                Console.WriteLine($"{message.Role}: {message.Text}");
            }

            Console.WriteLine($"--- prose\n{grammar.Expand("prose", random)}");
        }
    }

    public static void TrainTokenizer(string dataFolder, StageConfig config, string path) =>
        new BpeTokenizer(BpeTrainer.Train(Texts(dataFolder, config.Seed), config.VocabularySize)).Save(path);

    private static IEnumerable<string> Texts(string dataFolder, int seed)
    {
        var grammar = Grammar.Read(dataFolder);
        var dialogues = new DialogueGenerator(grammar, (ulong)seed + 76);
        var random = new SeededRandom((ulong)seed + 77);
        for (int i = 0; i < TokenizerDocuments; i++)
        {
            foreach (Message message in dialogues.Next().Messages)
            {
                yield return message.Role + "\n";
                yield return message.Text;
            }

            yield return grammar.Expand("prose", random) + "\n";
            yield return i % 3 == 0 ? grammar.Expand("story", random) : string.Empty;
        }
    }
}
