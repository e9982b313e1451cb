using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Api.Anthropic;

/// <summary>A request in this dialect, translated.</summary>
/// <param name="Model">As the client wrote it; null for the only one.</param>
/// <param name="Chat">What runs.</param>
/// <param name="OmitsThinking">Thinking blocks are left empty.</param>
internal sealed record MessagesCall(string? Model, ChatRequest Chat, bool OmitsThinking, bool Stream, bool ReportsTiming);

/// <summary>JSON body to a chat request. Fields are honoured or refused by name; unknown ones, beta fields of the SDKs among them, are listed in <c>ignored</c>.</summary>
internal static class MessagesParser
{
    private static readonly JsonElement True = JsonDocument.Parse("true").RootElement.Clone();
    private static readonly JsonElement False = JsonDocument.Parse("false").RootElement.Clone();

    /// <param name="counts">Only the prompt matters: there need be no <c>max_tokens</c> and no model.</param>
    public static MessagesCall Parse(JsonElement root, bool counts, List<string> ignored)
    {
        JsonFields body = new(root, "");
        int? maxTokens = counts ? body.Integer("max_tokens", 0, int.MaxValue) : (int)JsonValue.Integer(body.Require("max_tokens"), "max_tokens", 0, int.MaxValue);
        string? model = counts ? body.String("model") : body.RequireString("model");
        List<ChatMessage> messages = MessagesReader.Read(body, ignored);
        (ChatRequest chat, bool omitsThinking) = ReadThinking(body, maxTokens, ignored, new ChatRequest
        {
            Messages = messages,
            // A reply that is begun for the model is gone on with.
            ContinuesFinalMessage = messages[^1] is { Role: ChatRole.Assistant, ToolCalls: null },
            Options = SamplingReader.Read(body, new(), SamplingOptions.Default, 1, ignored, SamplingFields.Temperature, "top_p", "top_k") with
            {
                MaxOutputTokens = maxTokens,
                StopSequences = StopReader.Read(body, "stop_sequences"),
                User = ReadUser(body, ignored),
            },
        });
        // There is one tier.
        body.OneOf("service_tier", "auto", "standard_only");
        bool stream = body.Boolean("stream") ?? false, timing = body.Boolean("timing") ?? false;
        chat = ReadTools(body, ReadOutput(body, chat, ignored), ignored);
        MessagesReader.TakeCacheControl(body);
        RefuseUnsupported(body);
        body.Close(ignored);
        return new MessagesCall(model, chat, omitsThinking, stream, timing);
    }

    private static void RefuseUnsupported(JsonFields body)
    {
        if (body.Take("inference_geo") is { } region && JsonValue.String(region, "inference_geo") is not "local")
            throw RequestProblem.Unsupported("inference_geo", "everything is computed on this machine.");
        foreach (string name in (ReadOnlySpan<string>)["container", "mcp_servers"])
            if (body.Take(name) is { } value && !(value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0))
                throw RequestProblem.Unsupported(name, "nothing is run on this server's side but the model.");
        if (body.OneOf("speed", "standard", "fast") == "fast")
            throw RequestProblem.Unsupported("speed", "there is one speed.");
    }

    private static string? ReadUser(JsonFields body, List<string> ignored)
    {
        if (body.Object("metadata") is not { } metadata)
            return null;
        string? user = metadata.String("user_id");
        if (user is { Length: > 512 })
            throw RequestProblem.Invalid($"{{where}} may have at most 512 characters; it has {user.Length}.", "metadata.user_id", "invalid_length");
        metadata.Close(ignored);
        return user;
    }

    /// <summary>Without thinking asked for there is none, as far as the template can tell its model so.</summary>
    private static (ChatRequest Chat, bool Omits) ReadThinking(JsonFields body, int? maxTokens, List<string> ignored, ChatRequest chat)
    {
        JsonFields? thinking = body.Object("thinking");
        string type = "disabled";
        bool omits = false;
        if (thinking is not null)
        {
            _ = thinking.Require("type");
            type = thinking.OneOf("type", "enabled", "adaptive", "disabled", "between_tools")!;
            if (type == "between_tools")
                throw RequestProblem.Unsupported("thinking.type", "chat templates know thinking or none, not thinking between calls only.");
            omits = thinking.OneOf("display", "summarized", "omitted") == "omitted";
        }

        if (type == "enabled")
        {
            int budget = (int)JsonValue.Integer(thinking!.Require("budget_tokens"), "thinking.budget_tokens", 1, int.MaxValue);
            if (budget >= maxTokens)
                throw RequestProblem.Invalid($"{{where}} must be less than 'max_tokens', which is {maxTokens}; it is {budget}.", "thinking.budget_tokens", "out_of_range");
            chat = chat with { ReasoningBudget = budget };
        }

        thinking?.Close(ignored);
        return (chat with { TemplateArguments = new Dictionary<string, JsonElement> { ["enable_thinking"] = type == "disabled" ? False : True } }, omits);
    }

