using System.Text.Json;

namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>Input items of responses and conversations. Each gets an id of its own; the client's stands beside it.</summary>
internal static class ResponseItemParser
{
    public const int MaxItems = 10_000;
    private const int MaxParts = 1_000;

    // The last second of the year 9999.
    private const long MaxTime = 253_402_300_799;

    // Other types that agents keep in their histories: understood, and nothing that a model which reads text could make use of. They are left out.
    private static readonly string[] OtherTypes =
    [
        "image_generation_call", "web_search_call", "file_search_call", "computer_call", "computer_call_output", "code_interpreter_call", "local_shell_call",
        "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output", "tool_search_call", "tool_search_output", "additional_tools",
        "compaction_trigger", "program", "program_output", "ghost_snapshot",
    ];

    /// <summary>A text, which is a user's message, or an array of items.</summary>
    public static List<InputItem> ReadInput(JsonElement input, string path, List<string> ignored)
    {
        if (input.ValueKind == JsonValueKind.String)
            return [new InputItem(NewMessage("user", [ResponseContent.Input(JsonValue.Said(input, path))]), null, path)];
        if (input.ValueKind != JsonValueKind.Array)
            throw JsonValue.WrongType(input, path, "a string or an array of items");
        return ReadItems(input, path, MaxItems, ignored);
    }

    public static List<InputItem> ReadItems(JsonElement items, string path, int max, List<string> ignored)
    {
        List<InputItem> read = [.. JsonFields.Items(items, path, 0, max).Select(item => ReadItem(item.Value, item.Path, ignored)).OfType<InputItem>()];
        // What names another item by its id goes on doing so: each has one of its own now.
        Dictionary<string, string> renamed = [];
        foreach (InputItem request in read)
            if (request is { SentId: { } sent, Item: { Type: ResponseItem.McpApprovalRequest, Id: { } id } })
                renamed[sent] = id;
        return renamed.Count == 0 ? read : read.ConvertAll(item =>
            item.Item is { ApprovalRequestId: { } named } about && renamed.TryGetValue(named, out string? now) ? item with { Item = about with { ApprovalRequestId = now } } : item);
    }

    /// <summary>Null for one that is left out; its path is then among the ignored.</summary>
    private static InputItem? ReadItem(JsonElement value, string path, List<string> ignored)
    {
        JsonFields fields = new(value, path);
        string type = fields.String("type") ?? (fields.Take("role") is not null ? ResponseItem.Message : fields.Take("id") is not null ? "item_reference"
            : throw RequestProblem.Invalid("{where} is required, or 'role' of a message.", fields.PathOf("type"), "missing_required_parameter"));
        string? id = fields.String("id");
        if (type == "item_reference")
        {
            fields.Close(ignored);
            return new InputItem(null, id ?? fields.RequireString("id"), path);
        }

        if (OtherTypes.Contains(type))
        {
            ignored.Add(path);
            return null;
        }

        // Items of a conversation carry these: conversations keep the first two, responses have no use for them.
        SentParent? parent = SentParent.Read(fields);
        long? created = fields.Long("created_at", 0, MaxTime);
        _ = fields.String("response_id");
        string? status = type == ResponseItem.McpCall
            ? fields.OneOf("status", ResponseItem.InProgress, ResponseItem.Completed, ResponseItem.Incomplete, ResponseItem.Failed, "calling")
            : fields.OneOf("status", ResponseItem.InProgress, ResponseItem.Completed, ResponseItem.Incomplete);
        ResponseItem item = type switch
        {
            ResponseItem.Message => ReadMessage(fields, ignored),
            ResponseItem.FunctionCall => ReadCall(fields, status),
            ResponseItem.FunctionCallOutput or "custom_tool_call_output" => ReadCallOutput(fields, ignored),
            "custom_tool_call" => ReadCustomCall(fields),
            ResponseItem.Reasoning => ReadReasoning(fields, ignored),
            ResponseItem.Compaction => ReadCompaction(fields),
            ResponseItem.McpListTools => ReadToolList(fields),
            ResponseItem.McpCall => ReadMcpCall(fields),
            ResponseItem.McpApprovalRequest => ReadMcp(fields, type) with { Name = fields.RequireString("name"), Arguments = ToolReader.ReadArguments(fields) },
            ResponseItem.McpApprovalResponse => ReadApproval(fields),
            _ => throw JsonValue.NotOneOf(fields.PathOf("type"), type,
                [ResponseItem.Message, ResponseItem.FunctionCall, ResponseItem.FunctionCallOutput, ResponseItem.Reasoning, ResponseItem.Compaction, ResponseItem.McpCall, ResponseItem.McpApprovalResponse, "item_reference"]),
        };
        fields.Close(ignored);
        // What is not made piece by piece has no status.
        return new InputItem(type is ResponseItem.Compaction or ResponseItem.McpListTools or ResponseItem.McpApprovalRequest or ResponseItem.McpApprovalResponse ? item : item with { Status = status ?? ResponseItem.Completed }, null, path)
        {
            SentId = id,
            Parent = parent,
            Created = created is { } seconds ? DateTimeOffset.FromUnixTimeSeconds(seconds) : null,
        };
    }

