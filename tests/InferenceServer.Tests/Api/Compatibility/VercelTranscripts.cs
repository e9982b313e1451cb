namespace InferenceServer.Tests.Api.Compatibility;

internal static class VercelTranscripts
{
    private const string Path = "/v1/responses";

    private const string Tool = """
        {"type":"function","name":"weather","description":"The weather.","parameters":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false},"strict":true}
        """;

    public static Client Client { get; } = new("Vercel AI SDK", "`createOpenAI({ baseURL: \"http://127.0.0.1:8080/v1\" })`; `openai(model)` speaks the Responses API, `openai.chat(model)` chat completions.",
    [
        new("Items without a `type`: a role and parts", "They are messages.", Path, """{"model":"scripted","input":[{"role":"developer","content":"Be brief."},{"role":"user","content":[{"type":"input_text","text":"Hi"}]}],"max_output_tokens":100}""")
        {
            Prompt = ["Be brief."], Facts = [("output[0].content[0].text", "Fine."), ("status", "completed")],
        },
        new("`tools` with `strict`, and a named `tool_choice`", "The reply is that call.", Path, $$"""{"model":"scripted","stream":true,"input":[{"role":"user","content":[{"type":"input_text","text":"Rome?"}]}],"tools":[{{Tool}}],"tool_choice":{"type":"function","name":"weather"} }""")
        {
            Reply = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>",
            Facts = [("+.delta", "{\"city\": \"Rome\"}"), ("[-1].response.output[0].name", "weather"), ("[-1].type", "response.completed")],
        },
        new("`store: false` with `include: [\"reasoning.encrypted_content\"]`, calls and their outputs", "Nothing is kept, and the history comes with the request.", Path, $$"""
            {"model":"scripted","store":false,"include":["reasoning.encrypted_content"],"tools":[{{Tool}}],"input":[{"role":"user","content":[{"type":"input_text","text":"Rome?"}]},
            {"type":"function_call","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Rome\"}"},{"type":"function_call_output","call_id":"call_1","output":"{\"degrees\":30}"},
            {"role":"assistant","content":[{"type":"output_text","text":"30 degrees."}]},{"role":"user","content":[{"type":"input_text","text":"And tomorrow?"}]}]}
            """)
        {
            Prompt = ["{\"degrees\":30}", "30 degrees.", "And tomorrow?"], Facts = [("store", "False"), ("output[0].content[0].text", "Fine.")],
        },
        new("`generateObject`: `text.format` of type `json_schema`", "The reply obeys the schema while it is generated.", Path, """
            {"model":"scripted","input":[{"role":"user","content":[{"type":"input_text","text":"A recipe"}]}],"text":{"format":{"type":"json_schema","strict":true,"name":"response","schema":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false} } } }
            """)
        {
            Reply = "{\"name\": \"Soup\"}", Facts = [("output[0].content[0].text", "{\"name\": \"Soup\"}")],
        },
        new("`web_search` of the provider, and `include` for its sources", "Both are left out, and `x-ignored-params` names them.", Path, """{"model":"scripted","input":[{"role":"user","content":[{"type":"input_text","text":"News?"}]}],"tools":[{"type":"web_search"}],"include":["web_search_call.action.sources"]}""")
        {
            Ignored = "include[0], tools[0]", Facts = [("output[0].content[0].text", "Fine.")],
        },
        new("`item_reference` to an item that this server does not have", "The answer is 400 and names it. With `store: false` the SDK sends the items themselves.", Path, """{"model":"scripted","input":[{"type":"item_reference","id":"msg_none"},{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}""")
        {
            Status = 400, Facts = [("error.param", "input[0].id")],
        },
        new("Chat completions: `tool_choice`, `response_format` and `stream_options`", "They do what they do for OpenAI's own client.", "/v1/chat/completions", """
            {"model":"scripted","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Rome?"}],"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"} } } } }],"tool_choice":"auto"}
            """)
        {
            Reply = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>",
            Facts = [("+.choices[0].delta.tool_calls[0].function.arguments", "{\"city\": \"Rome\"}"), ("[-2].choices[0].finish_reason", "tool_calls")],
        },
    ]);
}
