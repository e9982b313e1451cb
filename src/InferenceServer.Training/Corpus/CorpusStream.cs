// An endless, seeded stream of training batches. Documents are drawn in pools, sorted by length within the pool and cut
// into batches of about the same number of tokens: little padding, and no document ever sees another.
// The stream's position is (pool, batch): resuming replays one pool at most. One thread.
using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training.Corpus;

/// <summary>Shares of what a stage learns from; they need not add up to one.</summary>
/// <param name="Dialogues">Share of documents that are dialogues.</param>
/// <param name="Recall">Share of further dialogues in which a told fact is asked for again.</param>
/// <param name="Prose">Share of short facts and scenes.</param>
/// <param name="Stories">Share of stories as plain text.</param>
/// <param name="Sums">Share of pages of worked sums.</param>
/// <param name="Feedback">Share of dialogues that users of the server gave (--feedback); none without a file of them.</param>
/// <param name="AssistantOnly">Mask everything but the assistant's words.</param>
/// <param name="MaxTokens">Documents longer than this many tokens are left out.</param>
public sealed record Mixture(
    double Dialogues = 1,
    double Recall = 0,
    double Prose = 0,
    double Stories = 0,
    double Sums = 0,
    double Feedback = 0.1,
    bool AssistantOnly = false,
    int MaxTokens = 512);

/// <summary>One padded batch: rows of equal length, padding never learnt.</summary>
public sealed record Batch(long[] Tokens, float[] Weights, int Rows, int Length)
{
    public int LearntTokens => Weights.Count(w => w > 0);
}

/// <param name="feedback">Dialogues of users, of which the last reply is learnt.</param>
public sealed class CorpusStream(string dataFolder, BpeTokenizer tokenizer, Mixture mixture, int batchTokens, ulong seed, IReadOnlyList<Dialogue>? feedback = null)
{
    private const int PoolDocuments = 2048;
    private readonly Grammar _grammar = Grammar.Read(dataFolder);
    private readonly Document[] _feedback = Encode(tokenizer, mixture, feedback ?? []);
    private List<Batch> _pool = [];

    public long Pool { get; private set; } = -1;

    public int Position { get; private set; }

    public Batch Next()
    {
        while (Position >= _pool.Count)
        {
            Fill(Pool + 1);
        }

        return _pool[Position++];
    }

    public void Seek(long pool, int position)
    {
        if (pool >= 0)
        {
            Fill(pool);
            Position = position;
        }
    }

    private void Fill(long pool)
    {
        ulong poolSeed = new SeededRandom(seed + ((ulong)pool * 7919)).NextBits();
        var random = new SeededRandom(poolSeed);
        var dialogues = new DialogueGenerator(_grammar, random.NextBits());
        var skills = new Skills(_grammar, random);
        List<Document> documents = [];
        while (documents.Count < PoolDocuments)
        {
            Document document = Draw(random, dialogues, skills);
            if (document.Tokens.Length <= mixture.MaxTokens)
            {
                documents.Add(document);
            }
        }

        documents.Sort((a, b) => a.Tokens.Length.CompareTo(b.Tokens.Length));
        _pool = [];
        for (int start = 0; start < documents.Count;)
        {
            int rows = 1;
            while (start + rows < documents.Count && documents[start + rows].Tokens.Length * (rows + 1) <= batchTokens)
            {
                rows++;
            }

            _pool.Add(Pad(documents.GetRange(start, rows)));
            start += rows;
        }

        random.Shuffle(_pool);
        Pool = pool;
        Position = 0;
    }

    private Document Draw(SeededRandom random, DialogueGenerator dialogues, Skills skills)
    {
        double given = _feedback.Length > 0 ? mixture.Feedback : 0;
        double at = random.NextDouble() * (given + mixture.Dialogues + mixture.Recall + mixture.Prose + mixture.Stories + mixture.Sums);
        if ((at -= given) < 0)
        {
            return random.Pick(_feedback);
        }

        if ((at -= mixture.Dialogues + mixture.Recall) < 0)
        {
            return ChatFormat.Encode(tokenizer, dialogues.Next(at >= -mixture.Recall ? "recall" : null), mixture.AssistantOnly);
        }

        if ((at -= mixture.Prose) < 0)
        {
            // Facts are short: a few of them make one document.
            IEnumerable<string> facts = Enumerable.Range(0, random.Between(1, 5)).Select(_ => _grammar.Expand("prose", random));
            return Text(string.Join('\n', facts));
        }

        if ((at -= mixture.Stories) < 0)
        {
            var bindings = new Dictionary<string, string>(StringComparer.Ordinal) { ["animal"] = _grammar.Expand("helperanimal", random), ["object"] = _grammar.Expand("thing", random) };
            return Text(_grammar.Expand(random.Pick(["story", "story", "animalstory", "thingstory", "shortstory", "animalshort"]), random, bindings));
        }

        return Text(skills.SumsPage());

        Document Text(string text) => ChatFormat.EncodeText(tokenizer, text);
    }

    private static Document[] Encode(BpeTokenizer tokenizer, Mixture mixture, IReadOnlyList<Dialogue> feedback)
    {
        Document[] documents = [.. feedback.Select(d => ChatFormat.Encode(tokenizer, d, assistantOnly: true, lastOnly: true)).Where(d => d.Tokens.Length <= mixture.MaxTokens)];
        return feedback.Count == 0 || documents.Length > 0
            ? documents
            : throw new InvalidDataException($"None of the {feedback.Count} dialogues of feedback fits maxTokens ({mixture.MaxTokens}).");
    }

    private Batch Pad(List<Document> documents)
    {
        int length = documents.Max(d => d.Tokens.Length);
        var tokens = new long[documents.Count * length];
        var weights = new float[documents.Count * length];
        Array.Fill(tokens, tokenizer.EndOfTextId);
        for (int row = 0; row < documents.Count; row++)
        {
            Document document = documents[row];
            for (int i = 0; i < document.Tokens.Length; i++)
            {
                tokens[(row * length) + i] = document.Tokens[i];
                weights[(row * length) + i] = i > 0 && document.Learn[i] ? 1 : 0;
            }
        }

        return new Batch(tokens, weights, documents.Count, length);
    }
}
