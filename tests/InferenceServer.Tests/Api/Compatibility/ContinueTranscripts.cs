namespace InferenceServer.Tests.Api.Compatibility;

internal static class ContinueTranscripts
{
    public static Client Client { get; } = new("Continue", "In `config.yaml` a model with `provider: openai` and `apiBase: http://127.0.0.1:8080/v1`.",
    [
        new("A chat with `max_tokens` and `stream`", "`max_tokens` is the former name of `max_completion_tokens`, and does the same.", "/v1/chat/completions", """
            {"model":"scripted","max_tokens":2048,"stream":true,"messages":[{"role":"system","content":"You are in an editor."},{"role":"user","content":[{"type":"text","text":"```src/a.py\nprint(1)\n```\nWhat is this?"}]}]}
            """)
        {
            Prompt = ["print(1)"], Facts = [("+.choices[0].delta.content", "Fine.")],
        },
        new("Agent mode: `tools`, and `tool` messages without a name", "Calls come as `tool_calls`. The result finds its call by `tool_call_id`.", "/v1/chat/completions", """
            {"model":"scripted","max_tokens":2048,"stream":true,"tools":[{"type":"function","function":{"name":"read_file","description":"Reads a file","parameters":{"type":"object","required":["filepath"],"properties":{"filepath":{"type":"string","description":"The path"}}}}}],
            "messages":[{"role":"system","content":"You are in an editor."},{"role":"user","content":"Read a.py"},{"role":"assistant","content":" ","tool_calls":[{"id":"tool_1","type":"function","function":{"name":"read_file","arguments":"{\"filepath\":\"a.py\"}"}}]},
            {"role":"tool","tool_call_id":"tool_1","content":"print(1)"}],"parallel_tool_calls":false}
            """)
        {
            Reply = "<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"filepath\": \"b.py\"}}\n</tool_call>", Prompt = ["print(1)"],
            Facts = [("+.choices[0].delta.tool_calls[0].function.name", "read_file"), ("+.choices[0].delta.tool_calls[0].function.arguments", "{\"filepath\": \"b.py\"}"), ("[-1].choices[0].finish_reason", "tool_calls")],
        },
        new("Autocomplete: `/v1/completions` with `suffix`", "The model fills in what belongs between, where it has the tokens for that. Else the answer is 400 and names `suffix`.", "/v1/completions", """
            {"model":"scripted","prompt":"def add(a, b):\n    return ","suffix":"\n\nprint(add(1, 2))","max_tokens":64,"temperature":0.01,"stream":true,"stop":["\n\n"]}
            """)
        {
            Status = 400, Facts = [("error.param", "suffix")],
        },
        new("Autocomplete whose prompt holds the model's own tokens for filling in", "They are read as text, since who writes the text is not always who means the markup. `parse_special: true` in the extra body properties makes them tokens.", "/v1/completions", """
            {"model":"scripted","prompt":"<|fim_prefix|>a = <|fim_suffix|>\n<|fim_middle|>","max_tokens":64,"temperature":0.01,"stream":true,"stop":["<|fim_prefix|>","<|file_sep|>"],"parse_special":true}
            """)
        {
            Facts = [("+.choices[0].text", "Fine.")],
        },
        new("`GET /v1/models`", "It lists what is loaded, in OpenAI's form.", "/v1/models") { Facts = [("object", "list"), ("data[0].id", "scripted"), ("data[0].object", "model")] },
    ]);
}
