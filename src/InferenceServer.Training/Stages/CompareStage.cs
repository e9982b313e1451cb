// Makes the reward model's pairs: scripted ones, and two samples a prompt from a model, ranked where the generator knows
// a right reply. Writes pairs.jsonl (one comparison a line); heldout.jsonl is drawn from what training never sees.
using System.Text.Json;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training.Stages;

public static class CompareStage
{
    private const double ClearlyBetter = 0.15;
    private const int HeldOutShare = 8;
    private static readonly string[] Judged =
        ["country", "animal", "concept", "arithmetic", "recall", "fact", "why", "identity", "format", "reading", "word", "harmful", "harmless", "unknown", "falsepremise", "smalltalk"];

    /// <summary>Returns the number of (scripted, sampled) pairs written; an eighth as many again is held out.</summary>
    public static (int Scripted, int Sampled) Run(StageConfig config, string dataFolder, BpeTokenizer tokenizer, string folder, string checkpoint)
    {
        Directory.CreateDirectory(folder);
        TorchSharp.torch.set_num_threads(1);
        using Transformer model = Commands.LoadModel(checkpoint);
        List<Comparison> pairs = Draw(config, Grammar.Read(dataFolder), tokenizer, model);
        StageConfig fewer = config with { Steps = config.Steps / HeldOutShare, Samples = config.Samples / HeldOutShare };
        List<Comparison> heldOut = Draw(fewer, Grammar.Read(dataFolder, heldOut: true), tokenizer, model);
        Write(Path.Combine(folder, "pairs.jsonl"), pairs);
        Write(Path.Combine(folder, "heldout.jsonl"), heldOut);
        return (config.Steps, pairs.Count - config.Steps);
    }

    public static IReadOnlyList<Comparison> Read(string path)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"No comparisons at {path}: run compare first.");
        }

        return [.. File.ReadLines(path).Select((line, i) => JsonSerializer.Deserialize(line, TrainingJson.Default.Comparison)
            ?? throw new InvalidDataException($"{path}({i + 1}) is empty."))];
    }

    private static List<Comparison> Draw(StageConfig config, Grammar grammar, BpeTokenizer tokenizer, Transformer model)
    {
        var scripted = new ComparisonGenerator(grammar, (ulong)config.Seed);
        List<Comparison> pairs = [.. Enumerable.Range(0, config.Steps).Select(_ => scripted.Next())];
        var random = new SeededRandom((ulong)config.Seed + 9);
        var questions = new ComparisonGenerator(grammar, random.NextBits());
        (Message[] Prompt, string Reference, string? Key)[] asked = [.. Enumerable.Range(0, config.Samples).Select(i => questions.Question(Judged[i % Judged.Length]))];
        int[][] prompts = [.. asked.SelectMany(a => Enumerable.Repeat(ChatFormat.EncodePrompt(tokenizer, a.Prompt), 2))];
        IReadOnlyList<Reply> replies = new ReplySampler(model, tokenizer.MessageEndId, random, config.Workers).Sample(prompts, config.ReplyTokens, 1.0);
        for (int i = 0; i < asked.Length; i++)
        {
            (string Text, double Score) a = Scored(replies[2 * i], asked[i]), b = Scored(replies[(2 * i) + 1], asked[i]);
            if (Math.Abs(a.Score - b.Score) >= ClearlyBetter)
            {
                (string better, string worse) = a.Score > b.Score ? (a.Text, b.Text) : (b.Text, a.Text);
                pairs.Add(new(asked[i].Prompt, better, worse, "sampled"));
            }
        }

        return pairs;

        (string Text, double Score) Scored(Reply reply, (Message[] Prompt, string Reference, string? Key) question)
        {
            string text = tokenizer.Decode(reply.Tokens.Where(t => t != tokenizer.MessageEndId));
            return (text, Judge.Score(question.Reference, question.Key, text, reply.Ended));
        }
    }

    private static void Write(string path, IEnumerable<Comparison> pairs) =>
        File.WriteAllLines(path, pairs.Select(p => JsonSerializer.Serialize(p, TrainingJson.Default.Comparison)));
}