    private static ResponseItem ReadMessage(JsonFields fields, List<string> ignored)
    {
        _ = fields.Require("role");
        string role = fields.OneOf("role", "user", "assistant", "system", "developer")!;
        JsonElement content = fields.Require("content");
        string path = fields.PathOf("content");
        bool isOutput = role == "assistant";
        List<ResponseContent> parts = content.ValueKind switch
        {
            JsonValueKind.String => [Text(JsonValue.Said(content, path), isOutput)],
            JsonValueKind.Array => JsonFields.Items(content, path, 0, MaxParts).ConvertAll(part => ReadPart(part.Value, part.Path, isOutput, ignored)),
            _ => throw JsonValue.WrongType(content, path, "a string or an array of content parts"),
        };
        return NewMessage(role, parts) with { Phase = isOutput ? fields.OneOf("phase", "commentary", "final_answer") : null };
    }

    private static ResponseContent Text(string text, bool isOutput) => isOutput ? ResponseContent.Output(text) : ResponseContent.Input(text);

    private static ResponseContent ReadPart(JsonElement value, string path, bool isOutput, List<string> ignored)
    {
        JsonFields part = new(value, path);
        string type = part.RequireString("type");
        ResponseContent content = type switch
        {
            "input_text" or "output_text" or "text" => Text(part.RequireSaid("text"), isOutput),
            "refusal" when isOutput => new ResponseContent("refusal") { Refusal = part.RequireSaid("refusal") },
            "input_image" or "input_file" or "input_audio" or "computer_screenshot" =>
                throw RequestProblem.Unsupported(part.PathOf("type"), $"the model reads text only, not '{type}'."),
            _ => throw JsonValue.NotOneOf(part.PathOf("type"), type, isOutput ? ["output_text", "refusal"] : ["input_text"]),
        };
        // Every prefix is cached, wherever a client marks the end of one; and of a reply that comes back, its log probabilities are of no use.
        _ = part.Take("prompt_cache_breakpoint");
        _ = part.Take("logprobs");
        if (content.Annotations is not null && part.Array("annotations", 0, MaxParts) is { } annotations)
            content = content with { Annotations = annotations.ConvertAll(annotation => JsonValue.Keep(annotation.Value, annotation.Path)) };
        part.Close(ignored);
        return content;
    }

    /// <summary>A call that was cut off may come back as it was: it is no JSON, and is left out of the prompt.</summary>
    private static ResponseItem ReadCall(JsonFields fields, string? status) => new()
    {
        Id = ResponseItem.NewId(ResponseItem.FunctionCall),
        Type = ResponseItem.FunctionCall,
        CallId = fields.RequireString("call_id"),
        Name = fields.RequireString("name"),
        Arguments = status == ResponseItem.Incomplete ? fields.RequireString("arguments") : ToolReader.ReadArguments(fields),
    };

    /// <summary>A call whose input is a text: here a function's that has one argument.</summary>
    private static ResponseItem ReadCustomCall(JsonFields fields) => new()
    {
        Id = ResponseItem.NewId(ResponseItem.FunctionCall),
        Type = ResponseItem.FunctionCall,
        CallId = fields.RequireString("call_id"),
        Name = fields.RequireString("name"),
        Arguments = ToolReader.CustomArguments(fields.RequireSaid("input")),
    };

    private static ResponseItem ReadCallOutput(JsonFields fields, List<string> ignored)
    {
        JsonElement output = fields.Require("output");
        string path = fields.PathOf("output");
        string? said = null;
        if (output.ValueKind == JsonValueKind.Array)
        {
            string[] parts = [.. JsonFields.Items(output, path, 0, MaxParts).Select(part => ReadPart(part.Value, part.Path, isOutput: false, ignored).Text!)];
            if (parts.Any(part => part.Contains('\0', StringComparison.Ordinal)))
                said = string.Join('\n', parts);
        }
        else
            said = JsonValue.Said(output, path);
        return new ResponseItem
        {
            Id = ResponseItem.NewId(ResponseItem.FunctionCallOutput),
            Type = ResponseItem.FunctionCallOutput,
            CallId = fields.RequireString("call_id"),
            // What cannot be written again as it came is kept as its text.
            Output = said is null ? JsonValue.Keep(output, path) : JsonSerializer.SerializeToElement(said, ResponsesJson.Wire.String),
        };
    }

