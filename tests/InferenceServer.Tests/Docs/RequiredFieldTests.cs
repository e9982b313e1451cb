using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Api;
using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Spec;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Docs;

/// <summary>
/// What the description calls required, and optional, against the parsers: of bodies that together have every field, each member is left out once. The server takes
/// what is valid without it, and refuses by name what is not.
/// </summary>
public sealed class RequiredFieldTests
{
    private const string Model = "\"model\":\"scripted\"";
    private const string User = "{\"role\":\"user\",\"content\":\"Hi\"}";
    private const string Schema = "{\"type\":\"object\"}";
    private const string Function = "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":true}}";
    private const string Custom = "{\"type\":\"custom\",\"custom\":{\"name\":\"c\",\"description\":\"d\",\"format\":{\"type\":\"text\"}}}";
    private static readonly string Sampling = string.Join(',', SamplingFields.All.Select(field => string.Create(CultureInfo.InvariantCulture, $"\"{field.Name}\":{field.Get(SamplingOptions.Default)}"))) + ",\"dry_sequence_breakers\":[\"x\"]";
    private static readonly string Common = "\"max_tokens\":5,\"stop\":[\"x\"],\"n\":1,\"seed\":1,"
        + Sampling + ",\"logit_bias\":{\"65\":1},\"lora\":[],\"ignore_eos\":false,\"service_tier\":\"auto\",\"timeout_ms\":60000,\"cache_salt\":\"s\",\"prompt_cache_key\":\"k\",\"x_cache_report\":true,\"timing\":true,\"user\":\"u\"";
    private static readonly string OllamaCommon = "\"stream\":false,\"format\":\"json\",\"think\":false,\"keep_alive\":\"5m\",\"truncate\":true,\"shift\":true,\"timing\":true,"
        + "\"options\":{" + Sampling + ",\"num_predict\":5,\"seed\":1,\"stop\":[\"x\"],\"repeat_penalty\":1,\"repeat_last_n\":-1}";

    /// <summary>For each route bodies that together have all its fields; no member of one needs another.</summary>
    private static readonly (string Route, string Body)[] Full =
    [
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],{Common},\"max_completion_tokens\":5,\"prediction\":{{\"type\":\"content\",\"content\":\"x\"}},\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"schema\":{Schema},\"name\":\"n\",\"description\":\"d\",\"strict\":true}}}},"
            + "\"chat_template_kwargs\":{\"a\":1},\"add_generation_prompt\":true,\"continue_final_message\":false,\"store\":false,\"safety_identifier\":\"s\",\"metadata\":{\"a\":\"b\"},\"reasoning_effort\":\"low\",\"reasoning_budget\":5,"
            + "\"moderation\":{\"model\":\"omni-moderation-latest\",\"policy\":{\"input\":{\"mode\":\"score\"},\"output\":{\"mode\":\"score\"}}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"logprobs\":true"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"mcp\":[]"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"grammar\":\"root ::= \\\"a\\\"\""),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"regex\":\"a+\""),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"choice\":[\"a\"]"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"response_format\":{{\"type\":\"json_object\",\"schema\":{Schema}}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"prediction\":{{\"type\":\"content\",\"content\":[{{\"type\":\"text\",\"text\":\"x\"}}]}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"tools\":[{Function},{Custom}],\"parallel_tool_calls\":true,\"tool_choice\":{{\"type\":\"function\",\"function\":{{\"name\":\"f\"}}}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"tools\":[{Custom}],\"tool_choice\":{{\"type\":\"custom\",\"custom\":{{\"name\":\"c\"}}}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"tools\":[{Function}],\"tool_choice\":{{\"type\":\"allowed_tools\",\"allowed_tools\":{{\"mode\":\"auto\",\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"f\"}}}}]}}}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User}],\"functions\":[{{\"name\":\"f\",\"description\":\"d\",\"parameters\":{Schema},\"strict\":true}}],\"function_call\":{{\"name\":\"f\"}}"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{{\"role\":\"developer\",\"content\":[{{\"type\":\"text\",\"text\":\"x\"}}],\"name\":\"n\"}},{User},{{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"tool_calls\":["
            + "{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"2\",\"type\":\"custom\",\"custom\":{\"name\":\"c\",\"input\":\"x\"}}]}]"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User},{{\"role\":\"assistant\",\"function_call\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}]"),
        ("/v1/chat/completions", $"{Model},\"messages\":[{User},{{\"role\":\"assistant\",\"refusal\":\"No.\"}},{User}]"),
        ("/v1/completions", $"{Model},\"prompt\":\"Hi\",{Common},\"logprobs\":1,\"echo\":false,\"best_of\":1,\"parse_special\":false"),
        ("/v1/responses", $"{Model},\"input\":\"Hi\",\"instructions\":\"x\",\"store\":true,\"background\":false,\"max_output_tokens\":5,\"max_tool_calls\":5,\"metadata\":{{\"a\":\"b\"}},\"reasoning\":{{\"effort\":\"low\",\"summary\":\"auto\"}},"
            + $"\"text\":{{\"format\":{{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{Schema},\"description\":\"d\",\"strict\":true}},\"verbosity\":\"medium\"}},\"truncation\":\"auto\",\"service_tier\":\"auto\",\"prompt_cache_key\":\"k\","
            + "\"safety_identifier\":\"s\",\"user\":\"u\"," + Sampling + ",\"lora\":[],\"ignore_eos\":false,\"x_cache_report\":true,\"timing\":true,\"include\":[\"message.output_text.logprobs\"],"
            + "\"moderation\":{\"model\":\"omni-moderation-latest\",\"policy\":{\"input\":{\"mode\":\"score\"},\"output\":{\"mode\":\"score\"}}}"),
        ("/v1/responses", $"{Model},\"input\":\"Hi\",\"grammar\":\"root ::= \\\"a\\\"\""),
        ("/v1/responses", $"{Model},\"input\":\"Hi\",\"regex\":\"a+\""),
        ("/v1/responses", $"{Model},\"input\":\"Hi\",\"choice\":[\"a\"]"),
        ("/v1/responses", $"{Model},\"input\":\"Hi\",\"parallel_tool_calls\":true,\"tools\":[{{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"parameters\":{Schema},\"strict\":true}},{{\"type\":\"custom\",\"name\":\"c\",\"description\":\"d\",\"format\":{{\"type\":\"text\"}}}}],"
            + "\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]}"),
        ("/v1/responses", $"{Model},\"tools\":[{{\"type\":\"function\",\"name\":\"f\"}}],\"tool_choice\":{{\"type\":\"function\",\"name\":\"f\"}},\"input\":[{{\"type\":\"message\",\"role\":\"user\",\"id\":\"m\",\"status\":\"completed\",\"content\":[{{\"type\":\"input_text\",\"text\":\"x\"}}]}},"
            + "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"x\"}]},{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"x\"}],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"x\"}]},"
            + "{\"type\":\"function_call\",\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"custom_tool_call\",\"call_id\":\"2\",\"name\":\"c\",\"input\":\"x\"},{\"role\":\"user\",\"content\":\"x\"}]"),
        ("/v1/messages", $"{Model},\"max_tokens\":50,\"messages\":[{User}],\"system\":[{{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{{\"type\":\"ephemeral\",\"ttl\":\"5m\"}}}}],\"stop_sequences\":[\"x\"],\"stream\":false,\"temperature\":1,\"top_p\":1,\"top_k\":1,"
            + $"\"thinking\":{{\"type\":\"enabled\",\"budget_tokens\":5,\"display\":\"summarized\"}},\"metadata\":{{\"user_id\":\"u\"}},\"output_config\":{{\"effort\":\"low\",\"format\":{{\"type\":\"json_schema\",\"schema\":{Schema}}}}},\"service_tier\":\"auto\",\"timing\":true"),
        ("/v1/messages", $"{Model},\"max_tokens\":50,\"tools\":[{{\"name\":\"f\",\"input_schema\":{Schema},\"description\":\"d\",\"strict\":true}}],\"tool_choice\":{{\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true}},\"messages\":[{User},"
            + "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"x\"},{\"type\":\"redacted_thinking\",\"data\":\"x\"},{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{}}]},"
            + "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"is_error\":false},{\"type\":\"text\",\"text\":\"x\"}]}]"),
        ("/v1/messages/count_tokens", $"{Model},\"messages\":[{User}],\"system\":\"x\",\"tools\":[{{\"name\":\"f\",\"input_schema\":{Schema}}}],\"tool_choice\":{{\"type\":\"auto\"}},\"thinking\":{{\"type\":\"disabled\"}},\"output_config\":{{\"effort\":\"low\"}}"),
        ("/api/chat", $"{Model},{OllamaCommon},\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}},{{\"role\":\"assistant\",\"content\":\"x\",\"thinking\":\"t\",\"tool_calls\":[{{\"id\":\"1\",\"function\":{{\"index\":0,\"name\":\"f\",\"arguments\":{{}}}}}}]}},"
            + "{\"role\":\"tool\",\"content\":\"x\",\"tool_name\":\"f\"}],\"tools\":[" + Function + "],\"logprobs\":true"),
        ("/api/chat", $"{Model},\"stream\":false,\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],\"logprobs\":true"),
        ("/api/generate", $"{Model},{OllamaCommon},\"prompt\":\"x\",\"system\":\"x\",\"raw\":false,\"logprobs\":true"),
        ("/completion", $"{Model},\"prompt\":\"x\",{Sampling},\"lora\":[],\"n_predict\":5,\"stop\":[\"x\"],\"seed\":1,\"repeat_penalty\":1,\"repeat_last_n\":-1,\"ignore_eos\":false,\"n_probs\":0,\"t_max_predict_ms\":60000,\"stream\":false,\"json_schema\":{Schema}"),
        ("/completion", $"{Model},\"prompt\":[72],\"grammar\":\"root ::= \\\"a\\\"\""),
        ("/api/show", Model),
        ("/api/embed", "\"model\":\"embedder\",\"input\":[\"x\"],\"truncate\":true,\"dimensions\":2"),
        ("/api/embeddings", "\"model\":\"embedder\",\"prompt\":\"x\""),
        ("/v1/embeddings", "\"model\":\"embedder\",\"input\":[[1,2]],\"encoding_format\":\"float\",\"user\":\"u\""),
        ("/v1/rerank", "\"model\":\"ranker\",\"query\":\"x\",\"documents\":[{\"text\":\"x\"}],\"top_n\":1,\"return_documents\":true"),
        ("/v1/moderations", "\"input\":[{\"type\":\"text\",\"text\":\"x\"}],\"model\":\"omni-moderation-latest\""),
        ("/v1/conversations", $"\"metadata\":{{\"a\":\"b\"}},\"created_at\":1,\"items\":[{User}]"),
        ("/tokenize", $"{Model},\"content\":\"x\",\"add_special\":true,\"parse_special\":true,\"with_pieces\":true"),
        ("/detokenize", $"{Model},\"tokens\":[72]"),
    ];

    // In full bodies they would need another member beside them; each has a case of its own elsewhere.
    private static readonly string[] NeedOthers =
    [
        "/v1/chat/completions stream", "/v1/chat/completions stream_options", "/v1/chat/completions top_logprobs", "/v1/chat/completions messages[].tool_call_id",
        "/v1/completions stream", "/v1/completions stream_options", "/v1/completions suffix", "/v1/completions response_format", "/v1/completions grammar", "/v1/completions regex", "/v1/completions choice",
        "/v1/responses stream", "/v1/responses stream_options", "/v1/responses top_logprobs", "/v1/responses previous_response_id", "/v1/responses conversation",
        "/v1/responses input[].output", "/v1/responses input[].encrypted_content", "/api/chat top_logprobs", "/api/chat messages[].tool_call_id", "/api/generate top_logprobs", "/api/generate suffix", "/v1/embeddings dimensions",
    ];

    [Fact]
    public async Task A_body_without_a_member_is_taken_where_it_is_optional_and_refused_by_name_where_it_is_required()
    {
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync("{}") },
            replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens), store: kept.Store, embedders: EmbeddingProbes.Models);
        ApiReference reference = await ApiReference.ReadAsync(host);
        JsonNode document = JsonNode.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative)))!;
        SpecValidator validator = ApiReferenceTests.Validator(document);
        List<string> lies = [];
        HashSet<string> seen = [];
        int left = 0;
        foreach ((string route, string members) in Full)
        {
            JsonObject whole = JsonNode.Parse($"{{{members}}}")!.AsObject();
            string schema = document["paths"]![route]!["post"]!["requestBody"]!["content"]!["application/json"]!["schema"]!["$ref"]!.GetValue<string>().Split('/')[^1];
            List<string> errors = validator.Errors(schema, JsonSerializer.SerializeToElement(whole));
            Assert.True(errors.Count == 0, $"{route} {whole.ToJsonString()}: {string.Join("; ", errors)}");
            using (HttpResponseMessage answer = await host.PostAsync(route, whole.ToJsonString()))
                Assert.True(answer.IsSuccessStatusCode, $"{route} {whole.ToJsonString()}: {await answer.Content.ReadAsStringAsync()}");
            foreach ((string path, string name, string body) in Without(whole))
            {
                seen.Add($"{route} {path}");
                bool isValid = validator.Errors(schema, JsonDocument.Parse(body).RootElement).Count == 0 && !NeededByOthers(path, whole);
                using HttpResponseMessage answer = await host.PostAsync(route, body);
                string text = await answer.Content.ReadAsStringAsync();
                left++;
                if (isValid ? !answer.IsSuccessStatusCode : (int)answer.StatusCode != 400 || (!NeededByOthers(path, whole) && !text.Contains(name, StringComparison.Ordinal)))
                    lies.Add($"{route} without {path} is {(isValid ? "valid" : "not valid")} by its description, and answered {(int)answer.StatusCode}: {text}");
            }
        }

        Assert.True(lies.Count == 0, string.Join('\n', lies));
        Assert.True(left > 300, $"{left}");
        string[] routes = [.. Full.Select(body => body.Route).Distinct()];
        List<string> missed = [.. reference.Operations.Where(operation => operation.Method == "POST" && routes.Contains(operation.Path))
            .SelectMany(operation => reference.Fields(operation.Operation).Select(field => $"{operation.Path} {field.Path}")).Where(field => !seen.Contains(field) && !NeedOthers.Contains(field))
            // Of what two routes share one is enough.
            .Where(field => !field.Contains('.') && !field.StartsWith("/v1/messages/count_tokens", StringComparison.Ordinal))];
        Assert.True(missed.Count == 0, $"in no full body: {string.Join(", ", missed)}");
    }

    [Theory]
    [InlineData("\"kind\":\"rating\",\"rating\":\"up\",\"reason\":\"r\",\"response_id\":\"RESPONSE\"")]
    [InlineData("\"kind\":\"edit\",\"ideal\":\"x\",\"reason\":\"r\",\"response_id\":\"RESPONSE\"")]
    public async Task The_same_holds_of_feedback(string members)
    {
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: kept.Store);
        JsonNode document = JsonNode.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative)))!;
        SpecValidator validator = ApiReferenceTests.Validator(document);
        string response = (await host.PostJsonAsync("/v1/responses", $"{{{Model},\"input\":\"Hi\"}}")).GetProperty("id").GetString()!;
        foreach ((string path, string name, string body) in Without(JsonNode.Parse($"{{{members}}}")!.AsObject()))
        {
            bool isValid = validator.Errors("FeedbackRequest", JsonDocument.Parse(body).RootElement).Count == 0;
            using HttpResponseMessage answer = await host.PostAsync("/v1/feedback", body.Replace("RESPONSE", response, StringComparison.Ordinal));
            string text = await answer.Content.ReadAsStringAsync();
            Assert.True(isValid ? answer.IsSuccessStatusCode : (int)answer.StatusCode == 400 && text.Contains(name, StringComparison.Ordinal), $"without {path}: {(int)answer.StatusCode} {text}");
        }
    }

    /// <summary>What no schema says of one member alone: a choice needs what is to be chosen, and an answer something to answer.</summary>
    private static bool NeededByOthers(string path, JsonObject whole) => path switch
    {
        "tools" => whole["tool_choice"]?["type"] is { } type && type.GetValue<string>() != "auto",
        "functions" => whole["function_call"] is JsonObject,
        "input" => true,
        _ => false,
    };

    /// <summary>The body without each of its members in turn, those inside others included; what is the client's own is left alone.</summary>
    private static IEnumerable<(string Path, string Name, string Body)> Without(JsonObject whole)
    {
        foreach ((JsonObject holder, string path) in Objects(whole, ""))
            foreach (string name in holder.Select(member => member.Key).ToArray())
            {
                JsonNode? value = holder[name];
                holder.Remove(name);
                yield return (path.Length == 0 ? name : $"{path}.{name}", name, whole.ToJsonString());
                holder[name] = value;
            }
    }

    private static IEnumerable<(JsonObject Holder, string Path)> Objects(JsonNode? node, string path)
    {
        if (node is JsonArray items)
        {
            foreach (JsonNode? item in items)
                foreach ((JsonObject, string) inner in Objects(item, $"{path}[]"))
                    yield return inner;
            yield break;
        }

        if (node is not JsonObject members)
            yield break;
        yield return (members, path);
        foreach ((string name, JsonNode? value) in members.ToArray())
            if (name is not ("metadata" or "logit_bias" or "chat_template_kwargs" or "parameters" or "input_schema" or "schema" or "format" or "arguments" or "input") || value is JsonArray || (name == "format" && value is JsonObject format && format["type"]?.GetValue<string>() == "json_schema"))
                foreach ((JsonObject, string) inner in Objects(value, path.Length == 0 ? name : $"{path}.{name}"))
                    yield return inner;
    }
}
