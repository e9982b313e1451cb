using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>JSON body to <see cref="ChatCompletionRequest"/>. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class ChatRequestParser
{
    private const int MaxKwargs = 32;

    public static ChatCompletionRequest Parse(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        ChatCompletionRequest request = ParameterReader.Read(body, new ChatCompletionRequest
        {
            Model = body.RequireString("model"),
            Messages = ChatMessageParser.Parse(body, ignored),
            MaxTokens = body.Integer("max_tokens", 0, int.MaxValue),
            MaxCompletionTokens = body.Integer("max_completion_tokens", 0, int.MaxValue),
            Logprobs = body.Boolean("logprobs") ?? false,
            TopLogprobs = body.Integer("top_logprobs", 0, 20),
            Prediction = ReadPrediction(body, ignored),
            ReasoningEffort = body.OneOf("reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh", "max"),
            ReasoningBudget = body.Integer("reasoning_budget", -1, int.MaxValue),
            ChatTemplateKwargs = ReadKwargs(body),
            Store = body.Boolean("store") ?? false,
            Metadata = MetadataReader.Read(body),
            Moderation = ReadModeration(body, ignored),
        }, ignored);
        request = request with { StreamOptions = ParameterReader.StreamOptions(body, request.Stream, ignored) };
        if (request.TopLogprobs is not null && !request.Logprobs)
            throw ApiException.InvalidValue("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs", "invalid_value");
        if (ParameterReader.Key(body, "safety_identifier") is { } identifier)
            request = request with { User = request.User ?? identifier, SafetyIdentifier = identifier };
        if (request.ReasoningBudget >= 0 && request.Logprobs)
            throw ApiException.InvalidValue("'reasoning_budget' and 'logprobs' cannot both be given: what ends the thinking is not drawn, and has no probability.", "reasoning_budget", "invalid_value");
        request = ToolParser.Read(body, request, ignored);
        RefuseUnsupported(body);
        ReadCacheOptions(body, ignored);
        body.Close(ignored);
        return request;
    }

    /// <summary>Fields whose feature is not here. Values that mean "off" pass.</summary>
    private static void RefuseUnsupported(JsonFields body)
    {
        foreach ((JsonElement value, string path) in body.Array("modalities", 0, 8) ?? [])
            if (JsonValue.String(value, path) is not "text")
                throw ApiException.Unsupported(path, "this server answers in text only.");
        foreach (string name in (ReadOnlySpan<string>)["audio", "web_search_options"])
            if (body.Take(name) is not null)
                throw ApiException.Unsupported(name, "this server has no such feature.");
        if (body.OneOf("verbosity", "low", "medium", "high") is "low" or "high")
            throw ApiException.Unsupported("verbosity", "the model has no such setting; say it in the system message.");
        if (body.OneOf("prompt_cache_retention", "in_memory", "in-memory", "24h") is "24h")
            throw ApiException.Unsupported("prompt_cache_retention", "prefixes are kept as long as memory allows; no time is promised.");
    }

    /// <summary>Prefixes are cached with and without marks; for how long nobody can promise.</summary>
    private static void ReadCacheOptions(JsonFields body, List<string> ignored)
    {
        if (body.Object("prompt_cache_options") is not { } options)
            return;
        options.OneOf("mode", "implicit", "explicit");
        if (options.OneOf("ttl", "30m") is not null)
            ignored.Add(options.PathOf("ttl"));
        options.Close(ignored);
    }

    private static Prediction? ReadPrediction(JsonFields body, List<string> ignored)
    {
        if (body.Object("prediction") is not { } prediction)
            return null;
        _ = prediction.OneOf("type", "content")
            ?? throw ApiException.InvalidValue("'prediction.type' is required and must be 'content'.", "prediction.type", "missing_required_parameter");
        string content = ChatMessageParser.ReadText(prediction.Require("content"), "prediction.content", ignored);
        prediction.Close(ignored);
        return new Prediction(content);
    }

    public static ChatModerationOptions? ReadModeration(JsonFields body, List<string> ignored)
    {
        if (body.Object("moderation") is not { } moderation)
            return null;
        string model = moderation.RequireString("model");
        ChatModerationPolicy? policy = null;
        if (moderation.Object("policy") is { } given)
        {
            policy = new(ReadMode("input"), ReadMode("output"));
            given.Close(ignored);

            ChatModerationMode? ReadMode(string name)
            {
                if (given.Object(name) is not { } part)
                    return null;
                _ = part.Require("mode");
                ChatModerationMode mode = new(part.OneOf("mode", "score", "block")!);
                part.Close(ignored);
                return mode;
            }
        }

        moderation.Close(ignored);
        return new(model, policy);
    }

    private static Dictionary<string, JsonElement>? ReadKwargs(JsonFields body)
    {
        if (body.Take("chat_template_kwargs") is not { } value)
            return null;
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(value, "chat_template_kwargs", "an object");
        Dictionary<string, JsonElement> kwargs = [];
        foreach (JsonProperty kwarg in value.EnumerateObject())
        {
            kwargs[kwarg.Name] = kwarg.Value.Clone();
            if (kwargs.Count > MaxKwargs)
                throw ApiException.InvalidValue($"'chat_template_kwargs' may have at most {MaxKwargs} entries.", "chat_template_kwargs", "invalid_length");
        }

        return kwargs;
    }
}
