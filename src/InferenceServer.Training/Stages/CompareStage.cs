// Makes the reward model's pairs: scripted ones, and two samples a prompt from a model, ranked where the generator knows
// a right reply. Writes pairs.jsonl (one comparison a line); every tenth goes to heldout.jsonl instead.
using System.Text.Json;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training.Stages;

public static class CompareStage
{
    private const double ClearlyBetter = 0.15;
    private static readonly string[] Judged =
        ["country", "animal", "concept", "arithmetic", "recall", "fact", "why", "identity", "format", "reading", "word", "harmful", "harmless", "unknown", "falsepremise", "smalltalk"];

    /// <summary>Returns the number of (scripted, sampled) pairs written.</summary>
    public static (int Scripted, int Sampled) Run(StageConfig config, string dataFolder, BpeTokenizer tokenizer, string folder, string checkpoint)
    {
        Directory.CreateDirectory(folder);
        TorchSharp.torch.set_num_threads(1);
        var grammar = Grammar.Read(dataFolder);
        var scripted = new ComparisonGenerator(grammar, (ulong)config.Seed);
        List<Comparison> pairs = [.. Enumerable.Range(0, config.Steps).Select(_ => scripted.Next())];
        int written = pairs.Count;
        pairs.AddRange(Sampled(config, grammar, tokenizer, checkpoint));
        new SeededRandom((ulong)config.Seed + 5).Shuffle(pairs);
        Write(Path.Combine(folder, "pairs.jsonl"), pairs.Where((_, i) => i % 10 != 0));
        Write(Path.Combine(folder, "heldout.jsonl"), pairs.Where((_, i) => i % 10 == 0));
        return (written, pairs.Count - written);
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

    private static List<Comparison> Sampled(StageConfig config, Grammar grammar, BpeTokenizer tokenizer, string checkpoint)
    {
        using Transformer model = Commands.LoadModel(checkpoint);
        var random = new SeededRandom((ulong)config.Seed + 9);
        var dialogues = new DialogueGenerator(grammar, random.NextBits());
        List<Dialogue> asked = [.. Enumerable.Range(0, config.Samples).Select(i => dialogues.Next(Judged[i % Judged.Length]))];
        int[][] prompts = [.. asked.SelectMany(d => Enumerable.Repeat(ChatFormat.EncodePrompt(tokenizer, d.Messages.Take(d.Messages.Count - 1)), 2))];
        IReadOnlyList<Reply> replies = new ReplySampler(model, tokenizer.MessageEndId, random).Sample(prompts, config.ReplyTokens, 1.0);
        List<Comparison> pairs = [];
        for (int i = 0; i < asked.Count; i++)
        {
            Message[] prompt = [.. asked[i].Messages.Take(asked[i].Messages.Count - 1)];
            string reference = asked[i].Messages[^1].Text;
            (string Text, double Score) a = Scored(replies[2 * i], reference), b = Scored(replies[(2 * i) + 1], reference);
            if (Math.Abs(a.Score - b.Score) >= ClearlyBetter)
            {
                pairs.Add(a.Score > b.Score ? new(prompt, a.Text, b.Text, "sampled") : new(prompt, b.Text, a.Text, "sampled"));
            }
        }

        return pairs;

        (string Text, double Score) Scored(Reply reply, string reference)
        {
            string text = tokenizer.Decode(reply.Tokens.Where(t => t != tokenizer.MessageEndId));
            return (text, Judge.Score(reference, text, reply.Ended));
        }
    }

    private static void Write(string path, IEnumerable<Comparison> pairs) =>
        File.WriteAllLines(path, pairs.Select(p => JsonSerializer.Serialize(p, TrainingJson.Default.Comparison)));
}
