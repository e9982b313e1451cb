namespace InferenceServer.Tests.Docs;

/// <summary>A value of a field whose fate the schema does not tell: docs/api.md says what the server made of it.</summary>
/// <param name="Route">As it is mapped.</param>
/// <param name="Field">Path of the field, as errors name it but with [] for any index.</param>
/// <param name="Members">Members of a body that hold the value; they replace those of the route's plain body.</param>
internal sealed record FieldProbe(string Route, string Field, string Members);

/// <summary>
/// What to try on each route. A body that must be accepted stands first; a probe after it is a field that a client may send and that the request's contract
/// does not have, or a value of a field that is refused. A new endpoint adds its lines here; a field that a parser asks for and nothing documents fails the test.
/// </summary>
internal static class FieldProbes
{
    private const string Chat = "/v1/chat/completions";
    private const string Completions = "/v1/completions";
    private const string User = "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";
    private const string Tool = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";

    /// <summary>Members of a body that each route accepts.</summary>
    public static IReadOnlyDictionary<string, string> Plain { get; } = new Dictionary<string, string>
    {
        [Chat] = $"\"model\":\"scripted\",{User}",
        ["/v1/chat/completions/input_tokens"] = $"\"model\":\"scripted\",{User}",
        ["/apply-template"] = $"\"model\":\"scripted\",{User}",
        [Completions] = "\"model\":\"scripted\",\"prompt\":\"Hi\"",
        ["/tokenize"] = "\"content\":\"Hi\"",
        ["/detokenize"] = "\"tokens\":[72,105]",
    }.Concat(ResponseProbes.Plain).Concat(DialectProbes.Plain).Concat(EmbeddingProbes.Plain).ToDictionary();

    public static IReadOnlyList<FieldProbe> All { get; } =
    [
        .. Of(Chat,
            ("functions", "\"functions\":[{\"name\":\"f\"}]"), ("function_call", "\"function_call\":{\"name\":\"f\"}"),
            ("modalities", "\"modalities\":[\"text\"]"), ("modalities", "\"modalities\":[\"audio\"]"), ("audio", "\"audio\":{\"voice\":\"alloy\",\"format\":\"wav\"}"),
            ("web_search_options", "\"web_search_options\":{}"), ("moderation", "\"moderation\":{\"model\":\"m\"}"),
            ("verbosity", "\"verbosity\":\"medium\""), ("verbosity", "\"verbosity\":\"low\""),
            ("prompt_cache_retention", "\"prompt_cache_retention\":\"in_memory\""), ("prompt_cache_retention", "\"prompt_cache_retention\":\"24h\""),
            ("prompt_cache_options", "\"prompt_cache_options\":{\"mode\":\"implicit\"}"), ("prompt_cache_options.ttl", "\"prompt_cache_options\":{\"ttl\":\"30m\"}"),
            ("safety_identifier", "\"safety_identifier\":\"s\""), ("store", "\"store\":false"),
            ("stream_options.include_obfuscation", "\"stream\":true,\"stream_options\":{\"include_obfuscation\":true}"),
            ("prediction.type", "\"prediction\":{\"type\":\"content\",\"content\":\"x\"}"),
            ("guided_json", "\"guided_json\":{\"type\":\"object\"}"), ("guided_regex", "\"guided_regex\":\"a+\""), ("guided_choice", "\"guided_choice\":[\"a\"]"),
            ("guided_grammar", "\"guided_grammar\":\"root ::= \\\"a\\\"\""),
            ("structured_outputs.json", "\"structured_outputs\":{\"json\":{\"type\":\"object\"}}"), ("structured_outputs.regex", "\"structured_outputs\":{\"regex\":\"a+\"}"),
            ("structured_outputs.choice", "\"structured_outputs\":{\"choice\":[\"a\"]}"), ("structured_outputs.grammar", "\"structured_outputs\":{\"grammar\":\"root ::= \\\"a\\\"\"}"),
            ("structured_outputs.json_object", "\"structured_outputs\":{\"json_object\":true}"), ("structured_outputs.structural_tag", "\"structured_outputs\":{\"structural_tag\":{}}"),
            ("messages[].content[].type", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}]"),
            ("messages[].content[].type", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}]"),
            ("messages[].content[].refusal", "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"No.\"}]}]"),
            ("messages[].refusal", "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"refusal\":\"No.\"}]"),
            ("messages[].audio", "\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"audio\":{\"id\":\"a\"}}]"),
            ("messages[].function_call", "\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"),
            ("tools[].type", "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"f\"}}]"),
            ("tool_choice", $"{Tool},\"tool_choice\":{{\"type\":\"allowed_tools\",\"allowed_tools\":{{\"mode\":\"auto\",\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"f\"}}}}]}}}}"),
            ("mcp", "\"mcp\":[\"files\"]"), ("anything else", "\"surprise\":1")),
        .. Of(Completions,
            ("stream_options.include_obfuscation", "\"stream\":true,\"stream_options\":{\"include_obfuscation\":true}"),
            ("guided_json", "\"guided_json\":{\"type\":\"object\"}"), ("guided_regex", "\"guided_regex\":\"a+\""), ("guided_choice", "\"guided_choice\":[\"a\"]"),
            ("guided_grammar", "\"guided_grammar\":\"root ::= \\\"a\\\"\""), ("structured_outputs.json, regex, choice, grammar, json_object", "\"structured_outputs\":{\"regex\":\"a+\"}"),
            ("structured_outputs.structural_tag", "\"structured_outputs\":{\"structural_tag\":{}}"),
            ("suffix", "\"suffix\":\"x\""), ("best_of", "\"best_of\":2,\"stream\":true"), ("anything else", "\"surprise\":1")),
        .. Of("/tokenize", ("anything else", "\"surprise\":1")),
        .. Of("/detokenize", ("anything else", "\"surprise\":1")),
        .. ResponseProbes.All,
        .. DialectProbes.All,
        .. EmbeddingProbes.All,
    ];

    public static IEnumerable<FieldProbe> Of(string route, params (string Field, string Members)[] probes) =>
        probes.Select(probe => new FieldProbe(route, probe.Field, probe.Members));
}
