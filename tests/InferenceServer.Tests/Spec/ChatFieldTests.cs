using System.Text.Json;
using InferenceServer.Models;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Spec;

/// <summary>
/// Walks the fields that OpenAI's document has for a chat request: each is honoured, or refused by name where it asks for what cannot be done, and none
/// is dropped. A field that a new document brings fails here until somebody has decided on it.
/// </summary>
public sealed class ChatFieldTests
{
    private const string User = "{\"role\":\"user\",\"content\":\"Hi\"}";
    private const string Tool = "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"F\",\"parameters\":{\"type\":\"object\",\"properties\":{}},\"strict\":false}}";

    /// <summary>What a field of a schema is tried with: members of the body, and the <c>param</c> of the 400 where it is refused.</summary>
    private sealed record Try(string Schema, string Field, string Members, string? Refused = null);

    private static readonly Try[] Tries =
    [
        .. Of("CreateChatCompletionRequest",
            ("messages", $"\"messages\":[{User}]", null), ("messages", "\"messages\":[]", "messages"),
            ("model", "\"model\":\"scripted\"", null), ("model", "\"model\":\"none\"", "model"),
            ("metadata", "\"metadata\":{\"a\":\"b\"}", null),
            ("top_logprobs", "\"logprobs\":true,\"top_logprobs\":2", null), ("top_logprobs", "\"top_logprobs\":2", "top_logprobs"),
            ("logprobs", "\"logprobs\":true", null),
            ("temperature", "\"temperature\":0.5", null), ("top_p", "\"top_p\":0.5", null), ("user", "\"user\":\"u\"", null),
            ("safety_identifier", "\"safety_identifier\":\"s\"", null), ("safety_identifier", $"\"safety_identifier\":\"{new string('s', 600)}\"", "safety_identifier"),
            ("prompt_cache_key", "\"prompt_cache_key\":\"k\"", null),
            ("prompt_cache_retention", "\"prompt_cache_retention\":\"in_memory\"", null), ("prompt_cache_retention", "\"prompt_cache_retention\":\"24h\"", "prompt_cache_retention"),
            ("prompt_cache_options", "\"prompt_cache_options\":{\"mode\":\"implicit\"}", null), ("prompt_cache_options", "\"prompt_cache_options\":{\"mode\":\"never\"}", "prompt_cache_options.mode"),
            ("service_tier", "\"service_tier\":\"auto\"", null), ("service_tier", "\"service_tier\":\"gold\"", "service_tier"),
            ("modalities", "\"modalities\":[\"text\"]", null), ("modalities", "\"modalities\":[\"text\",\"audio\"]", "modalities[1]"),
            ("verbosity", "\"verbosity\":\"medium\"", null),
            ("reasoning_effort", "\"reasoning_effort\":\"medium\"", null), ("reasoning_effort", "\"reasoning_effort\":\"huge\"", "reasoning_effort"),
            ("max_completion_tokens", "\"max_completion_tokens\":5", null), ("max_tokens", "\"max_tokens\":5", null),
            ("frequency_penalty", "\"frequency_penalty\":1", null), ("presence_penalty", "\"presence_penalty\":1", null),
            ("web_search_options", "\"web_search_options\":null", null), ("web_search_options", "\"web_search_options\":{}", "web_search_options"),
            ("response_format", "\"response_format\":{\"type\":\"json_object\"}", null), ("response_format", "\"response_format\":{\"type\":\"xml\"}", "response_format.type"),
            ("audio", "\"audio\":null", null), ("audio", "\"audio\":{\"voice\":\"alloy\",\"format\":\"wav\"}", "audio"),
            ("store", "\"store\":false", null), ("moderation", "\"model\":\"scripted\",\"moderation\":{\"model\":\"omni-moderation-latest\"}", null), ("moderation", "\"moderation\":{}", "moderation.model"),
            ("stream", "\"stream\":true", null), ("stream_options", "\"stream\":true,\"stream_options\":{\"include_usage\":true}", null), ("stream_options", "\"stream_options\":{}", "stream_options"),
            ("stop", "\"stop\":\"x\"", null), ("stop", "\"stop\":[\"x\",\"y\"]", null), ("stop", "\"stop\":[\"\"]", null), ("stop", "\"stop\":[7]", "stop[0]"),
            ("logit_bias", "\"logit_bias\":{\"65\":-100}", null), ("logit_bias", "\"logit_bias\":{\"9999999\":1}", "logit_bias"),
            ("n", "\"n\":2", null), ("seed", "\"seed\":-7", null),
            ("prediction", "\"prediction\":{\"type\":\"content\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}", null), ("prediction", "\"prediction\":{\"type\":\"audio\"}", "prediction.type"),
            ("tools", $"\"tools\":[{Tool}]", null), ("tools", "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"x\"}}]", null),
            ("tool_choice", $"\"tools\":[{Tool}],\"tool_choice\":\"auto\"", null), ("tool_choice", $"\"tools\":[{Tool}],\"tool_choice\":\"maybe\"", "tool_choice"),
            ("parallel_tool_calls", $"\"tools\":[{Tool}],\"parallel_tool_calls\":true", null), ("parallel_tool_calls", "\"parallel_tool_calls\":1", "parallel_tool_calls"),
            ("function_call", "\"function_call\":\"none\"", null), ("function_call", "\"function_call\":{\"name\":\"f\"}", "function_call"),
            ("functions", "\"functions\":[]", null), ("functions", "\"functions\":[{\"name\":\"f\"}]", null), ("functions", "\"functions\":[{\"name\":\"a b\"}]", "functions[0].name")),
        .. Of("ChatCompletionStreamOptions",
            ("include_usage", "\"stream\":true,\"stream_options\":{\"include_usage\":false}", null),
            ("include_obfuscation", "\"stream\":true,\"stream_options\":{\"include_obfuscation\":false}", null),
            ("include_obfuscation", "\"stream\":true,\"stream_options\":{\"include_obfuscation\":true}", "stream_options.include_obfuscation")),
        .. Of("PromptCacheOptionsParam",
            ("mode", "\"prompt_cache_options\":{\"mode\":\"explicit\"}", null),
            ("ttl", "\"prompt_cache_options\":{\"ttl\":\"9y\"}", "prompt_cache_options.ttl")),
        .. Of("ChatCompletionRequestUserMessage",
            ("role", $"\"messages\":[{User}]", null), ("role", "\"messages\":[{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}]", "messages[0].role"),
            ("content", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}]", "messages[0].content[0].type"),
            ("content", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}]", "messages[0].content[0].type"),
            ("content", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{}}]}]", "messages[0].content[0].type"),
            ("name", "\"messages\":[{\"role\":\"user\",\"name\":\"Ann\",\"content\":\"Hi\"}]", null)),
        .. Of("ChatCompletionRequestMessageContentPartText",
            ("type", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"song\"}]}]", "messages[0].content[0].type"),
            ("text", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]", null),
            ("prompt_cache_breakpoint", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}]", null)),
        .. Of("ChatCompletionRequestAssistantMessage",
            ("role", Assistant("\"content\":\"x\""), null), ("content", Assistant("\"content\":null"), "messages[0].content"), ("refusal", Assistant("\"content\":null,\"refusal\":\"No.\""), null),
            ("name", Assistant("\"content\":\"x\",\"name\":\"Bob\""), null),
            ("audio", Assistant("\"content\":\"x\",\"audio\":null"), null), ("audio", Assistant("\"content\":\"x\",\"audio\":{\"id\":\"a\"}"), "messages[0].audio"),
            ("tool_calls", Assistant("\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"), null),
            ("tool_calls", Assistant("\"tool_calls\":[{\"id\":\"c\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":\"x\"}}]"), null),
            ("tool_calls", Assistant("\"tool_calls\":[{\"id\":\"c\",\"type\":\"custom\",\"custom\":{}}]"), "messages[0].tool_calls[0].custom.name"),
            ("tool_calls", Assistant("\"tool_calls\":[{\"id\":\"c\",\"type\":\"mcp\"}]"), "messages[0].tool_calls[0].type"),
            ("function_call", Assistant("\"content\":\"x\",\"function_call\":null"), null),
            ("function_call", Assistant("\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}"), null)),
        .. Of("ChatCompletionRequestToolMessage",
            ("role", Result("\"tool_call_id\":\"c\",\"content\":\"x\""), null),
            ("content", Result("\"tool_call_id\":\"c\""), "messages[1].content"),
            ("tool_call_id", Result("\"content\":\"x\""), "messages[1].tool_call_id")),
        .. Of("ChatCompletionTool",
            ("type", $"\"tools\":[{Tool}]", null), ("function", "\"tools\":[{\"type\":\"function\"}]", "tools[0].function")),
        .. Of("FunctionObject",
            ("name", $"\"tools\":[{Tool}]", null), ("description", $"\"tools\":[{Tool}]", null), ("parameters", $"\"tools\":[{Tool}]", null),
            ("strict", $"\"tools\":[{Tool}]", null), ("strict", "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":1}}]", "tools[0].function.strict")),
    ];

    private static Try[] Of(string schema, params (string Field, string Members, string? Refused)[] tries) =>
        [.. tries.Select(tried => new Try(schema, tried.Field, tried.Members, tried.Refused))];

    private static string Assistant(string members) => $"\"messages\":[{{\"role\":\"assistant\",{members}}},{User}]";

    private static string Result(string members) =>
        $"\"messages\":[{{\"role\":\"assistant\",\"tool_calls\":[{{\"id\":\"c\",\"type\":\"function\",\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}]}},{{\"role\":\"tool\",{members}}}]";

    [SkippableFact]
    public void Every_field_of_OpenAIs_document_is_tried_here()
    {
        OpenAISpec.Require();
        foreach (IGrouping<string, Try> tried in Tries.GroupBy(tried => tried.Schema))
            Assert.Equal(OpenAISpec.Properties(tried.Key).Order(), tried.Select(one => one.Field).Distinct().Order());
    }

    [Fact]
    public async Task Each_is_taken_without_being_listed_as_ignored_or_refused_by_its_name()
    {
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync("{}") };
        await using TestHost host = await TestHost.StartAsync(engine, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));
        foreach (Try tried in Tries)
        {
            string body = string.Join(',', new[]
            {
                tried.Members.StartsWith("\"model\":", StringComparison.Ordinal) ? null : "\"model\":\"scripted\"",
                tried.Members.Contains("\"messages\":", StringComparison.Ordinal) ? null : $"\"messages\":[{User}]",
                tried.Members,
            }.OfType<string>());
            using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions", $"{{{body}}}");
            string text = await answer.Content.ReadAsStringAsync();
            if (tried.Refused is null)
            {
                Assert.True(answer.IsSuccessStatusCode, $"{tried.Members}: {text}");
                Assert.False(answer.Headers.Contains("x-ignored-params"), tried.Members);
                continue;
            }

            Assert.True((int)answer.StatusCode is 400 or 404, $"{tried.Members}: {(int)answer.StatusCode} {text}");
            Assert.Equal(tried.Refused, JsonDocument.Parse(text).RootElement.GetProperty("error").GetProperty("param").GetString());
        }
    }

    [Fact]
    public async Task What_nobody_knows_or_can_promise_is_listed()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions",
            $"{{\"model\":\"scripted\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\",\"mood\":\"good\"}}],\"surprise\":1,\"prompt_cache_options\":{{\"ttl\":\"30m\"}}}}");
        Assert.Equal("messages[0].mood, prompt_cache_options.ttl, surprise", answer.Headers.GetValues("x-ignored-params").Single());
    }

    [Fact]
    public async Task Requests_that_name_no_user_take_turns_by_their_safety_identifier()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        await host.PostJsonAsync("/v1/chat/completions", $"{{\"model\":\"scripted\",\"messages\":[{User}],\"safety_identifier\":\"s\"}}");
        await host.PostJsonAsync("/v1/chat/completions", $"{{\"model\":\"scripted\",\"messages\":[{User}],\"safety_identifier\":\"s\",\"user\":\"u\"}}");
        Assert.Equal(["s", "u"], engine.Submitted.Select(generation => generation.Request.FairnessKey));
    }
}
