namespace InferenceServer.Api.OpenAI.Responses;

/// <summary>What a client sends in arrays of several types, as JSON Schema; <see cref="ResponseItemParser"/> and <see cref="ResponseToolParser"/> read it.</summary>
internal static class ResponseShapes
{
    private const string Content = """
        {"anyOf":[{"type":"string"},{"type":"array","items":{"anyOf":[
        {"type":"object","required":["type","text"],"properties":{"type":{"type":"string","enum":["input_text","output_text","text"]},"text":{"type":"string"}}},
        {"type":"object","required":["type","refusal"],"properties":{"type":{"type":"string","enum":["refusal"]},"refusal":{"type":"string","description":"Of an assistant's message."}}}]}}]}
        """;

    // What every item may have; conversations keep it, responses have no use for it.
    private const string Common = """
        "id":{"type":"string"},"status":{"type":"string","enum":["in_progress","completed","incomplete"]}
        """;

    private const string Item = $$$"""
        {"anyOf":[
        {"type":"object","required":["role","content"],"properties":{"type":{"type":"string","enum":["message"]},"role":{"type":"string","enum":["user","assistant","system","developer"]},"content":{{{Content}}},{{{Common}}} }},
        {"type":"object","required":["type","call_id","name"],"properties":{"type":{"type":"string","enum":["function_call"]},"call_id":{"type":"string"},"name":{"type":"string"},
        "arguments":{"type":"string","description":"A JSON object, as text; absent for none."},{{{Common}}} }},
        {"type":"object","required":["type","call_id","output"],"properties":{"type":{"type":"string","enum":["function_call_output","custom_tool_call_output"]},"call_id":{"type":"string"},"output":{{{Content}}},{{{Common}}} }},
        {"type":"object","required":["type","call_id","name","input"],"properties":{"type":{"type":"string","enum":["custom_tool_call"]},"call_id":{"type":"string"},"name":{"type":"string"},"input":{"type":"string"},{{{Common}}} }},
        {"type":"object","required":["type"],"properties":{"type":{"type":"string","enum":["reasoning"]},
        "summary":{"type":"array","items":{"type":"object","required":["type","text"],"properties":{"type":{"type":"string","enum":["summary_text"]},"text":{"type":"string"}} }},
        "content":{"type":"array","items":{"type":"object","required":["type","text"],"properties":{"type":{"type":"string","enum":["reasoning_text"]},"text":{"type":"string"}} }},
        "encrypted_content":{"type":"string","description":"As it came."},{{{Common}}} }},
        {"type":"object","required":["type","encrypted_content"],"properties":{"type":{"type":"string","enum":["compaction"]},"encrypted_content":{"type":"string"},{{{Common}}} }},
        {"type":"object","required":["type","server_label","name"],"properties":{"type":{"type":"string","enum":["mcp_call"]},"server_label":{"type":"string"},"name":{"type":"string"},"arguments":{"type":"string"},
        "output":{"type":"string"},"error":{"type":"object","additionalProperties":{}},"approval_request_id":{"type":"string"},"id":{"type":"string"},"status":{"type":"string","enum":["in_progress","completed","incomplete","failed","calling"]} }},
        {"type":"object","required":["type","server_label"],"properties":{"type":{"type":"string","enum":["mcp_list_tools"]},"server_label":{"type":"string"},"tools":{"type":"array","items":{"type":"object","additionalProperties":{} }},"error":{"type":"string"},{{{Common}}} }},
        {"type":"object","required":["type","server_label","name"],"properties":{"type":{"type":"string","enum":["mcp_approval_request"]},"server_label":{"type":"string"},"name":{"type":"string"},"arguments":{"type":"string"},{{{Common}}} }},
        {"type":"object","required":["type","approval_request_id","approve"],"properties":{"type":{"type":"string","enum":["mcp_approval_response"]},"approval_request_id":{"type":"string"},"approve":{"type":"boolean"},"reason":{"type":"string","description":"For the model."},"request_id":{"type":"string","description":"Read, and not used."},{{{Common}}} }},
        {"type":"object","required":["id"],"properties":{"type":{"type":"string","enum":["item_reference"]},"id":{"type":"string","description":"Id of a stored item."}} }]}
        """;

