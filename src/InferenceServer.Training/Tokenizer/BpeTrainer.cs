// Learns BPE merges from word counts: the most frequent adjacent pair becomes a token, again and again.
namespace InferenceServer.Training.Tokenizer;

public static class BpeTrainer
{
    /// <summary>Trains a tokenizer of exactly <paramref name="vocabularySize"/> tokens, specials included.</summary>
    /// <param name="texts">The corpus.</param>
    /// <param name="vocabularySize">At least 256 bytes + 3 specials.</param>
    /// <exception cref="InvalidDataException">The corpus is too small for that many merges.</exception>
    public static TokenizerFile Train(IEnumerable<string> texts, int vocabularySize)
    {
        string[] specials = [BpeTokenizer.EndOfText, BpeTokenizer.MessageStart, BpeTokenizer.MessageEnd];
        List<string> tokens = [.. BpeTokenizer.Alphabet.Order(StringComparer.Ordinal)];
        Dictionary<string, int> ids = tokens.Select((t, i) => (t, i)).ToDictionary(p => p.t, p => p.i, StringComparer.Ordinal);
        (List<List<int>> words, List<long> counts) = CountWords(texts, ids);
        Dictionary<(int, int), long> pairs = [];
        Dictionary<(int, int), HashSet<int>> where = [];
        for (int w = 0; w < words.Count; w++)
        {
            AddPairs(w, +1);
        }

        List<string[]> merges = [];
        while (tokens.Count + specials.Length < vocabularySize)
        {
            if (pairs.Count == 0)
            {
                throw new InvalidDataException($"The corpus yields only {tokens.Count + specials.Length} tokens of {vocabularySize}.");
            }

            // Ties go to the smaller ids, so that one corpus always gives one tokenizer.
            (int Left, int Right) best = pairs.MaxBy(p => (p.Value, -p.Key.Item1, -p.Key.Item2)).Key;
            string merged = tokens[best.Left] + tokens[best.Right];
            merges.Add([tokens[best.Left], tokens[best.Right]]);
            int id = tokens.Count;
            tokens.Add(merged);
            foreach (int w in where[best].ToArray())
            {
                AddPairs(w, -1);
                Merge(words[w], best.Left, best.Right, id);
                AddPairs(w, +1);
            }
        }

        return new TokenizerFile(specials, [.. tokens], [.. merges]);

        void AddPairs(int w, int sign)
        {
            List<int> word = words[w];
            for (int i = 0; i + 1 < word.Count; i++)
            {
                (int, int) pair = (word[i], word[i + 1]);
                long count = pairs.GetValueOrDefault(pair) + (sign * counts[w]);
                if (count == 0)
                {
                    pairs.Remove(pair);
                    where.Remove(pair);
                    continue;
                }

                pairs[pair] = count;
                if (!where.TryGetValue(pair, out HashSet<int>? places))
                {
                    where.Add(pair, places = []);
                }

                if (sign > 0)
                {
                    places.Add(w);
                }
            }
        }
    }

    private static (List<List<int>> Words, List<long> Counts) CountWords(IEnumerable<string> texts, Dictionary<string, int> ids)
    {
        Dictionary<string, long> seen = new(StringComparer.Ordinal);
        foreach (string text in texts)
        {
            foreach (System.Text.RegularExpressions.ValueMatch match in BpeTokenizer.Splitter.EnumerateMatches(text))
            {
                string word = BpeTokenizer.ToByteText(text.Substring(match.Index, match.Length));
                seen[word] = seen.GetValueOrDefault(word) + 1;
            }
        }

        List<List<int>> words = [];
        List<long> counts = [];
        foreach ((string word, long count) in seen.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            words.Add([.. word.Select(c => ids[c.ToString()])]);
            counts.Add(count);
        }

        return (words, counts);
    }

    private static void Merge(List<int> word, int left, int right, int id)
    {
        for (int i = 0; i + 1 < word.Count; i++)
        {
            if (word[i] == left && word[i + 1] == right)
            {
                word[i] = id;
                word.RemoveAt(i + 1);
            }
        }
    }
}
