namespace InferenceServer.Tests.Api.Compatibility;

internal static class LangChainTranscripts
{
    private const string Path = "/v1/chat/completions";

    private const string Tool = """
        {"type":"function","function":{"name":"multiply","description":"Multiplies.","parameters":{"properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"],"type":"object","additionalProperties":false},"strict":true} }
        """;

    private const string TwoCalls = "<tool_call>\n{\"name\": \"multiply\", \"arguments\": {\"a\": 2, \"b\": 3}}\n</tool_call>\n<tool_call>\n{\"name\": \"multiply\", \"arguments\": {\"a\": 4, \"b\": 5}}\n</tool_call>";

    public static Client Client { get; } = new("LangChain", "`ChatOpenAI(base_url=\"http://127.0.0.1:8080/v1\", api_key=\"unused\")`.",
    [
        new("`n`", "The prompt is computed once for all choices.", Path, """{"model":"scripted","n":2,"temperature":0.7,"stream":false,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}""")
        {
            Facts = [("choices.length", "2"), ("choices[1].message.content", "Fine.")],
        },
        new("Several tool calls in one reply", "Each has an id of its own, and arguments that obey the schema.", Path, $$"""{"model":"scripted","messages":[{"role":"user","content":"2*3 and 4*5?"}],"tools":[{{Tool}}]}""")
        {
            Reply = TwoCalls, Facts = [("choices[0].message.tool_calls.length", "2"), ("choices[0].message.tool_calls[1].function.arguments", "{\"a\": 4, \"b\": 5}"), ("choices[0].finish_reason", "tool_calls")],
        },
        new("`parallel_tool_calls: false` and a named `tool_choice`", "The reply is one call of that function. Its `finish_reason` is `stop`, as OpenAI's is.", Path,
            $$"""{"model":"scripted","messages":[{"role":"user","content":"2*3?"}],"tools":[{{Tool}}],"parallel_tool_calls":false,"tool_choice":{"type":"function","function":{"name":"multiply"} } }""")
        {
            Reply = "<tool_call>\n{\"name\": \"multiply\", \"arguments\": {\"a\": 2, \"b\": 3}}\n</tool_call>", Facts = [("choices[0].message.tool_calls.length", "1"), ("choices[0].finish_reason", "stop")],
        },
        new("Results: `tool` messages behind an assistant's message whose `content` is null", "They are said to the model in the order of the calls.", Path, $$"""
            {"model":"scripted","tools":[{{Tool}}],"messages":[{"role":"user","content":"2*3 and 4*5?"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"multiply","arguments":"{\"a\": 2, \"b\": 3}"} },{"id":"c2","type":"function","function":{"name":"multiply","arguments":"{\"a\": 4, \"b\": 5}"} }]},
            {"role":"tool","tool_call_id":"c1","content":"6"},{"role":"tool","tool_call_id":"c2","content":"20"}]}
            """)
        {
            Facts = [("choices[0].message.content", "Fine.")],
        },
        new("`with_structured_output`: `response_format` of type `json_schema` with `strict`", "The reply obeys the schema while it is generated.", Path, """
            {"model":"scripted","stream":false,"messages":[{"role":"user","content":"Tell me a joke"}],"response_format":{"type":"json_schema","json_schema":{"name":"Joke","strict":true,"schema":{"description":"A joke.","properties":{"setup":{"title":"Setup","type":"string"}},"required":["setup"],"title":"Joke","type":"object","additionalProperties":false} } } }
            """)
        {
            Reply = "{\"setup\": \"Why?\"}", Facts = [("choices[0].message.content", "{\"setup\": \"Why?\"}")],
        },
        new("`tools` and `response_format` together, as `create_agent` sends them", "The reply is a call that obeys the tool's schema, or JSON that obeys the format.", Path, $$"""
            {"model":"scripted","messages":[{"role":"user","content":"2*3?"}],"tools":[{{Tool}}],"response_format":{"type":"json_schema","json_schema":{"name":"Answer","strict":true,"schema":{"type":"object","properties":{"product":{"type":"integer"} },"required":["product"],"additionalProperties":false} } } }
            """)
        {
            Reply = "{\"product\": 6}", Facts = [("choices[0].message.content", "{\"product\": 6}"), ("choices[0].finish_reason", "stop")],
        },
        new("Streams with `stream_options`", "The last chunk has the usage, from which LangChain fills `usage_metadata`.", Path, """{"model":"scripted","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}""")
        {
            Facts = [("[-1].usage.prompt_tokens", "*"), ("+.choices[0].delta.content", "Fine.")],
        },
    ]);
}