    private static ChatRequest ReadOutput(JsonFields body, ChatRequest chat, List<string> ignored)
    {
        // output_format is where the format stood while it was a beta.
        ConstraintSource? format = ReadFormat(body, "output_format", ignored);
        if (body.Object("output_config") is { } config)
        {
            // High is what the dialect calls its default.
            chat = chat with { ReasoningEffort = config.OneOf("effort", "low", "medium", "high", "xhigh", "max") is not ("high" or null) and var effort ? effort : null };
            ConstraintSource? second = ReadFormat(config, "format", ignored);
            if (format is not null && second is not null)
                throw RequestProblem.Invalid("{where} and 'output_config.format' cannot both be given.", "output_format", "invalid_value");
            format ??= second;
            config.Close(ignored);
        }

        return chat with { Options = chat.Options with { Constraint = format } };
    }

    private static ConstraintSource? ReadFormat(JsonFields fields, string name, List<string> ignored)
    {
        if (fields.Object(name) is not { } format)
            return null;
        _ = format.Require("type");
        format.OneOf("type", "json_schema");
        ConstraintSource source = JsonValue.Schema(format.Require("schema"), format.PathOf("schema"));
        format.Close(ignored);
        return source;
    }

    private static ChatRequest ReadTools(JsonFields body, ChatRequest chat, List<string> ignored)
    {
        List<ChatTool> tools = (body.Array("tools", 0, ToolReader.MaxTools) ?? []).Select(item => ReadTool(item.Value, item.Path, ignored)).OfType<ChatTool>().ToList();
        HashSet<string> names = ToolReader.NamesOf(tools, i => $"tools[{i}].name");
        chat = chat with { Tools = tools };
        if (body.Object("tool_choice") is not { } choice)
            return chat;
        _ = choice.Require("type");
        string type = choice.OneOf("type", "auto", "any", "tool", "none")!;
        if (type is "any" or "tool" && tools.Count == 0)
            throw RequestProblem.Invalid("{where} asks for a call, and 'tools' has none.", "tool_choice", "invalid_value");
        string? named = type == "tool" ? choice.RequireString("name") : null;
        if (named is not null && !names.Contains(named))
            throw RequestProblem.Invalid("{where} is none of the functions in 'tools'.", "tool_choice.name", "invalid_value");
        bool alone = choice.Boolean("disable_parallel_tool_use") ?? false;
        choice.Close(ignored);
        return chat with
        {
            AllowMultipleToolCalls = !alone,
            ToolChoice = type switch
            {
                "any" => new ToolChoice(ToolMode.Required),
                "tool" => new ToolChoice(ToolMode.Named, [named!]),
                "none" => ToolChoice.None,
                _ => ToolChoice.Auto,
            },
        };
    }

    /// <summary>Null for a tool that a server would have to run: the others still can be called, and its path is among the ignored.</summary>
    private static ChatTool? ReadTool(JsonElement value, string path, List<string> ignored)
    {
        JsonFields tool = new(value, path);
        if (tool.String("type") is not (null or "custom"))
        {
            ignored.Add(path);
            return null;
        }

        string name = ToolReader.ReadName(tool);
        JsonElement schema = tool.Require("input_schema");
        if (schema.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(schema, tool.PathOf("input_schema"), "an object, a JSON Schema");
        if (!ToolReader.TakeExtras(tool, ["input_examples"], ignored))
        {
            ignored.Add(path);
            return null;
        }

        // Arguments are streamed as they come, whoever asks.
        tool.Boolean("eager_input_streaming");
        MessagesReader.TakeCacheControl(tool);
        ChatTool read = new(name, tool.String("description"), schema.Clone(), tool.Boolean("strict")) { Path = tool.PathOf("input_schema") };
        tool.Close(ignored);
        return read;
    }
}
