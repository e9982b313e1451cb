using System.Text.Json;
using InferenceServer.Api.Moderation;
using InferenceServer.Chat;
using InferenceServer.Mcp;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>A request in this dialect, translated.</summary>
/// <param name="Model">As the client wrote it; null for the only one.</param>
/// <param name="Chat">What runs.</param>
internal sealed record ChatCall(string? Model, ChatRequest Chat, CallOptions Options)
{
    public bool Logprobs => Chat.Options.TopLogprobs is not null;

    /// <summary>The request has <c>functions</c>, and is answered in these terms.</summary>
    public bool AnswersFunctionCall { get; init; }

    /// <summary>The tools that the request offers as custom: calls of them are answered so.</summary>
    public IReadOnlySet<string> CustomTools { get; init; } = new HashSet<string>();

    /// <summary>How a reply that calls ends, in OpenAI's terms: who names the function asked for no decision, and is told that the reply is whole.</summary>
    public string CallFinishReason => Chat.ToolChoice.Mode == ToolMode.Named ? "stop" : AnswersFunctionCall ? "function_call" : "tool_calls";

    /// <summary>The MCP servers whose tools this server is to run.</summary>
    public IReadOnlyList<McpAsk> Mcp { get; init; } = [];

    /// <summary>Keep the completion.</summary>
    public bool Store { get; init; }

    public IReadOnlyDictionary<string, string>? Metadata { get; init; }
}

/// <summary>JSON body to a chat request. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class ChatRequestParser
{
    private const int MaxKwargs = 32;

    public static ChatCall Parse(JsonElement root, List<string> ignored) => Parse(root, needsModel: true, ignored);

    /// <summary>As the other, for what only makes the prompt: the model need not be named.</summary>
    public static ChatCall ParsePrompt(JsonElement root, List<string> ignored) => Parse(root, needsModel: false, ignored);

    private static ChatCall Parse(JsonElement root, bool needsModel, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string? model = needsModel ? body.RequireString("model") : body.String("model");
        IReadOnlyList<ChatMessage> messages = ChatMessageParser.Parse(body, ignored);
        int? maxTokens = ParameterReader.MaxTokens(body, "max_tokens"), maxCompletionTokens = ParameterReader.MaxTokens(body, "max_completion_tokens");
        (GenerationOptions options, CallOptions call) = ParameterReader.Read(body, new GenerationOptions
        {
            MaxOutputTokens = maxCompletionTokens ?? maxTokens,
            TopLogprobs = ReadLogprobs(body),
        }, ignored);
        call = call with { IncludesUsage = ParameterReader.IncludesUsage(body, call.Stream, ignored) };
        ChatRequest chat = new()
        {
            Messages = messages,
            Prediction = ReadPrediction(body, ignored),
            ReasoningEffort = body.OneOf("reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh", "max"),
            ReasoningBudget = body.Integer("reasoning_budget", -1, int.MaxValue),
            TemplateArguments = ReadKwargs(body),
            AddGenerationPrompt = body.Boolean("add_generation_prompt") ?? true,
            ContinuesFinalMessage = body.Boolean("continue_final_message") ?? false,
            Moderation = ModerationReader.Read(body, ignored),
            Options = ParameterReader.Key(body, "safety_identifier") is { } identifier ? options with { User = options.User ?? identifier } : options,
        };
        if (chat is { ReasoningBudget: >= 0, Options.TopLogprobs: not null })
            throw RequestProblem.Invalid("{where} and 'logprobs' cannot both be given: what ends the thinking is not drawn, and has no probability.", "reasoning_budget", "invalid_value");
        bool isFormer = body.Array("functions", 0, ToolReader.MaxTools) is { Count: > 0 };
        HashSet<string> custom = [];
        IReadOnlyList<McpAsk> mcp = McpUse.Read(body);
        if (isFormer && mcp.Count > 0)
            throw RequestProblem.Invalid("{where} and 'functions' cannot both be given: use 'tools'.", "mcp", "invalid_value");
        chat = isFormer ? FunctionReader.Read(body, chat, ignored) : ToolReader.Read(body, FunctionReader.WithoutFunctions(body, chat), custom, McpUse.Prefixes(mcp), ignored);
        ChatCall read = new(model, chat, call) { AnswersFunctionCall = isFormer, CustomTools = custom, Mcp = mcp, Store = body.Boolean("store") ?? false, Metadata = MetadataReader.Read(body) };
        RefuseUnsupported(body, ignored);
        ReadCacheOptions(body, ignored);
        body.Close(ignored);
        return read;
    }

    private static int? ReadLogprobs(JsonFields body)
    {
        bool asked = body.Boolean("logprobs") ?? false;
        int? top = body.Integer("top_logprobs", 0, 20);
        if (top is not null && !asked)
            throw RequestProblem.Invalid("{where} needs 'logprobs' to be true.", "top_logprobs", "invalid_value");
        return asked ? top ?? 0 : null;
    }

    /// <summary>Fields whose feature is not here. Values that mean "off" pass.</summary>
    private static void RefuseUnsupported(JsonFields body, List<string> ignored)
    {
        foreach ((JsonElement value, string path) in body.Array("modalities", 0, 8) ?? [])
            if (JsonValue.String(value, path) is not "text")
                throw RequestProblem.Unsupported(path, "this server answers in text only.");
        foreach (string name in (ReadOnlySpan<string>)["audio", "web_search_options"])
            if (body.Take(name) is not null)
                throw RequestProblem.Unsupported(name, "this server has no such feature.");
        if (body.OneOf("verbosity", "low", "medium", "high") is "low" or "high")
            ignored.Add("verbosity"); // the model has no such setting
        if (body.OneOf("prompt_cache_retention", "in_memory", "in-memory", "24h") is "24h")
            throw RequestProblem.Unsupported("prompt_cache_retention", "prefixes are kept as long as memory allows; no time is promised.");
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

    private static string? ReadPrediction(JsonFields body, List<string> ignored)
    {
        if (body.Object("prediction") is not { } prediction)
            return null;
        _ = prediction.OneOf("type", "content")
            ?? throw RequestProblem.Invalid("{where} is required and must be 'content'.", "prediction.type", "missing_required_parameter");
        string content = string.Concat(ChatMessageParser.ReadParts(prediction.Require("content"), "prediction.content", ignored));
        prediction.Close(ignored);
        return content;
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
                throw RequestProblem.Invalid($"{{where}} may have at most {MaxKwargs} entries.", "chat_template_kwargs", "invalid_length");
        }

        return kwargs;
    }
}
