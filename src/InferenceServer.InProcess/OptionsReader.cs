using System.Text.Json;
using InferenceServer.Models;
using InferenceServer.Moderation;

namespace InferenceServer.InProcess;

/// <summary>Options of Microsoft.Extensions.AI to those of the conversation core. Each is honoured or refused by its name; ranges are the HTTP server's.</summary>
internal static class OptionsReader
{
    /// <summary>The one key of <see cref="ChatOptions.AdditionalProperties"/> that is read.</summary>
    public const string ModerationKey = "moderation";

    private const int MaxTools = 1024, MaxKeyLength = 512;

    // As over HTTP: each one costs a comparison a character.
    private const int MaxStopSequences = 16, MaxStopLength = 256;

    /// <exception cref="RequestProblem">A value is out of its range, or two contradict each other.</exception>
    /// <exception cref="NotSupportedException">An option or a tool cannot be had here; the message names it.</exception>
    public static Chat.ChatRequest Read(IEnumerable<ChatMessage> messages, ChatOptions? options, ServedModel model, ModerationGate gate)
    {
        options ??= new();
        Refuse(options, model);
        Chat.ChatTool[] tools = [.. (options.Tools ?? []).Select(ReadTool)];
        if (tools.Length > MaxTools)
            throw RequestProblem.Invalid($"{{where}} may have at most {MaxTools} entries.", Place(nameof(options.Tools)), "invalid_length");
        if (tools.GroupBy(tool => tool.Name).FirstOrDefault(same => same.Count() > 1) is { } twice)
            throw RequestProblem.Invalid($"{{where}} has '{twice.Key}' for the second time.", Place(nameof(options.Tools)), "invalid_value");
        return new()
        {
            Messages = MessageReader.Read(messages, options.Instructions),
            Tools = tools,
            ToolChoice = ReadChoice(options.ToolMode, tools),
            AllowMultipleToolCalls = options.AllowMultipleToolCalls ?? true,
            ReasoningEffort = ReadEffort(options.Reasoning?.Effort),
            Moderation = ReadModeration(options, gate),
            Options = new()
            {
                MaxOutputTokens = AtLeastZero(options.MaxOutputTokens, nameof(options.MaxOutputTokens)),
                StopSequences = ReadStops(options.StopSequences),
                Seed = options.Seed,
                Sampling = new()
                {
                    Temperature = InRange(options.Temperature, 0, 2, nameof(options.Temperature)) ?? 1,
                    TopP = InRange(options.TopP, 0, 1, nameof(options.TopP)) ?? 1,
                    TopK = AtLeastZero(options.TopK, nameof(options.TopK)) ?? 0,
                    PresencePenalty = InRange(options.PresencePenalty, -2, 2, nameof(options.PresencePenalty)) ?? 0,
                    FrequencyPenalty = InRange(options.FrequencyPenalty, -2, 2, nameof(options.FrequencyPenalty)) ?? 0,
                },
                Given = Given(options),
                Constraint = ReadFormat(options.ResponseFormat),
                Session = ReadSession(options.ConversationId),
            },
        };
    }

    /// <exception cref="RequestProblem">Another model is asked for.</exception>
    public static void CheckModel(string? asked, string loaded, string place)
    {
        if (asked is not null && asked != loaded)
            throw new RequestProblem(ProblemKind.NotFound, $"{{where}} asks for another model than '{loaded}', which is loaded here.", place, "model_not_found");
    }

    private static HashSet<string> Given(ChatOptions options)
    {
        HashSet<string> given = [];
        foreach ((object? value, string name) in (ReadOnlySpan<(object?, string)>)
            [(options.Temperature, "temperature"), (options.TopP, "top_p"), (options.TopK, "top_k"), (options.PresencePenalty, "presence_penalty"), (options.FrequencyPenalty, "frequency_penalty")])
            if (value is not null)
                given.Add(name);
        return given;
    }

    private static string Place(string option) => InProcessProblems.Options + option;

    private static void Refuse(ChatOptions options, ServedModel model)
    {
        CheckModel(options.ModelId, model.Id, Place(nameof(options.ModelId)));
        if (options.RawRepresentationFactory is not null)
            throw InProcessProblems.Unsupported(Place(nameof(options.RawRepresentationFactory)), "there are no options beneath these.");
        if (options.Reasoning?.Output == ReasoningOutput.Summary)
            throw InProcessProblems.Unsupported($"{Place(nameof(options.Reasoning))}.{nameof(ReasoningOptions.Output)}", "reasoning is told in full or not at all, and not summed up.");
#pragma warning disable MEAI001 // Not final there; whatever becomes of them, they are refused.
        if (options.AllowBackgroundResponses == true)
            throw InProcessProblems.Unsupported(Place(nameof(options.AllowBackgroundResponses)), "a reply lives as long as its call.");
        if (options.ContinuationToken is not null)
            throw InProcessProblems.Unsupported(Place(nameof(options.ContinuationToken)), "a reply lives as long as its call.");
#pragma warning restore MEAI001
    }