    private static ResponseItem ReadReasoning(JsonFields fields, List<string> ignored)
    {
        List<ResponseContent>? content = fields.Array("content", 0, MaxParts)?.ConvertAll(item => ReadThought(item.Value, item.Path, "reasoning_text", ignored));
        List<ResponseContent>? summary = fields.Array("summary", 0, MaxParts)?.ConvertAll(item => ReadThought(item.Value, item.Path, "summary_text", ignored));
        string? encrypted = fields.String("encrypted_content");
        if (encrypted is not null && !OpaqueText.IsOurs(encrypted))
        {
            // Only who enciphered it can read it.
            ignored.Add(fields.PathOf("encrypted_content"));
            encrypted = null;
        }

        if (content is not { Count: > 0 } && encrypted is not null)
            content = [ResponseContent.Thought(OpaqueText.Read(encrypted, fields.PathOf("encrypted_content")))];
        return new ResponseItem
        {
            Id = ResponseItem.NewId(ResponseItem.Reasoning),
            Type = ResponseItem.Reasoning,
            Summary = summary ?? [],
            Content = content,
            EncryptedContent = encrypted,
        };
    }

    private static ResponseContent ReadThought(JsonElement value, string path, string type, List<string> ignored)
    {
        JsonFields part = new(value, path);
        if (part.RequireString("type") is var given && given != type)
            throw JsonValue.NotOneOf(part.PathOf("type"), given, [type]);
        ResponseContent thought = new(type) { Text = part.RequireSaid("text") };
        part.Close(ignored);
        return thought;
    }

    private static ResponseItem ReadCompaction(JsonFields fields)
    {
        string content = fields.RequireString("encrypted_content");
        _ = OpaqueText.Read(content, fields.PathOf("encrypted_content"));
        return new ResponseItem { Id = ResponseItem.NewId(ResponseItem.Compaction), Type = ResponseItem.Compaction, EncryptedContent = content };
    }

    private static ResponseItem ReadMcp(JsonFields fields, string type) => new() { Id = ResponseItem.NewId(type), Type = type, ServerLabel = fields.RequireString("server_label") };

    private static ResponseItem ReadToolList(JsonFields fields)
    {
        JsonElement? tools = fields.Take("tools");
        if (tools is { ValueKind: not JsonValueKind.Array } wrong)
            throw JsonValue.WrongType(wrong, fields.PathOf("tools"), "an array");
        _ = fields.Take("error");
        return ReadMcp(fields, ResponseItem.McpListTools) with { Tools = tools is { } given ? JsonValue.Keep(given, fields.PathOf("tools")) : null };
    }

    private static ResponseItem ReadMcpCall(JsonFields fields) => ReadMcp(fields, ResponseItem.McpCall) with
    {
        Name = fields.RequireString("name"),
        Arguments = ToolReader.ReadArguments(fields),
        Output = fields.Said("output") is { } output ? JsonSerializer.SerializeToElement(output, ResponsesJson.Wire.String) : null,
        Error = fields.Take("error") is { } error ? JsonValue.Keep(error, fields.PathOf("error")) : null,
        ApprovalRequestId = fields.String("approval_request_id"),
    };

    private static ResponseItem ReadApproval(JsonFields fields)
    {
        // Its schema asks for it, and nothing says what it is.
        _ = fields.Take("request_id");
        return new()
        {
            Id = ResponseItem.NewId(ResponseItem.McpApprovalResponse),
            Type = ResponseItem.McpApprovalResponse,
            ApprovalRequestId = fields.RequireString("approval_request_id"),
            Approve = fields.Boolean("approve") ?? throw JsonFields.Missing(fields.PathOf("approve")),
            Reason = fields.Said("reason"),
        };
    }

    private static ResponseItem NewMessage(string role, IReadOnlyList<ResponseContent> content) =>
        new() { Id = ResponseItem.NewId(ResponseItem.Message), Type = ResponseItem.Message, Status = ResponseItem.Completed, Role = role, Content = content };
}
