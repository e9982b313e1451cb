using System.Globalization;
using System.Text.Json;

namespace InferenceServer.Api.OpenAI;

/// <summary>Reads the fields that chat completions and completions share. Ranges are OpenAI's, or the sampler's where OpenAI has none.</summary>
internal static class ParameterReader
{
    // OpenAI takes 4; llama.cpp's users send more. Each one costs a comparison a character.
    private const int MaxStopStrings = 16;
    private const int MaxStopLength = 256;
    private const int MaxLogitBiases = 1024;
    private const int MaxKeyLength = 512;

    /// <summary>Returns <paramref name="target"/> with every shared field of <paramref name="body"/>.</summary>
    public static T Read<T>(JsonFields body, T target, List<string> ignored)
        where T : GenerationParameters => ConstraintReader.Read(body, target with
        {
            Stop = Stops(body, "stop"),
            N = body.Integer("n", 1, 128) ?? 1,
            Seed = body.Long("seed", long.MinValue, long.MaxValue),
            Temperature = body.Number("temperature", 0, 2) ?? 1,
            TopP = body.Number("top_p", 0, 1) ?? 1,
            TopK = body.Integer("top_k", 0, int.MaxValue) ?? 0,
            MinP = body.Number("min_p", 0, 1) ?? 0,
            TypicalP = body.Number("typical_p", 0, 1) ?? 1,
            PresencePenalty = body.Number("presence_penalty", -2, 2) ?? 0,
            FrequencyPenalty = body.Number("frequency_penalty", -2, 2) ?? 0,
            RepetitionPenalty = body.Number("repetition_penalty", 0.01, 100) ?? 1,
            LogitBias = LogitBias(body),
            IgnoreEos = body.Boolean("ignore_eos") ?? false,
            Stream = body.Boolean("stream") ?? false,
            ServiceTier = body.OneOf("service_tier", "auto", "default", "flex", "priority", "scale", "fast"),
            TimeoutMs = body.Integer("timeout_ms", 1, 86_400_000),
            CacheSalt = Key(body, "cache_salt"),
            PromptCacheKey = Key(body, "prompt_cache_key"),
            XCacheReport = body.Boolean("x_cache_report") ?? false,
            Timing = body.Boolean("timing") ?? false,
            User = Key(body, "user"),
        }, ignored);

    /// <summary>Takes <c>stream_options</c>; OpenAI refuses it without <c>stream</c>, and so do we.</summary>
    public static StreamOptions? StreamOptions(JsonFields body, bool stream, List<string> ignored)
    {
        if (body.Object("stream_options") is not { } options)
            return null;
        if (!stream)
            throw ApiException.InvalidValue("'stream_options' is only allowed when 'stream' is true.", "stream_options", "invalid_value");
        StreamOptions read = new(options.Boolean("include_usage") ?? false);
        if (options.Boolean("include_obfuscation") == true)
            throw ApiException.Unsupported("stream_options.include_obfuscation", "streams are not padded here.");
        options.Close(ignored);
        return read;
    }

    /// <summary>Texts that end a reply: one, or an array of them.</summary>
    public static List<string> Stops(JsonFields body, string name)
    {
        if (body.Take(name) is not { } value)
            return [];
        string path = body.PathOf(name);
        if (value.ValueKind == JsonValueKind.String)
            return [StopString(value, path)];
        return JsonFields.Items(value, path, 0, MaxStopStrings).ConvertAll(item => StopString(item.Value, item.Path));
    }

    private static string StopString(JsonElement value, string path)
    {
        string text = JsonValue.String(value, path);
        return text.Length is > 0 and <= MaxStopLength
            ? text
            : throw ApiException.InvalidValue($"'{path}' must have 1 to {MaxStopLength} characters; it has {text.Length}.", path, "invalid_length");
    }

    private static Dictionary<string, float>? LogitBias(JsonFields body)
    {
        if (body.Take("logit_bias") is not { } value)
            return null;
        string path = body.PathOf("logit_bias");
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(value, path, "an object of token ids to biases");
        Dictionary<string, float> biases = [];
        foreach (JsonProperty bias in value.EnumerateObject())
        {
            if (!int.TryParse(bias.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int token))
                throw ApiException.InvalidValue($"'{path}' must have token ids as keys.", path, "invalid_value");
            biases[token.ToString(CultureInfo.InvariantCulture)] = (float)JsonValue.Number(bias.Value, $"{path}.{token}", -100, 100);
            if (biases.Count > MaxLogitBiases)
                throw ApiException.InvalidValue($"'{path}' may name at most {MaxLogitBiases} tokens.", path, "invalid_length");
        }

        return biases;
    }

    /// <summary>A name of the client's own making.</summary>
    public static string? Key(JsonFields body, string name) =>
        body.String(name) is not { } key || key.Length <= MaxKeyLength
            ? body.String(name)
            : throw ApiException.InvalidValue($"'{name}' may have at most {MaxKeyLength} characters; it has {key.Length}.", name, "invalid_length");
}
