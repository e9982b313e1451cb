using System.Text.Json;
using InferenceServer.Api.Moderation;
using InferenceServer.Chat;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>JSON body to <see cref="ResponseRequest"/>. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class ResponseRequestParser
{
    public const string EncryptedReasoning = "reasoning.encrypted_content";
    private const string OutputLogprobs = "message.output_text.logprobs";
    private const int MaxIncludes = 16;

    // Of tools that are not here, and of images.
    private static readonly string[] OfOthers =
    [
        "file_search_call.results", "web_search_call.results", "web_search_call.action.sources", "message.input_image.image_url", "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
    ];

    /// <param name="model">What to take where the body names none; null demands a name.</param>
    public static ResponseRequest Parse(JsonElement root, string? model, List<string> ignored)
    {
        JsonFields body = new(root, "");
        RefuseUnsupported(body, ignored);
        ResponseRequest request = new()
        {
            Model = model is null ? body.RequireString("model") : body.String("model") ?? model,
            Input = body.Take("input"),
            Instructions = body.Said("instructions"),
            PreviousResponseId = body.String("previous_response_id"),
            ConversationId = ReadConversation(body, ignored, out SentParent? parent),
            ConversationParent = parent,
            Store = body.Boolean("store"),
            Background = body.Boolean("background") ?? false,
            Include = ReadIncludes(body, ignored),
            MaxOutputTokens = body.Integer("max_output_tokens", 1, int.MaxValue),
            MaxToolCalls = body.Integer("max_tool_calls", 1, int.MaxValue),
            Metadata = MetadataReader.Read(body),
            Text = ReadText(body, ignored, out ConstraintSource? constraint),
            Reasoning = ReadReasoning(body, ignored),
            Truncation = body.OneOf("truncation", "auto", "disabled") ?? "disabled",
            SafetyIdentifier = ParameterReader.Key(body, "safety_identifier"),
            TopLogprobs = body.Integer("top_logprobs", 0, 20),
        };
        if (request.PreviousResponseId is not null && request.ConversationId is not null)
            throw RequestProblem.Invalid("'previous_response_id' and 'conversation' cannot both be given: each says what came before.", "conversation", "mutually_exclusive_parameters");
        bool logprobs = request.Include.Contains(OutputLogprobs);
        if (request.TopLogprobs > 0 && !logprobs)
            throw RequestProblem.Invalid($"{{where}} needs 'include' to have '{OutputLogprobs}'.", "top_logprobs", "invalid_value");
        (GenerationOptions options, CallOptions call) = ParameterReader.Read(body, new GenerationOptions
        {
            MaxOutputTokens = request.MaxOutputTokens,
            TopLogprobs = logprobs ? request.TopLogprobs ?? 0 : null,
        }, ignored);
        options = WithConstraint(options, constraint);
        request = request with
        {
            Stream = call.Stream,
            Temperature = options.Sampling.Temperature,
            TopP = options.Sampling.TopP,
            PromptCacheKey = options.Session,
            User = options.User,
            Items = request.Input is { } input ? ResponseItemParser.ReadInput(input, "input", ignored) : [],
            Input = null,
            Call = call,
            Chat = new ChatRequest
            {
                Messages = [],
                ReasoningEffort = request.Reasoning?.Effort,
                Moderation = ModerationReader.Read(body, ignored),
                Options = options with { User = options.User ?? request.SafetyIdentifier },
            },
        };
        ReadStreamOptions(body, request.Stream, ignored);
        ReadCacheOptions(body, ignored);
        request = ResponseToolParser.Read(body, request, ignored);
        body.Close(ignored);
        return request;
    }

    private static GenerationOptions WithConstraint(GenerationOptions options, ConstraintSource? constraint)
    {
        if (constraint is null)
            return options;
        if (options.Constraint is { } other)
            throw RequestProblem.Invalid($"'{constraint.Path}' and '{other.Path}' cannot both be given: a reply obeys one constraint.", other.Path, "invalid_value");
        return options.IgnoreEndOfGeneration
            ? throw RequestProblem.Invalid($"{{where}} and '{constraint.Path}' cannot both be given: a reply that is whole must end.", "ignore_eos", "invalid_value")
            : options with { Constraint = constraint };
    }

    /// <summary>Fields whose feature is not here, and chat's names of fields that are called otherwise. Values that mean "off" pass.</summary>
    private static void RefuseUnsupported(JsonFields body, List<string> ignored)
    {
        if (body.Take("prompt") is not null)
            throw RequestProblem.Unsupported("prompt", "prompt templates are not kept here; send their text.");
        if (body.Array("context_management", 0, 8) is { Count: > 0 })
            throw RequestProblem.Unsupported("context_management", "use 'truncation' or /v1/responses/compact.");
        if (body.Take("personality") is not null)
            ignored.Add("personality"); // the model has no such setting
        if (body.OneOf("prompt_cache_retention", "in_memory", "in-memory", "24h") is "24h")
            throw RequestProblem.Unsupported("prompt_cache_retention", "prefixes are kept as long as memory allows; no time is promised.");
        foreach ((string name, string instead) in ((string, string)[])[("response_format", "text.format"), ("messages", "input"), ("max_tokens", "max_output_tokens"),
            ("max_completion_tokens", "max_output_tokens"), ("reasoning_effort", "reasoning.effort"), ("logprobs", "include"), ("verbosity", "text.verbosity")])
            if (body.Take(name) is not null)
                throw RequestProblem.Unsupported(name, $"it belongs to chat completions; use '{instead}'.");
        if (body.Integer("n", 1, 128) is > 1)
            throw RequestProblem.Unsupported("n", "a response has one reply.");
    }

    /// <summary>Prefixes are cached with and without marks; for how long nobody can promise.</summary>
    private static void ReadCacheOptions(JsonFields body, List<string> ignored)
    {
        if (body.Object("prompt_cache_options") is not { } options)
            return;
        _ = options.OneOf("mode", "implicit", "explicit");
        if (options.OneOf("ttl", "30m") is not null)
            throw RequestProblem.Unsupported(options.PathOf("ttl"), "prefixes are kept as long as memory allows; no time is promised.");
        options.Close(ignored);
    }

    private static string? ReadConversation(JsonFields body, List<string> ignored, out SentParent? parent)
    {
        parent = null;
        if (body.Take("conversation") is not { } value)
            return null;
        if (value.ValueKind == JsonValueKind.String)
            return JsonValue.String(value, "conversation");
        JsonFields fields = new(value, "conversation");
        string id = fields.RequireString("id");
        parent = SentParent.Read(fields);
        fields.Close(ignored);
        return id;
    }

    /// <summary>Without those of tools that are not here, which are among the ignored as the tools themselves are.</summary>
    private static List<string> ReadIncludes(JsonFields body, List<string> ignored)
    {
        List<string> includes = [];
        foreach ((JsonElement item, string path) in body.Array("include", 0, MaxIncludes) ?? [])
        {
            string name = JsonValue.String(item, path);
            if (OfOthers.Contains(name))
                ignored.Add(path);
            else
                includes.Add(ReadInclude(name, path));
        }

        return includes;
    }

    /// <summary>Checks the <c>include</c> of a query for what is stored: what was included when it was made is there, whether it is asked for or not.</summary>
    public static void CheckIncludes(HttpRequest request)
    {
        foreach (string name in (ReadOnlySpan<string>)["include", "include[]"])
            foreach (string? value in request.Query[name])
                _ = !OfOthers.Contains(value) ? ReadInclude(value ?? "", "include") : throw RequestProblem.Unsupported("include", "this server has no such tools and reads no images.");
    }

    private static string ReadInclude(string value, string path) => value switch
    {
        OutputLogprobs or EncryptedReasoning => value,
        _ => throw JsonValue.NotOneOf(path, value, [OutputLogprobs, EncryptedReasoning]),
    };

    private static ResponseText? ReadText(JsonFields body, List<string> ignored, out ConstraintSource? constraint)
    {
        constraint = null;
        if (body.Object("text") is not { } text)
            return null;
        if (text.OneOf("verbosity", "low", "medium", "high") is "low" or "high")
            ignored.Add(text.PathOf("verbosity")); // as above
        ResponseTextFormat read = new("text");
        if (text.Object("format") is { } format)
        {
            _ = format.Require("type");
            read = new(format.OneOf("type", "text", "json_object", "json_schema")!);
            if (read.Type == "json_object")
                constraint = ConstraintSource.JsonObject(format.PathOf("type"));
            else if (read.Type == "json_schema")
                read = ReadSchema(format, read, out constraint);
            format.Close(ignored);
        }

        text.Close(ignored);
        return new ResponseText { Format = read };
    }

    private static ResponseTextFormat ReadSchema(JsonFields format, ResponseTextFormat read, out ConstraintSource constraint)
    {
        JsonElement schema = JsonValue.Keep(format.Require("schema"), format.PathOf("schema"));
        constraint = JsonValue.Schema(schema, format.PathOf("schema"));
        string name = ConstraintReader.ReadName(format) ?? format.RequireString("name");
        return read with { Name = name, Description = format.String("description"), Schema = schema, Strict = format.Boolean("strict") ?? false };
    }

    private static ResponseReasoning? ReadReasoning(JsonFields body, List<string> ignored)
    {
        if (body.Object("reasoning") is not { } reasoning)
            return null;
        string? effort = reasoning.OneOf("effort", "none", "minimal", "low", "medium", "high", "xhigh", "max");
        string? summary = null;
        foreach (string name in (ReadOnlySpan<string>)["generate_summary", "summary"])
            if (reasoning.OneOf(name, "auto", "concise", "detailed") is { } given)
                summary = given != "concise" ? given : throw RequestProblem.Unsupported(reasoning.PathOf(name), "reasoning is not shortened; 'detailed' gives it whole.");
        if (reasoning.OneOf("context", "auto", "current_turn", "all_turns") is "current_turn" or "all_turns")
            throw RequestProblem.Unsupported(reasoning.PathOf("context"), "the model's chat template decides which reasoning it wants back.");
        if (reasoning.OneOf("mode", "standard", "pro") is "pro")
            throw RequestProblem.Unsupported(reasoning.PathOf("mode"), "the model has no such setting.");
        reasoning.Close(ignored);
        return new ResponseReasoning(effort, summary);
    }

    private static void ReadStreamOptions(JsonFields body, bool stream, List<string> ignored)
    {
        if (body.Object("stream_options") is not { } options)
            return;
        if (!stream)
            throw RequestProblem.Invalid("{where} is only allowed when 'stream' is true.", "stream_options", "invalid_value");
        if (options.Boolean("include_obfuscation") == true)
            throw RequestProblem.Unsupported("stream_options.include_obfuscation", "streams are not padded here.");
        options.Close(ignored);
    }
}
