using InferenceServer.Api.Anthropic;

namespace InferenceServer.Tests.Api.Compatibility;

internal static class ClaudeCodeTranscripts
{
    private const string Path = "/v1/messages?beta=true";

    private static readonly (string, string)[] Headers = [("anthropic-version", "2023-06-01"), ("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14"), ("x-app", "cli")];

    private const string System = """
        "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.0; cch=1a2b3;"},{"type":"text","text":"You are an agent for the command line.","cache_control":{"type":"ephemeral"}},
        {"type":"text","text":"Use the tools at hand.","cache_control":{"type":"ephemeral","ttl":"1h"}}]
        """;

    private const string Tools = """
        "tools":[{"name":"Bash","description":"Runs a command.","input_schema":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"number"}},"required":["command"],"additionalProperties":false}},
        {"name":"Read","description":"Reads a file.","input_schema":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"file_path":{"type":"string"}},"required":["file_path"],"additionalProperties":false},"cache_control":{"type":"ephemeral"}}]
        """;

    private const string Head = $$"""
        "model":"scripted","max_tokens":32000,"temperature":1,"stream":true,"metadata":{"user_id":"user_1_session_2"},{{System}},{{Tools}}
        """;

    private const string Ask = """
        {"role":"user","content":[{"type":"text","text":"<system-reminder>The date is in the environment.</system-reminder>"},{"type":"text","text":"List the files.","cache_control":{"type":"ephemeral"}}]}
        """;

    private static readonly string Signature = ThinkingSignature.Of("I list them.");

