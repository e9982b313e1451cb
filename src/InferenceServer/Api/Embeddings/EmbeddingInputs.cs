using System.Text;
using System.Text.Json;
using InferenceServer.Models;

namespace InferenceServer.Api.Embeddings;

/// <summary>What is to be embedded, from JSON to tokens; anything wrong is a 400 that names the input.</summary>
internal static class EmbeddingInputs
{
    public const int MaxInputs = 2_048;

    /// <summary>A text, an array of texts, an array of tokens or an array of such.</summary>
    public static List<int[]> Read(ServedEmbedder model, JsonElement input, string path)
    {
        if (input.ValueKind == JsonValueKind.String)
            return [Tokens(model, JsonValue.String(input, path), path)];
        if (input.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(input, path, "a string, an array of strings, an array of tokens or an array of such");
        if (input.GetArrayLength() > 0 && input[0].ValueKind == JsonValueKind.Number)
            return [Tokens(model, input, path)];
        return JsonFields.Items(input, path, 0, MaxInputs).ConvertAll(item => item.Value.ValueKind == JsonValueKind.Array
            ? Tokens(model, item.Value, item.Path)
            : Tokens(model, JsonValue.String(item.Value, item.Path), item.Path));
    }

    public static int[] Tokens(ServedEmbedder model, string text, string path)
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

    private static int[] Tokens(ServedEmbedder model, JsonElement ids, string path)
    {
        int[] tokens = [.. JsonFields.Items(ids, path, 1, int.MaxValue).ConvertAll(id => (int)JsonValue.Integer(id.Value, id.Path, 0, int.MaxValue))];
        model.Vocabulary.Check(tokens, path);
        return Checked(model, tokens, path);
    }

    private static RequestProblem TooLong(ServedEmbedder model, string path, int tokens, bool isAtLeast, string size) => new(ProblemKind.Invalid,
        $"'{path}' does not fit: the model embeds up to {model.MaxInputTokens} tokens at a time, and {size}. (--batch-size bounds it too.)", path, "context_length_exceeded")
    { Overflow = new ContextOverflow(tokens, model.MaxInputTokens, isAtLeast) };
}
