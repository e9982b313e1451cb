using InferenceServer.Api.OpenAI.Responses;

namespace InferenceServer.Tests.Api.Compatibility;

internal static class CodexTranscripts
{
    private const string Path = "/v1/responses";

    private const string Head = """
        "model":"scripted","instructions":"You are a coding agent in a terminal.","stream":true,"store":false,"tool_choice":"auto","parallel_tool_calls":true,
        "reasoning":{"effort":"medium","summary":"auto"},"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199-session",
        "tools":[{"type":"function","name":"shell","description":"Runs a command.","strict":false,"parameters":{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"}},"workdir":{"type":"string"}},"required":["command"],"additionalProperties":false}},
        {"type":"custom","name":"apply_patch","description":"Edits files.","format":{"type":"grammar","syntax":"lark","definition":"start: /.+/"}},{"type":"local_shell"},{"type":"web_search"}]
        """;

    private const string Begin = """
        {"type":"message","role":"developer","content":[{"type":"input_text","text":"The sandbox is read-only."}]},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context><cwd>/work</cwd></environment_context>"}]},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"What is in this folder?"}]}
        """;

    private static readonly string Thought = OpaqueText.Write("The user wants a listing.");

    public static Client Client { get; } = new("Codex", "In `config.toml` a provider with `base_url = \"http://127.0.0.1:8080/v1\"` and `wire_api = \"responses\"`.",
    [
        new("`instructions`, a `developer` message, and two messages of the user in a row", "They reach the chat template in this order. A template that takes only one system message, first, gets them joined.",
            Path, $$"""{{{Head}},"input":[{{Begin}}]}""")
        {
            Ignored = "tools[2], tools[3]", Prompt = ["a coding agent", "read-only", "<cwd>/work</cwd>", "What is in this folder?"],
            Facts = [("[-1].type", "response.completed"), ("[-1].response.output[0].content[0].text", "Fine."), ("[-1].response.store", "False")],
        },
        new("The same before a strict template", "The instructions are one system message, and the user's messages are one turn.", Path, $$"""{{{Head}},"input":[{{Begin}}]}""")
        {
            BeforeStrictTemplate = true, Ignored = "tools[2], tools[3]", Adapted = "developer-as-system, instructions-joined, turns-joined", Prompt = ["a coding agent", "read-only", "What is in this folder?"],
            Facts = [("[-1].type", "response.completed")],
        },
        new("The built-in tools `local_shell` and `web_search`", "They are left out, and `x-ignored-params` names them. The other tools can be called.", Path, $$"""{{{Head}},"input":[{{Begin}}]}""")
        {
            Ignored = "tools[2], tools[3]", Reply = "<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": [\"ls\"]}}\n</tool_call>",
            NotInPrompt = ["local_shell", "web_search"],
            Facts = [("[-1].response.output[0].type", "function_call"), ("[-1].response.output[0].name", "shell"), ("[-1].response.output[0].arguments", """{"command": ["ls"]}""")],
        },
        new("`apply_patch` as a `custom` tool", "It is a function with one text, `input`. The call comes as a `function_call` with that argument, which Codex takes too.", Path, $$"""{{{Head}},"input":[{{Begin}}]}""")
        {
            Ignored = "tools[2], tools[3]", Reply = "<tool_call>\n{\"name\": \"apply_patch\", \"arguments\": {\"input\": \"*** Begin Patch\"}}\n</tool_call>",
            Facts = [("[-1].response.output[0].type", "function_call"), ("[-1].response.output[0].name", "apply_patch"), ("[-1].response.output[0].arguments", "{\"input\": \"*** Begin Patch\"}")],
        },
        new("Reasoning items with `encrypted_content`, calls and their outputs, custom calls and theirs", "All are said to the model again. `encrypted_content` of this server is readable, so that the model gets its own thoughts back where its template wants them.",
            Path, $$"""
            {{{Head}},"input":[{{Begin}},{"type":"reasoning","summary":[{"type":"summary_text","text":"A listing."}],"content":null,"encrypted_content":"{{Thought}}"},
            {"type":"function_call","call_id":"call_1","name":"shell","arguments":"{\"command\":[\"ls\"]}"},{"type":"function_call_output","call_id":"call_1","output":"{\"output\":\"README.md\\n\",\"metadata\":{\"exit_code\":0} }"},
            {"type":"custom_tool_call","status":"completed","call_id":"call_2","name":"apply_patch","input":"*** Begin Patch"},{"type":"custom_tool_call_output","call_id":"call_2","output":"Done."},
            {"type":"message","role":"user","content":[{"type":"input_text","text":"And now?"}]}]}
            """)
        {
            Ignored = "tools[2], tools[3]", Prompt = ["README.md", "*** Begin Patch", "Done.", "And now?"], Facts = [("[-1].type", "response.completed")],
        },
        new("Reasoning that another provider encrypted", "It is left out, and `x-ignored-params` names it: a session may change its provider.", Path,
            $$"""{{{Head}},"input":[{{Begin}},{"type":"reasoning","summary":[],"encrypted_content":"gAAAAABo"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"A README."}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"Thanks."}]}]}""")
        {
            Ignored = "input[3].encrypted_content, tools[2], tools[3]", Prompt = ["A README."], Facts = [("[-1].type", "response.completed")],
        },
        new("Items of its own history: `ghost_snapshot`, `web_search_call`, `local_shell_call`", "They say nothing to a model that reads text. They are left out, and `x-ignored-params` names them.", Path,
            $$"""{{{Head}},"input":[{{Begin}},{"type":"ghost_snapshot","ghost_commit":{"id":"abc"} },{"type":"web_search_call","status":"completed","action":{"type":"search","query":"x"} },{"type":"local_shell_call","call_id":"call_9","status":"completed","action":{"type":"exec","command":["ls"]} },{"type":"local_shell_call_output","call_id":"call_9","output":"README.md"},{"type":"message","role":"user","content":[{"type":"input_text","text":"Go on."}]}]}""")
        {
            Ignored = "input[3], input[4], input[5], input[6], tools[2], tools[3]", Facts = [("[-1].type", "response.completed")],
        },
        new("Output of a command that holds NUL or half a surrogate pair", "Each becomes U+FFFD. `x-conversation-adapted` says so.", Path,
            $$"""{{{Head}},"input":[{{Begin}},{"type":"function_call","call_id":"call_1","name":"shell","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"a\u0000b\ud83d"}]}""")
        {
            Ignored = "tools[2], tools[3]", Adapted = "characters-replaced", Prompt = ["a\uFFFDb\uFFFD"], Facts = [("[-1].type", "response.completed")],
        },
    ]);
}
