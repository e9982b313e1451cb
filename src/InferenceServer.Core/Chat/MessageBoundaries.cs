using System.Text;
using InferenceServer.Models;

namespace InferenceServer.Chat;

/// <summary>
/// Where messages end in a rendered chat. A template says so only by what it makes of the messages so far: a boundary is how far that text is
/// the beginning of the whole, and so of later turns too. It is a hint where to take checkpoints, so a token too early does no harm.
/// </summary>
internal static class MessageBoundaries
{
    /// <summary>Each boundary costs a rendering: of the oldest only the first, which other conversations share, and of the others the newest.</summary>
    private const int Newest = 4;

    /// <summary>Token counts of <paramref name="prompt"/>, ascending.</summary>
    /// <param name="rendered">The conversation's text.</param>
    /// <param name="prompt">Its tokens.</param>
    public static IReadOnlyList<int> Of(ServedModel model, ChatConversation conversation, string rendered, ReadOnlySpan<int> prompt)
    {
        IReadOnlyList<ChatMessage> messages = conversation.Messages;
        SortedSet<int> ends = [];
        for (int count = 1; count <= messages.Count; count++)
        {
            if (count > 1 && count <= messages.Count - Newest)
                continue;
            try
            {
                string part = RenderedPrompt.Of(model.Chat(conversation with { Messages = [.. messages.Take(count)], AddGenerationPrompt = false })).Text;
                ends.Add(part.AsSpan().CommonPrefixLength(rendered));
            }
            catch (RequestProblem)
            {
                // Templates may refuse half a conversation; there is no boundary then.
            }
        }
        return InTokens(model.Vocabulary, ends, rendered, prompt);
    }

    private static List<int> InTokens(ServedVocabulary vocabulary, SortedSet<int> ends, ReadOnlySpan<char> rendered, ReadOnlySpan<int> prompt)
    {
        List<int> boundaries = [];
        // A beginning-of-sequence token that the tokenizer added is no part of the text.
        int tokens = prompt.Length > 0 && prompt[0] == vocabulary.Bos && !rendered.StartsWith(vocabulary.Text(prompt[0])) ? 1 : 0;
        long bytes = 0;
        foreach (int end in ends)
        {
            long endBytes = Encoding.UTF8.GetByteCount(rendered[..end]);
            while (tokens < prompt.Length && vocabulary.Bytes(prompt[tokens], true).Length is var length && bytes + length <= endBytes)
            {
                bytes += length;
                tokens++;
            }
            if (tokens > 0 && (boundaries.Count == 0 || tokens > boundaries[^1]))
                boundaries.Add(tokens);
        }
        return boundaries;
    }
}
