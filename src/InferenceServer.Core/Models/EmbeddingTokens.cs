using System.Text;

namespace InferenceServer.Models;

/// <summary>A text that is to be embedded, as tokens that the model can take; anything wrong is a problem that names the input.</summary>
internal static class EmbeddingTokens
{
    public static int[] Of(ServedEmbedder model, string text, string path)
    {
        if (text.Length == 0)
            throw RequestProblem.Invalid($"{{where}} is empty.", path, "invalid_value");
        CheckTextLength(model, text, path);
        return Checked(model, model.Vocabulary.Tokenize(text, true, false), path);
    }

    /// <summary>Refuses a text that cannot fit before any time goes into tokenizing it.</summary>
    public static void CheckTextLength(ServedEmbedder model, string text, string path)
    {
        long most = (long)model.MaxInputTokens * model.Vocabulary.LongestTokenBytes;
        if (text.Length > most && Encoding.UTF8.GetByteCount(text) is int bytes)
            throw TooLong(model, path, bytes / model.Vocabulary.LongestTokenBytes, isAtLeast: true, $"its {bytes} bytes are at least {bytes / model.Vocabulary.LongestTokenBytes} tokens");
    }

    public static int[] Checked(ServedEmbedder model, int[] tokens, string path)
    {
        if (tokens.Length == 0)
            throw RequestProblem.Invalid($"{{where}} has no tokens.", path, "invalid_value");
        return tokens.Length <= model.MaxInputTokens ? tokens : throw TooLong(model, path, tokens.Length, isAtLeast: false, $"it has {tokens.Length}");
    }

    private static RequestProblem TooLong(ServedEmbedder model, string path, int tokens, bool isAtLeast, string size) => new(ProblemKind.Invalid,
        $"{{where}} does not fit: the model embeds up to {model.MaxInputTokens} tokens at a time, and {size}. (--batch-size bounds it too.)", path, "context_length_exceeded")
    { Overflow = new ContextOverflow(tokens, model.MaxInputTokens, isAtLeast) };
}
