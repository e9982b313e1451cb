namespace InferenceServer.Tests.Api.Compatibility;

internal static class OllamaTranscripts
{
    public static Client Client { get; } = new("Ollama's clients", "`OLLAMA_HOST=http://127.0.0.1:8080`, or the same as `host`.",
    [
        new("`format` with a JSON Schema", "The reply obeys it while it is generated.", "/api/chat", """{"model":"scripted","stream":false,"format":{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]},"messages":[{"role":"user","content":"How old?"}]}""")
        {
            Reply = "{\"age\": 7}", Facts = [("message.content", "{\"age\": 7}"), ("done_reason", "stop")],
        },
        new("`think: true`", "The model's reasoning comes as `thinking`, and the rest as `content`.", "/api/chat", """{"model":"scripted","stream":true,"think":true,"messages":[{"role":"user","content":"Why?"}]}""")
        {
            Reply = "<think>\nHm.\n</think>\n\nSo.", Facts = [("+.message.thinking", "Hm."), ("+.message.content", "So."), ("[-1].done", "True")],
        },
        new("`options` with numbers such as `64.0`, and options of loading", "Whole numbers may be written so. `num_ctx` and its like are named in `x-ignored-params`: the start decided on them.", "/api/chat", """
            {"model":"scripted","stream":false,"messages":[{"role":"user","content":"Hi"}],"options":{"num_predict":64.0,"top_k":40.0,"num_ctx":8192.0,"temperature":0.0,"seed":42.0},"keep_alive":-1}
            """)
        {
            Ignored = "options.num_ctx", Facts = [("message.content", "Fine.")],
        },
        new("`tools`, and results with `tool_name` instead of an id", "A result goes to the first call of that function that has none.", "/api/chat", """
            {"model":"scripted","stream":false,"tools":[{"type":"function","function":{"name":"add","description":"Adds","parameters":{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}}}],
            "messages":[{"role":"user","content":"1+1"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"add","arguments":{"a":1}}}]},{"role":"tool","content":"2","tool_name":"add"}]}
            """)
        {
            Reply = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 2}}\n</tool_call>", Facts = [("message.tool_calls[0].function.name", "add"), ("message.tool_calls[0].function.arguments.a", "2")],
        },
        new("`/api/show`, whose `capabilities` decide what a client offers", "They are what the model's template and vocabulary can do: `tools`, `thinking`, `insert`.", "/api/show", """{"model":"scripted"}""") { Facts = [("capabilities[0]", "completion"), ("capabilities[1]", "tools"), ("capabilities[2]", "thinking")] },
        new("`/api/generate` with `raw`", "The prompt goes to the model as it is, without the template.", "/api/generate", """{"model":"scripted","stream":false,"raw":true,"prompt":"Once upon"}""") { Facts = [("response", "Fine.")] },
        new("`/api/generate` with `context`, the tokens of the turn before", "The answer is 400 and names `/api/chat`, which takes the messages so far.", "/api/generate", """{"model":"scripted","prompt":"Go on","context":[1,2,3]}""") { Status = 400, Facts = [("error", "*context*/api/chat*")] },
        new("`images`", "An empty list is nothing. A picture is refused with 400, since models here read text only.", "/api/generate", """{"model":"scripted","prompt":"What is this?","images":["aGk="]}""") { Status = 400, Facts = [("error", "*images*")] },
        new("`/api/generate` without a prompt, to load the model, or with `keep_alive: 0` to unload it", "It is answered at once. A model that was loaded on demand leaves; the one of the start stays.", "/api/generate", """{"model":"scripted","keep_alive":0}""") { Facts = [("done_reason", "unload"), ("done", "True")] },
        new("`/api/pull`, `/api/create`, `/api/delete`", "They work on the server's [library](models.md). A server that has none says so.", "/api/pull", """{"model":"llama3"}""") { Status = 400, Facts = [("error", "*library*")] },
    ]);
}