    public static Client Client { get; } = new("Claude Code", "`ANTHROPIC_BASE_URL=http://127.0.0.1:8080`, and the model's id in `ANTHROPIC_MODEL`.",
    [
        new("A first `system` block `x-anthropic-billing-header: ...`, which changes with each request", "The line is left out, so that everything behind it comes from the prefix cache.", Path, $$"""{{{Head}},"messages":[{{Ask}}]}""")
        {
            Headers = Headers, Prompt = ["an agent for the command line", "Use the tools", "<system-reminder>", "List the files."], NotInPrompt = ["billing", "1a2b3"],
            Facts = [("[0].type", "message_start"), ("+.delta.text", "Fine."), ("[-1].type", "message_stop")],
        },
        new("`?beta=true`, the header `anthropic-beta`, and `cache_control` on blocks and tools", "They are accepted. Fields are known or not whatever the header says, and every prefix is cached.", Path, $$"""{{{Head}},"messages":[{{Ask}}]}""")
        {
            Headers = Headers, Facts = [("[-1].type", "message_stop")],
        },
        new("`thinking` with a budget", "The budget is kept to, and the model's reasoning comes as `thinking` blocks.", Path, $$"""{{{Head}},"thinking":{"type":"enabled","budget_tokens":31999},"messages":[{{Ask}}]}""")
        {
            Headers = Headers, Reply = "<think>\nHm.\n</think>\n\nHere.", Facts = [("+.delta.thinking", "Hm."), ("+.delta.text", "Here."), ("[-2].delta.stop_reason", "end_turn")],
        },
        new("Many tools, and several calls in one turn", "Each call is a `tool_use` block whose `input` obeys its schema.", Path, $$"""{{{Head}},"messages":[{{Ask}}]}""")
        {
            Headers = Headers, Reply = "<tool_call>\n{\"name\": \"Bash\", \"arguments\": {\"command\": \"ls\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"Read\", \"arguments\": {\"file_path\": \"/a\"}}\n</tool_call>",
            Facts = [("+.content_block.name", "BashRead"), ("+.delta.partial_json", "{\"command\": \"ls\"}{\"file_path\": \"/a\"}"), ("[-2].delta.stop_reason", "tool_use")],
        },
        new("Results in one turn with a reminder: `is_error`, blocks of text, a picture", "The model reads the texts, and `Error:` before one that failed. The picture is left out, and `x-ignored-params` names it.", Path, $$"""
            {{{Head}},"messages":[{{Ask}},{"role":"assistant","content":[{"type":"thinking","thinking":"I list them.","signature":"{{Signature}}"},{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"} },{"type":"tool_use","id":"toolu_2","name":"Read","input":{"file_path":"/p.png"} }]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"No such folder","is_error":true},{"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"A picture."},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="} }]},
            {"type":"text","text":"<system-reminder>Be short.</system-reminder>"}]}]}
            """)
        {
            Headers = Headers, Ignored = "messages[2].content[1].content[1]", Prompt = ["Error: No such folder", "A picture.", "Be short."], Facts = [("[-1].type", "message_stop")],
        },
        new("A message of role `system` in the middle", "A template that takes none there gets it within the user's next turn, and `x-conversation-adapted` says so.", Path, $$"""{{{Head}},"messages":[{{Ask}},{"role":"system","content":"Plan mode is on."},{"role":"user","content":"Go on."}]}""")
        {
            Headers = Headers, BeforeStrictTemplate = true, Adapted = "instructions-to-user, turns-joined", Prompt = ["Plan mode is on.", "Go on."], Facts = [("[-1].type", "message_stop")],
        },
        new("`/v1/messages/count_tokens` with tools", "It counts the prompt that the chat template makes, tools included. What it had to do to the conversation is told as for a reply.", "/v1/messages/count_tokens?beta=true",
            $$"""{"model":"scripted",{{Tools}},"messages":[{{Ask}},{"role":"system","content":"Plan mode is on."},{"role":"user","content":"Go on."}]}""")
        {
            Headers = Headers, BeforeStrictTemplate = true, Adapted = "instructions-to-user, turns-joined",
        },
        new("A probe: one token, the message `quota`", "It is answered like any other.", Path, """{"model":"scripted","max_tokens":1,"messages":[{"role":"user","content":"quota"}],"metadata":{"user_id":"u"}}""")
        {
            Headers = Headers, Facts = [("content[0].text", "Fine."), ("role", "assistant")],
        },
        new("A reply that is begun for the model: the last message is the assistant's `{`", "The model goes on within it.", Path, """{"model":"scripted","max_tokens":100,"system":"Write a title as JSON.","messages":[{"role":"user","content":"How do I sort a list?"},{"role":"assistant","content":"{"}]}""")
        {
            Headers = Headers, Reply = "\"title\":\"Sorting\"}", Prompt = ["assistant\n{"], Facts = [("content[0].text", "\"title\":\"Sorting\"}")],
        },
        new("`context_management`, and other fields of beta versions", "They are left out, and `x-ignored-params` names them.", Path, $$"""{{{Head}},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"messages":[{{Ask}}]}""")
        {
            Headers = Headers, Ignored = "context_management", Facts = [("[-1].type", "message_stop")],
        },
        new("Tools with `defer_loading`, and blocks of Anthropic's own tools in the history", "Every function is shown to the model at once. The blocks are left out, and `x-ignored-params` names both.", Path, """
            {"model":"scripted","max_tokens":100,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}},{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]},{"type":"text","text":"I found it."}]},
            {"role":"user","content":"Go on."}],"tools":[{"name":"Later","description":"A rare tool.","input_schema":{"type":"object"},"defer_loading":true}]}
            """)
        {
            Headers = Headers, Ignored = "messages[1].content[0], messages[1].content[1], tools[0].defer_loading", Prompt = ["I found it.", "A rare tool."], Facts = [("stop_reason", "end_turn")],
        },
        new("Tools of Anthropic's own, such as `web_search_20250305`", "They are left out, and `x-ignored-params` names them.", Path, """{"model":"scripted","max_tokens":100,"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":8}]}""")
        {
            Headers = Headers, Ignored = "tools[0]", Facts = [("stop_reason", "end_turn")],
        },
    ]);
}
