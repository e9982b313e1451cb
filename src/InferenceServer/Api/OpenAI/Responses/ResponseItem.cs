using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;


namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>
/// One item of a response's input or output, or of a conversation. Which fields it has depends on its type; the others are absent. This is how items are sent
/// and how they are stored.
/// </summary>
public record ResponseItem
{
    public required string Id { get; init; }

    [AllowedValues(Message, FunctionCall, FunctionCallOutput, Reasoning, Compaction, McpListTools, McpCall, McpApprovalRequest, McpApprovalResponse)]
    public required string Type { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [AllowedValues(InProgress, Completed, Incomplete, Failed)]
    public string? Status { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a message: user, assistant, system or developer.")]
    public string? Role { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a message or of reasoning.")]
    public IReadOnlyList<ResponseContent>? Content { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of reasoning: itself, where reasoning.summary was given; else empty, and it is in content.")]
    public IReadOnlyList<ResponseContent>? Summary { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call and its output: what joins the two.")]
    public string? CallId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call: the function. Of what is about an MCP server's tool: the tool.")]
    public string? Name { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a call, and of a request to approve one: a JSON object, as text.")]
    public string? Arguments { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a function call's output: a text, or an array of parts of type input_text. Of mcp_call: the tool's result, a text.")]
    public JsonElement? Output { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of a compaction, and of reasoning where include asks for it: opaque, to be sent back as it is.")]
    public string? EncryptedContent { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of an assistant's message, as the client gave it.")]
    public string? Phase { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of what is about an MCP server: its name in the configuration.")]
    public string? ServerLabel { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of mcp_list_tools: the tools that the model is told of.")]
    [JsonShape("""{"type":["array","null"],"items":{"type":"object","required":["name","input_schema"],"properties":{"name":{"type":"string"},"description":{"type":["string","null"]},"input_schema":{"type":"object","additionalProperties":{}}}}}""")]
    public JsonElement? Tools { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of mcp_call: what went wrong.")]
    [JsonShape("""{"type":["object","null"],"required":["type"],"properties":{"type":{"type":"string","enum":["mcp_tool_execution_error"]},"content":{"type":"array","items":{"type":"object","required":["type","text"],"properties":{"type":{"type":"string","enum":["text"]},"text":{"type":"string"}}}}}}""")]
    public JsonElement? Error { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of mcp_approval_response, and of mcp_call where it was approved: the id of the mcp_approval_request.")]
    public string? ApprovalRequestId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of mcp_approval_response: whether the call may run.")]
    public bool? Approve { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of mcp_approval_response: why, for the model.")]
    public string? Reason { get; init; }

    public const string Message = "message";
    public const string FunctionCall = "function_call";
    public const string FunctionCallOutput = "function_call_output";
    public const string Reasoning = "reasoning";
    public const string Compaction = "compaction";
    public const string McpListTools = "mcp_list_tools";
    public const string McpCall = "mcp_call";
    public const string McpApprovalRequest = "mcp_approval_request";
    public const string McpApprovalResponse = "mcp_approval_response";

    public const string InProgress = "in_progress";
    public const string Completed = "completed";
    public const string Incomplete = "incomplete";
    public const string Failed = "failed";

    public static string NewId(string type) => Prefix(type) + Guid.NewGuid().ToString("N");

    /// <summary>Whether it has the form of an id that we give to items of this type.</summary>
    public static bool IsId(string type, string id) => id.StartsWith(Prefix(type), StringComparison.Ordinal) && Guid.TryParseExact(id.AsSpan(Prefix(type).Length), "N", out _)
        && !id.Any(char.IsAsciiLetterUpper);

    /// <summary>What was said in a message, or thought in reasoning.</summary>
    public string Text() => string.Join('\n', (Content ?? []).Select(part => part.Text ?? part.Refusal));

    private static string Prefix(string type) => type switch
    {
        FunctionCall => "fc_",
        FunctionCallOutput => "fco_",
        Reasoning => "rs_",
        Compaction => "cmp_",
        McpListTools => "mcpl_",
        McpCall => "mcp_",
        McpApprovalRequest => "mcpr_",
        McpApprovalResponse => "mcpa_",
        _ => "msg_",
    };

    /// <summary>What an MCP server's tool gave back, or what went wrong with it.</summary>
    public string McpResultText()
    {
        if (Error is not { } error)
            return Output is { ValueKind: JsonValueKind.String } output ? output.GetString()! : "";
        // Of other servers it may be anything.
        return error.ValueKind == JsonValueKind.Object && error.TryGetProperty("content", out JsonElement content) && content.ValueKind == JsonValueKind.Array
            ? string.Join('\n', content.EnumerateArray().Select(TextOf))
            : TextOf(error);

        static string TextOf(JsonElement part) => part.ValueKind == JsonValueKind.String ? part.GetString()!
            : part.ValueKind == JsonValueKind.Object && part.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String ? text.GetString()!
            : part.GetRawText();
    }

    /// <summary>What a function gave back.</summary>
    public string OutputText() => Output is not { } output ? ""
        : output.ValueKind == JsonValueKind.String ? output.GetString()!
        : string.Join('\n', output.EnumerateArray().Select(part => part.GetProperty("text").GetString()));
}

/// <summary>A part of a message, or of reasoning.</summary>
public sealed record ResponseContent([property: AllowedValues("input_text", "output_text", "refusal", "reasoning_text", "summary_text")] string Type)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Text { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Refusal { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of output_text; those that a client sent, as the model makes none.")]
    public IReadOnlyList<JsonElement>? Annotations { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [Description("Of output_text; empty unless include asks for message.output_text.logprobs.")]
    public IReadOnlyList<ReportedLogprob>? Logprobs { get; init; }

    public static ResponseContent Input(string text) => new("input_text") { Text = text };

    public static ResponseContent Output(string text, IReadOnlyList<ReportedLogprob>? logprobs = null) =>
        new("output_text") { Text = text, Annotations = [], Logprobs = logprobs ?? [] };

    public static ResponseContent SummaryOf(string text) => new("summary_text") { Text = text };

    public static ResponseContent Thought(string text) => new("reasoning_text") { Text = text };
}