    public const string Items = $$$"""{"type":"array","items":{{{Item}}} }""";

    public const string Input = $$$"""{"anyOf":[{"type":"string"},{{{Items}}}]}""";

    private const string Function = """
        {"type":"object","required":["type","name"],"properties":{"type":{"type":"string","enum":["function"]},"name":{"type":"string","description":"1 to 128 characters: letters, digits or any of _-.:/@+~$"},
        "description":{"type":"string","description":"What the function does and when to call it, for the model."},"parameters":{"type":"object","additionalProperties":{},"description":"JSON schema of the arguments, an object; absent for none."},
        "strict":{"type":"boolean","description":"Default: false. Arguments obey the schema to the letter, or the request is refused. Without it, what cannot be enforced is left open, and the header x-loosened-schemas names it."}}}
        """;

    private const string AnsweredFunction = """
        {"type":"object","required":["type","name"],"properties":{"type":{"type":"string","enum":["function"]},"name":{"type":"string"},"description":{"type":["string","null"]},
        "parameters":{"type":["object","null"],"additionalProperties":{}},"strict":{"type":["boolean","null"]}}}
        """;

    private const string Custom = """
        {"type":"object","required":["type","name"],"properties":{"type":{"type":"string","enum":["custom"]},"name":{"type":"string"},"description":{"type":"string"},
        "format":{"type":"object","additionalProperties":{},"description":"Read, and not used: the input is any text."}}}
        """;

    private const string ToolFilter = """{"type":"object","properties":{"tool_names":{"type":"array","items":{"type":"string"}},"read_only":{"type":"boolean"}}}""";

    private const string Server = $$$"""
        {"type":"object","required":["type","server_label"],"properties":{"type":{"type":"string","enum":["mcp"]},"server_label":{"type":"string","description":"The MCP server's name in this server's configuration."},
        "server_url":{"type":"string","description":"Must be the address that the configuration has for it; may be left out."},"server_description":{"type":"string"},
        "allowed_tools":{"anyOf":[{"type":"array","items":{"type":"string"}},{{{ToolFilter}}}]},
        "require_approval":{"description":"Default: always. The configuration may ask for more.","anyOf":[{"type":"string","enum":["always","never"]},{"type":"object","properties":{"always":{{{ToolFilter}}},"never":{{{ToolFilter}}} }}]} }}
        """;

    public const string Tools = $$$"""{"type":"array","items":{"anyOf":[{{{Function}}},{{{Custom}}},{{{Server}}}]} }""";

    /// <summary>As they come back: a custom tool is a function here.</summary>
    public const string AnsweredTools = $$$"""{"type":"array","items":{"anyOf":[{{{AnsweredFunction}}},{{{Server}}}]} }""";

    private const string Named = """{"type":"object","required":["type","name"],"properties":{"type":{"type":"string","enum":["function"]},"name":{"type":"string"}}}""";

    private const string ServerTool = """{"type":"object","required":["type","server_label"],"properties":{"type":{"type":"string","enum":["mcp"]},"server_label":{"type":"string"},"name":{"type":"string"}}}""";

    public const string ToolChoice = $$$"""
        {"anyOf":[{"type":"string","enum":["none","auto","required"]},{{{Named}}},{{{ServerTool}}},
        {"type":"object","required":["type","mode","tools"],"properties":{"type":{"type":"string","enum":["allowed_tools"]},"mode":{"type":"string","enum":["auto","required"]},"tools":{"type":"array","items":{"anyOf":[{{{Named}}},{{{ServerTool}}}]} }} }]}
        """;
}
