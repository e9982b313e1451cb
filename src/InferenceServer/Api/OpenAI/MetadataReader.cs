using System.Text.Json;

namespace InferenceServer.Api.OpenAI;

/// <summary>A client's pairs of text: up to 16, keys of up to 64 and values of up to 512 characters.</summary>
internal static class MetadataReader
{
    private const int MaxPairs = 16;
    private const int MaxKeyLength = 64;
    private const int MaxValueLength = 512;

    /// <summary>Takes <c>metadata</c>, which replaces what is there and must be said: null for none.</summary>
    public static Dictionary<string, string> ReadReplacement(JsonFields body) => body.Has("metadata") ? Read(body) ?? [] : throw JsonFields.Missing("metadata");

    /// <summary>Takes <c>metadata</c>; null when absent.</summary>
    public static Dictionary<string, string>? Read(JsonFields body)
    {
        if (body.Take("metadata") is not { } value)
            return null;
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(value, "metadata", "an object of texts");
        Dictionary<string, string> metadata = [];
        foreach (JsonProperty pair in value.EnumerateObject())
        {
            string text = JsonValue.String(pair.Value, $"metadata.{pair.Name}");
            if (pair.Name.Length > MaxKeyLength || text.Length > MaxValueLength)
                throw RequestProblem.Invalid($"{{where}} keys may have {MaxKeyLength} and values {MaxValueLength} characters.", "metadata", "invalid_length");
            metadata[pair.Name] = text;
            if (metadata.Count > MaxPairs)
                throw RequestProblem.Invalid($"{{where}} may have at most {MaxPairs} pairs.", "metadata", "invalid_length");
        }

        return metadata;
    }
}
