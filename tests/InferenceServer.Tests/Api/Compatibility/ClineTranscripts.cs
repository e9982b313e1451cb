namespace InferenceServer.Tests.Api.Compatibility;

internal static class ClineTranscripts
{
    private const string Path = "/v1/chat/completions";

    private const string System = """
        {"role":"system","content":"You are an engineer. Tools are called in XML:\n<read_file>\n<path>file</path>\n</read_file>"}
        """;

    private const string Ask = """
        {"role":"user","content":[{"type":"text","text":"<task>\nExplain the build.\n</task>"},{"type":"text","text":"<environment_details>\n# Open tabs\n(none)\n</environment_details>"}]}
        """;

    private const string Call = "I read it.\n\n<read_file>\n<path>build.sh</path>\n</read_file>";

    public static Client Client { get; } = new("Cline", "Provider \"OpenAI Compatible\" with base URL `http://127.0.0.1:8080/v1`.",
    [
        new("No `tools`: the system message describes calls in XML", "What the model writes is content, XML and all. Nothing of it is taken for a call.", Path, $$"""{"model":"scripted","messages":[{{System}},{{Ask}}],"temperature":0,"stream":true,"stream_options":{"include_usage":true} }""")
        {
            Reply = Call, Prompt = ["<read_file>", "Explain the build.", "# Open tabs"], Facts = [("+.choices[0].delta.content", Call), ("[-2].choices[0].finish_reason", "stop")],
        },
        new("Messages of several text parts", "The parts are said one below the other, in their order.", Path, $$"""{"model":"scripted","messages":[{{System}},{{Ask}}],"temperature":0}""")
        {
            Prompt = ["</task>\n<environment_details>"], Facts = [("choices[0].message.content", "Fine.")],
        },
        new("`stream_options.include_usage`", "The last chunk has the usage and no choices.", Path, $$"""{"model":"scripted","messages":[{{System}},{{Ask}}],"temperature":0,"stream":true,"stream_options":{"include_usage":true} }""")
        {
            Facts = [("[-1].usage.completion_tokens", "1"), ("[-1].choices.length", "0")],
        },
        new("Results as text of the user's next message", "They are that user's message.", Path, $$"""{"model":"scripted","messages":[{{System}},{{Ask}},{"role":"assistant","content":"<read_file>\n<path>build.sh</path>\n</read_file>"},{"role":"user","content":[{"type":"text","text":"[read_file for 'build.sh'] Result:"},{"type":"text","text":"make all"}]}],"temperature":0,"stream":true}""")
        {
            Prompt = ["Result:\nmake all"], Facts = [("+.choices[0].delta.content", "Fine.")],
        },
        new("A conversation that was cut at its beginning, so that the assistant speaks first", "A strict template gets a user's turn `...` before it, and `x-conversation-adapted` says so.", Path, $$"""{"model":"scripted","messages":[{{System}},{"role":"assistant","content":"I read it."},{"role":"user","content":[{"type":"text","text":"Go on."}]}],"temperature":0}""")
        {
            BeforeStrictTemplate = true, Adapted = "user-added", Prompt = ["I read it.", "Go on."],
        },
    ]);
}
