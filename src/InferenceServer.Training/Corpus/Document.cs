using InferenceServer.Training.Tokenizer;

namespace InferenceServer.Training.Corpus;

/// <summary>A training sequence: <paramref name="Learn"/>[i] says whether predicting token i counts in the loss.</summary>
public sealed record Document(int[] Tokens, bool[] Learn);

/// <summary>Renders dialogues as ChatML tokens, the same text that the model file's template makes.</summary>
public static class ChatFormat
{
    /// <summary>The whole dialogue. With <paramref name="assistantOnly"/>, only the assistant's words and message ends are learnt; with <paramref name="lastOnly"/>, only of the last message.</summary>
    public static Document Encode(BpeTokenizer tokenizer, Dialogue dialogue, bool assistantOnly, bool lastOnly = false)
    {
        List<int> tokens = [];
        List<bool> learn = [];
        foreach (Message message in dialogue.Messages)
        {
            bool counts = (!assistantOnly || message.Role == "assistant") && (!lastOnly || message == dialogue.Messages[^1]);
            Add([tokenizer.MessageStartId, .. tokenizer.Encode(message.Role + "\n")], !assistantOnly);
            Add([.. tokenizer.Encode(message.Text), tokenizer.MessageEndId], counts);
            Add(tokenizer.Encode("\n"), !assistantOnly);
        }

        return new Document([.. tokens], [.. learn]);

        void Add(List<int> ids, bool counts)
        {
            tokens.AddRange(ids);
            learn.AddRange(Enumerable.Repeat(counts, ids.Count));
        }
    }

    /// <summary>Messages followed by the opening of the assistant's reply: where generation starts.</summary>
    public static int[] EncodePrompt(BpeTokenizer tokenizer, IEnumerable<Message> messages)
    {
        List<int> tokens = [];
        foreach (Message message in messages)
        {
            tokens.Add(tokenizer.MessageStartId);
            tokens.AddRange(tokenizer.Encode(message.Role + "\n"));
            tokens.AddRange(tokenizer.Encode(message.Text));
            tokens.Add(tokenizer.MessageEndId);
            tokens.AddRange(tokenizer.Encode("\n"));
        }

        tokens.Add(tokenizer.MessageStartId);
        tokens.AddRange(tokenizer.Encode("assistant\n"));
        return [.. tokens];
    }

    /// <summary>Plain text between two end-of-text tokens, all of it learnt.</summary>
    public static Document EncodeText(BpeTokenizer tokenizer, string text)
    {
        int[] tokens = [tokenizer.EndOfTextId, .. tokenizer.Encode(text), tokenizer.EndOfTextId];
        return new Document(tokens, [.. Enumerable.Repeat(true, tokens.Length)]);
    }
}