    private static Chat.ChatTool ReadTool(AITool tool, int index)
    {
        string place = $"{Place(nameof(ChatOptions.Tools))}[{index}]";
        if (tool is not AIFunctionDeclaration function)
            throw InProcessProblems.Unsupported($"{place}, {tool.GetType().Name} '{tool.Name}',", "only functions can be called.");
        if (!Chat.ChatTool.IsName(function.Name))
            throw RequestProblem.Invalid($"{{where}} must have {Chat.ChatTool.NameRule}", $"{place}.{nameof(tool.Name)}", "invalid_value");
        string path = $"{place}.{nameof(function.JsonSchema)}";
        if (function.JsonSchema.ValueKind is not JsonValueKind.Object)
            throw RequestProblem.Invalid("{where} must be an object, a JSON Schema.", path, "invalid_type");
        // As that library's own clients read it.
        bool? strict = function.AdditionalProperties.TryGetValue("strict", out object? said) ? said as bool? : null;
        return new(function.Name, PromptText.Checked(function.Description, $"{place}.{nameof(tool.Description)}"), function.JsonSchema, strict) { Path = path };
    }

    private static Chat.ToolChoice ReadChoice(ChatToolMode? mode, Chat.ChatTool[] tools)
    {
        if (mode is NoneChatToolMode)
            return Chat.ToolChoice.None;
        if (mode is not RequiredChatToolMode required)
            return Chat.ToolChoice.Auto;
        if (tools.Length == 0)
            throw RequestProblem.Invalid($"{{where}} asks for a call, and '{Place(nameof(ChatOptions.Tools))}' has none.", Place(nameof(ChatOptions.ToolMode)), "invalid_value");
        if (required.RequiredFunctionName is not { } name)
            return new(Chat.ToolMode.Required);
        return Array.Exists(tools, tool => tool.Name == name)
            ? new(Chat.ToolMode.Named, [name])
            : throw RequestProblem.Invalid("{where} is none of the functions given.", $"{Place(nameof(ChatOptions.ToolMode))}.{nameof(required.RequiredFunctionName)}", "invalid_value");
    }

    private static string? ReadEffort(ReasoningEffort? effort) => effort switch
    {
        null => null,
        ReasoningEffort.None => "none",
        ReasoningEffort.Low => "low",
        ReasoningEffort.Medium => "medium",
        ReasoningEffort.High => "high",
        ReasoningEffort.ExtraHigh => "xhigh",
        _ => throw InProcessProblems.Unsupported($"{Place(nameof(ChatOptions.Reasoning))}.{nameof(ReasoningOptions.Effort)}", $"there is no effort {effort}."),
    };

    private static ModerationAsked? ReadModeration(ChatOptions options, ModerationGate gate)
    {
        if (options.AdditionalProperties?.TryGetValue(ModerationKey, out object? asked) is not true)
            return null;
        ModerationMode mode = asked switch
        {
            "flag" => ModerationMode.Flag,
            "refuse" => ModerationMode.Refuse,
            _ => throw RequestProblem.Invalid("{where} must be \"flag\" or \"refuse\".", $"{Place(nameof(options.AdditionalProperties))}[\"{ModerationKey}\"]", "invalid_value"),
        };
        return new(gate.Id, mode, mode);
    }

    private static Chat.ConstraintSource? ReadFormat(ChatResponseFormat? format)
    {
        string place = Place(nameof(ChatOptions.ResponseFormat));
        if (format is null or ChatResponseFormatText)
            return null;
        if (format is not ChatResponseFormatJson json)
            throw InProcessProblems.Unsupported($"{place}, {format.GetType().Name},", "a reply is text, JSON, or JSON of a schema.");
        if (json.Schema is not { } schema)
            return Chat.ConstraintSource.JsonObject(place);
        string path = $"{place}.{nameof(json.Schema)}", text = schema.GetRawText();
        return schema.ValueKind is JsonValueKind.Object
            ? Chat.ConstraintSource.JsonSchema(text, path)
            : throw RequestProblem.Invalid("{where} must be an object, a JSON Schema.", path, "invalid_type");
    }

    private static IReadOnlyList<string> ReadStops(IList<string>? stops)
    {
        string place = Place(nameof(ChatOptions.StopSequences));
        if (stops is null)
            return [];
        if (stops.Count > MaxStopSequences)
            throw RequestProblem.Invalid($"{{where}} may have at most {MaxStopSequences} entries.", place, "invalid_length");
        return [.. stops.Select((stop, i) => stop.Length is > 0 and <= MaxStopLength
            ? PromptText.Checked(stop, $"{place}[{i}]")
            : throw RequestProblem.Invalid($"{{where}} must have 1 to {MaxStopLength} characters; it has {stop.Length}.", $"{place}[{i}]", "invalid_length"))];
    }

    /// <summary>Without a name there is no session.</summary>
    private static string? ReadSession(string? conversation) => conversation is not { Length: > MaxKeyLength }
        ? conversation is "" ? null : conversation
        : throw RequestProblem.Invalid($"{{where}} may have at most {MaxKeyLength} characters; it has {conversation.Length}.", Place(nameof(ChatOptions.ConversationId)), "invalid_length");

    private static float? InRange(float? value, float min, float max, string option) => value is null || (value >= min && value <= max)
        ? value
        : throw RequestProblem.Invalid(FormattableString.Invariant($"{{where}} must be from {min} to {max}; it is {value}."), Place(option), "out_of_range");

    private static int? AtLeastZero(int? value, string option) => value is not < 0
        ? value
        : throw RequestProblem.Invalid($"{{where}} must be 0 or more; it is {value}.", Place(option), "out_of_range");
}
