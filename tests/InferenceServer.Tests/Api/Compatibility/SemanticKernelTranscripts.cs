namespace InferenceServer.Tests.Api.Compatibility;

internal static class SemanticKernelTranscripts
{
    private const string Path = "/v1/chat/completions";

    private const string Head = """
        "model":"scripted","temperature":1,"top_p":1,"presence_penalty":0,"frequency_penalty":0,"max_tokens":500,"stop":[],"tool_choice":"auto",
        "tools":[{"type":"function","function":{"name":"Weather-get_current","description":"The weather","strict":false,"parameters":{"type":"object","required":["city"],"properties":{"city":{"description":"The city","type":"string"} } } } }]
        """;

    public static Client Client { get; } = new("Semantic Kernel", "`AddOpenAIChatCompletion(modelId, new Uri(\"http://127.0.0.1:8080/v1\"), apiKey)`.",
    [
        new("Function names with a hyphen, plug-in and function", "They are names like any other, in definitions, calls and results.", Path, $$"""{{{Head}},"messages":[{"role":"system","content":"Help."},{"role":"user","content":"Rome?"}]}""")
        {
            Reply = "<tool_call>\n{\"name\": \"Weather-get_current\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>",
            Facts = [("choices[0].message.tool_calls[0].function.name", "Weather-get_current"), ("choices[0].message.tool_calls[0].type", "function"), ("choices[0].finish_reason", "tool_calls")],
        },
        new("An empty `stop`, and every sampling setting at its default", "They change nothing.", Path, $$"""{{{Head}},"messages":[{"role":"user","content":"Hi"}]}""") { Facts = [("choices[0].message.content", "Fine.")] },
        new("Calls that come back with an empty `content`", "The result finds its call by `tool_call_id`.", Path, $$"""
            {{{Head}},"messages":[{"role":"user","content":"Rome?"},{"role":"assistant","content":"","tool_calls":[{"id":"call_1","type":"function","function":{"name":"Weather-get_current","arguments":"{\"city\":\"Rome\"}"} }]},{"role":"tool","tool_call_id":"call_1","content":"Sunny"}]}
            """)
        {
            Facts = [("choices[0].message.content", "Fine.")],
        },
        new("`developer` messages", "A template that knows no such role gets them as system messages, and `x-conversation-adapted` says so.", Path, $$"""{{{Head}},"messages":[{"role":"developer","content":"Help."},{"role":"user","content":"Hi"}]}""")
        {
            BeforeStrictTemplate = true, Adapted = "developer-as-system", Prompt = ["Help."],
        },
    ]);
}
