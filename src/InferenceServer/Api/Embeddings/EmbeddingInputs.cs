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
            return [EmbeddingTokens.Of(model, JsonValue.String(input, path), path)];
        if (input.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(input, path, "a string, an array of strings, an array of tokens or an array of such");
        if (input.GetArrayLength() > 0 && input[0].ValueKind == JsonValueKind.Number)
            return [Tokens(model, input, path)];
        return JsonFields.Items(input, path, 0, MaxInputs).ConvertAll(item => item.Value.ValueKind == JsonValueKind.Array
            ? Tokens(model, item.Value, item.Path)
            : EmbeddingTokens.Of(model, JsonValue.String(item.Value, item.Path), item.Path));
    }

    private static int[] Tokens(ServedEmbedder model, JsonElement ids, string path)
    {
        int[] tokens = [.. JsonFields.Items(ids, path, 1, int.MaxValue).ConvertAll(id => (int)JsonValue.Integer(id.Value, id.Path, 0, int.MaxValue))];
        model.Vocabulary.Check(tokens, path);
        return EmbeddingTokens.Checked(model, tokens, path);
    }
}
