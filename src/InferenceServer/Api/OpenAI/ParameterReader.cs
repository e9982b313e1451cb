using System.Globalization;
using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Api.OpenAI;

/// <summary>Reads the fields that chat completions and completions share. Ranges are OpenAI's, or the sampler's where OpenAI has none.</summary>
internal static class ParameterReader
{
    private const int MaxLogitBiases = 1024;
    private const int MaxKeyLength = 512;

    /// <summary>Takes every shared field of <paramref name="body"/>.</summary>
    /// <param name="own">What the dialect has read of its own.</param>
    public static (GenerationOptions Options, CallOptions Call) Read(JsonFields body, GenerationOptions own, List<string> ignored)
    {
        bool stream = body.Boolean("stream") ?? false;
        GenerationOptions options = SamplingReader.Read(body, own, SamplingOptions.Default, mostTemperature: 2, ignored) with
        {
            StopSequences = StopReader.Read(body, "stop"),
            Choices = body.Integer("n", 1, 128) ?? 1,
            Seed = body.Seed("seed"),
            LogitBias = LogitBias(body),
            Adapters = AdapterReader.Read(body, "lora", ignored),
            IgnoreEndOfGeneration = body.Boolean("ignore_eos") ?? false,
            Priority = PriorityOf(body.OneOf("service_tier", "auto", "default", "flex", "priority", "scale", "fast")),
            Timeout = body.Integer("timeout_ms", 1, 86_400_000) is { } milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null,
            CacheSalt = Key(body, "cache_salt"),
            Session = Key(body, "prompt_cache_key"),
            User = Key(body, "user"),
        };
        CallOptions call = new(stream, body.Boolean("x_cache_report") ?? false, body.Boolean("timing") ?? false);
        return (ConstraintReader.Read(body, options, ignored), call);
    }

    /// <summary>Most tokens of a reply; null, for no limit but the context, where it is absent, null or -1, which llama.cpp's and vLLM's clients send.</summary>
    public static int? MaxTokens(JsonFields body, string name) => body.Integer(name, -1, int.MaxValue) is >= 0 and var most ? most : null;

    /// <summary>The tier that is answered for, in OpenAI's words.</summary>
    public static string TierName(RequestPriority priority) => priority switch
    {
        RequestPriority.Flex => "flex",
        RequestPriority.Priority => "priority",
        _ => "default",
    };

    private static RequestPriority PriorityOf(string? tier) => tier switch
    {
        "flex" => RequestPriority.Flex,
        "priority" or "fast" => RequestPriority.Priority,
        _ => RequestPriority.Default,
    };

    /// <summary>Takes <c>stream_options</c>; OpenAI refuses it without <c>stream</c>, and so do we.</summary>
    /// <returns>Whether the stream is to end in the usage.</returns>
    public static bool IncludesUsage(JsonFields body, bool stream, List<string> ignored)
    {
        if (body.Object("stream_options") is not { } options)
            return false;
        if (!stream)
            throw RequestProblem.Invalid("{where} is only allowed when 'stream' is true.", "stream_options", "invalid_value");
        bool includes = options.Boolean("include_usage") ?? false;
        if (options.Boolean("include_obfuscation") == true)
            throw RequestProblem.Unsupported("stream_options.include_obfuscation", "streams are not padded here.");
        options.Close(ignored);
        return includes;
    }

    private static Dictionary<int, float>? LogitBias(JsonFields body)
    {
        if (body.Take("logit_bias") is not { } value)
            return null;
        string path = body.PathOf("logit_bias");
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(value, path, "an object of token ids to biases");
        Dictionary<int, float> biases = [];
        foreach (JsonProperty bias in value.EnumerateObject())
        {
            if (!int.TryParse(bias.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int token))
                throw RequestProblem.Invalid($"{{where}} must have token ids as keys.", path, "invalid_value");
            biases[token] = (float)JsonValue.Number(bias.Value, $"{path}.{token}", -100, 100);
            if (biases.Count > MaxLogitBiases)
                throw RequestProblem.Invalid($"{{where}} may name at most {MaxLogitBiases} tokens.", path, "invalid_length");
        }

        return biases;
    }

    /// <summary>A name of the client's own making.</summary>
    public static string? Key(JsonFields body, string name) =>
        body.String(name) is not { } key || key.Length <= MaxKeyLength
            ? body.String(name)
            : throw RequestProblem.Invalid($"{{where}} may have at most {MaxKeyLength} characters; it has {key.Length}.", name, "invalid_length");
}

/// <summary>How a call wants to be answered, besides what is said.</summary>
internal sealed record CallOptions(bool Stream, bool ReportsCache, bool ReportsTiming)
{
    /// <summary>The stream ends in the usage.</summary>
    public bool IncludesUsage { get; init; }
}
