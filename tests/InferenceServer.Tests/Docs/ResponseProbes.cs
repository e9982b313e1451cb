namespace InferenceServer.Tests.Docs;

/// <summary>As <see cref="FieldProbes"/>, of the Responses and Conversations API.</summary>
internal static class ResponseProbes
{
    private const string Responses = "/v1/responses";

    public static IReadOnlyDictionary<string, string> Plain { get; } = new Dictionary<string, string>
    {
        [Responses] = "\"model\":\"scripted\",\"input\":\"Hi\"",
        ["/v1/responses/input_tokens"] = "\"model\":\"scripted\",\"input\":\"Hi\"",
        ["/v1/responses/compact"] = "\"model\":\"scripted\",\"input\":\"Hi\"",
        ["/v1/conversations"] = "\"metadata\":{\"a\":\"b\"}",
    };

    public static IReadOnlyList<FieldProbe> All { get; } =
    [
        .. FieldProbes.Of(Responses,
            ("prompt", "\"prompt\":{\"id\":\"p\"}"), ("moderation", "\"moderation\":{\"model\":\"m\"}"), ("context_management", "\"context_management\":[{\"type\":\"compaction\"}]"),
            ("personality", "\"personality\":\"friendly\""), ("prompt_cache_retention", "\"prompt_cache_retention\":\"in_memory\""), ("prompt_cache_retention", "\"prompt_cache_retention\":\"24h\""),
            ("prompt_cache_options", "\"prompt_cache_options\":{\"mode\":\"implicit\"}"), ("messages", "\"messages\":[]"), ("max_tokens", "\"max_tokens\":5"),
            ("max_completion_tokens", "\"max_completion_tokens\":5"), ("response_format", "\"response_format\":{\"type\":\"text\"}"), ("reasoning_effort", "\"reasoning_effort\":\"low\""),
            ("logprobs", "\"logprobs\":true"), ("verbosity", "\"verbosity\":\"low\""), ("n", "\"n\":2"), ("stop", "\"stop\":\"x\""), ("seed", "\"seed\":7"),
            ("frequency_penalty", "\"frequency_penalty\":1"), ("presence_penalty", "\"presence_penalty\":1"), ("logit_bias", "\"logit_bias\":{\"65\":1}"), ("top_k", "\"top_k\":5"),
            ("cache_salt", "\"cache_salt\":\"s\""), ("timeout_ms", "\"timeout_ms\":60000"), ("text.verbosity", "\"text\":{\"verbosity\":\"high\"}"), ("reasoning.summary", "\"reasoning\":{\"summary\":\"auto\"}"),
            ("guided_json", "\"guided_json\":{\"type\":\"object\"}"), ("guided_regex", "\"guided_regex\":\"a+\""), ("guided_choice", "\"guided_choice\":[\"a\"]"),
            ("guided_grammar", "\"guided_grammar\":\"root ::= \\\"a\\\"\""), ("structured_outputs.json, regex, choice, grammar, json_object", "\"structured_outputs\":{\"regex\":\"a+\"}"),
            ("structured_outputs.structural_tag", "\"structured_outputs\":{\"structural_tag\":{}}"),
            ("reasoning.generate_summary", "\"reasoning\":{\"generate_summary\":\"detailed\"}"), ("reasoning.summary", "\"reasoning\":{\"summary\":\"concise\"}"),
            ("reasoning.context", "\"reasoning\":{\"context\":\"auto\"}"), ("reasoning.context", "\"reasoning\":{\"context\":\"all_turns\"}"),
            ("reasoning.mode", "\"reasoning\":{\"mode\":\"standard\"}"), ("reasoning.mode", "\"reasoning\":{\"mode\":\"pro\"}"),
            ("prompt_cache_options.ttl", "\"prompt_cache_options\":{\"ttl\":\"30m\"}"),
            ("include", "\"include\":[\"reasoning.encrypted_content\"]"), ("include", "\"include\":[\"file_search_call.results\"]"),
            ("stream_options.include_obfuscation", "\"stream\":true,\"stream_options\":{\"include_obfuscation\":true}"),
            ("previous_response_id", "\"previous_response_id\":\"resp_none\""), ("conversation", "\"conversation\":\"conv_none\""),
            ("tools[].type", "\"tools\":[{\"type\":\"web_search\"}]"), ("tools[].defer_loading", Tool("\"defer_loading\":true")), ("tools[].output_schema", Tool("\"output_schema\":{}")),
            ("tools[].allowed_callers", Tool("\"allowed_callers\":[\"programmatic\"]")),
            ("input[].type", Input("{\"type\":\"computer_call\"}")), ("input[].content[].type", Input("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"data:\"}]}")),
            ("input[].content[].prompt_cache_breakpoint", Input("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"x\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}")),
            ("input[].id, type, role, content", Input("{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"user\",\"content\":\"x\"}")), ("input[].parent_id, created_at, response_id", Input("{\"role\":\"user\",\"content\":\"x\",\"parent_id\":\"msg_1\",\"created_at\":1,\"response_id\":\"resp_1\"}")),
            ("input[].type, id", Input("{\"type\":\"item_reference\",\"id\":\"msg_none\"}")),
            ("input[].phase, status", Input("{\"type\":\"message\",\"role\":\"assistant\",\"phase\":\"final_answer\",\"status\":\"completed\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"y\"}")),
            ("input[].content[].annotations, logprobs", Input("{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"x\",\"annotations\":[],\"logprobs\":[]}]},{\"role\":\"user\",\"content\":\"y\"}")),
            ("input[].call_id, arguments, output", Input("{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"x\"}")),
            ("input[].summary, encrypted_content", Input("{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"x\"}],\"encrypted_content\":\"forged\"}")),
            ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/v1/responses/input_tokens", ("personality", "\"personality\":\"friendly\"")),
        .. FieldProbes.Of("/v1/responses/compact",
            ("prompt_cache_retention", "\"prompt_cache_retention\":\"in_memory\""), ("prompt_cache_options", "\"prompt_cache_options\":{\"mode\":\"implicit\"}"), ("stream", "\"stream\":true")),
        .. FieldProbes.Of("/v1/conversations", ("items[].role, content", "\"items\":[{\"role\":\"user\",\"content\":\"x\"}]"),
            ("items[].type, id, status", "\"items\":[{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":\"user\",\"content\":\"x\"}]"),
            ("items[].parent_id, created_at", "\"items\":[{\"role\":\"user\",\"content\":\"x\",\"parent_id\":null,\"created_at\":1}]"), ("items[].parent_id", "\"items\":[{\"role\":\"user\",\"content\":\"x\",\"parent_id\":\"msg_none\"}]"),
            ("items[].response_id", "\"items\":[{\"role\":\"user\",\"content\":\"x\",\"response_id\":\"resp_1\"}]"), ("anything else", "\"surprise\":1")),
    ];

    private static string Tool(string members) => $"\"tools\":[{{\"type\":\"function\",\"name\":\"f\",{members}}}]";

    private static string Input(string items) => $"\"input\":[{items}]";
}
