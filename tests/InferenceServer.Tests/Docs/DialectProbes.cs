namespace InferenceServer.Tests.Docs;

/// <summary>As <see cref="FieldProbes"/>, of Anthropic's messages and Ollama's API.</summary>
internal static class DialectProbes
{
    private const string Messages = "/v1/messages";
    private const string OllamaChat = "/api/chat";
    private const string OllamaGenerate = "/api/generate";
    private const string Function = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
    private const string User = "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";

    public static IReadOnlyDictionary<string, string> Plain { get; } = new Dictionary<string, string>
    {
        [Messages] = $"\"model\":\"scripted\",\"max_tokens\":16,{User}",
        ["/v1/messages/count_tokens"] = $"\"model\":\"scripted\",{User}",
        [OllamaChat] = $"\"model\":\"scripted\",\"stream\":false,{User}",
        [OllamaGenerate] = "\"model\":\"scripted\",\"stream\":false,\"prompt\":\"Hi\"",
        ["/completion"] = "\"prompt\":\"Hi\"",
        ["/api/show"] = "\"model\":\"scripted\"",
    };

    public static IReadOnlyList<FieldProbe> All { get; } =
    [
        .. FieldProbes.Of(Messages,
            ("inference_geo", "\"inference_geo\":\"us\""), ("speed", "\"speed\":\"standard\""), ("speed", "\"speed\":\"fast\""), ("container", "\"container\":\"c\""),
            ("mcp_servers", "\"mcp_servers\":[{\"type\":\"url\",\"url\":\"https://h\",\"name\":\"n\"}]"), ("cache_control", "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"}"),
            ("thinking.budget_tokens", "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":8}"), ("thinking.type", "\"thinking\":{\"type\":\"between_tools\"}"),
            ("output_format", "\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}"),
            ("system[].cache_control", "\"system\":[{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{\"type\":\"ephemeral\"}}]"),
            ("system[].citations", "\"system\":[{\"type\":\"text\",\"text\":\"x\",\"citations\":[]}]"),
            ("messages[].content[].cache_control", Content("{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{\"type\":\"ephemeral\"}}")),
            ("messages[].content[].type", Content("{\"type\":\"image\",\"source\":{}}")), ("messages[].content[].type", Content("{\"type\":\"document\",\"source\":{}}")),
            ("messages[].content[].citations", Content("{\"type\":\"text\",\"text\":\"x\",\"citations\":[]}")),
            ("messages[].content[].tool_use_id, content, is_error", Turns("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}", "{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"x\",\"is_error\":true}")),
            ("messages[].content[].id, name, input, caller", Turns("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{},\"caller\":{\"type\":\"direct\"}}", "{\"type\":\"text\",\"text\":\"x\"}")),
            ("messages[].content[].thinking, signature", Turns("{\"type\":\"thinking\",\"thinking\":\"x\",\"signature\":\"forged\"}", "{\"type\":\"text\",\"text\":\"x\"}")),
            ("tools[].type", Tool("\"type\":\"bash_20250124\",\"name\":\"bash\"")), ("tools[].defer_loading", Tool("\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"defer_loading\":true")),
            ("tools[].input_examples", Tool("\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"input_examples\":[{}]")),
            ("tools[].allowed_callers", Tool("\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"allowed_callers\":[\"code_execution_20250825\"]")),
            ("tools[].cache_control", Tool("\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"cache_control\":{\"type\":\"ephemeral\"}")),
            ("tools[].eager_input_streaming", Tool("\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"eager_input_streaming\":true")),
            ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/v1/messages/count_tokens",
            ("max_tokens", "\"max_tokens\":9"), ("temperature", "\"temperature\":1"), ("top_p", "\"top_p\":1"), ("top_k", "\"top_k\":5"), ("stop_sequences", "\"stop_sequences\":[\"x\"]"),
            ("stream", "\"stream\":true"), ("metadata", "\"metadata\":{\"user_id\":\"u\"}"), ("service_tier", "\"service_tier\":\"auto\""), ("timing", "\"timing\":true"),
            ("cache_control", "\"cache_control\":{\"type\":\"ephemeral\"}"), ("output_format", "\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}"),
            ("container", "\"container\":\"c\""), ("mcp_servers", "\"mcp_servers\":[]"), ("inference_geo", "\"inference_geo\":\"us\""), ("speed", "\"speed\":\"fast\""),
            ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of(OllamaChat,
            ("tool_choice", $"{Function},\"tool_choice\":\"none\""), ("parallel_tool_calls", $"{Function},\"parallel_tool_calls\":true"), ("functions[].name, description, parameters, strict", "\"functions\":[{\"name\":\"f\",\"description\":\"d\"}]"),
            ("function_call", "\"functions\":[{\"name\":\"f\"}],\"function_call\":\"none\""),
            ("messages[].images", "\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":[\"aGk=\"]}]"),
            ("messages[].thinking", "\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"thinking\":\"y\"}]"),
            ("messages[].tool_name", "\"messages\":[{\"role\":\"tool\",\"content\":\"x\",\"tool_name\":\"f\"}]"),
            ("options.tfs_z", "\"options\":{\"tfs_z\":0.5}"), ("options.repeat_last_n", "\"options\":{\"repeat_penalty\":1.1,\"repeat_last_n\":64}"),
            ("options.penalize_newline", "\"options\":{\"repeat_penalty\":1.1,\"penalize_newline\":false}"), ("options.num_ctx", "\"options\":{\"num_ctx\":4096}"),
            ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of(OllamaGenerate,
            ("template", "\"template\":\"{{ .Prompt }}\""), ("context", "\"context\":[1,2]"), ("images", "\"images\":[\"aGk=\"]"),
            ("system", "\"system\":\"x\",\"raw\":true"), ("suffix", "\"suffix\":\"x\""), ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/completion", ("repeat_last_n", "\"repeat_penalty\":1.1,\"repeat_last_n\":64"), ("cache_prompt", "\"cache_prompt\":true"), ("id_slot", "\"id_slot\":-1"), ("samplers", "\"samplers\":[\"top_k\"]"), ("anything else", "\"surprise\":1")),
        .. FieldProbes.Of("/api/show", ("name", "\"name\":\"scripted\""), ("verbose", "\"verbose\":true"), ("anything else", "\"surprise\":1")),
    ];

    private static string Content(string block) => $"\"messages\":[{{\"role\":\"user\",\"content\":[{block}]}}]";

    private static string Turns(string assistant, string user) =>
        $"\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}},{{\"role\":\"assistant\",\"content\":[{assistant}]}},{{\"role\":\"user\",\"content\":[{user}]}}]";

    private static string Tool(string members) => $"\"tools\":[{{{members}}}]";
}
