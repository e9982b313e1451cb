using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api.Anthropic;

/// <summary>Anthropic's messages over HTTP with an engine that says what the test wrote.</summary>
public sealed partial class MessagesTests
{
    private const string Path = "/v1/messages";
    private const string Hi = "\"model\":\"scripted\",\"max_tokens\":100,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";

    private const string Tools =
        """
        "tools":[{"name":"weather","description":"W","input_schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]},"cache_control":{"type":"ephemeral"}},{"type":"custom","name":"now","input_schema":{"type":"object"}}]
        """;

    private const string Reply = "<think>\nLet me see.\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

    private const string Signature = "thinking-sha256:Hln5aOTPkhGBvhBDSDAzV9s2N/LBqAz2sbxuhLuViUE=";

    private static Task<TestHost> StartAsync(ScriptedEngine engine, List<ChatConversation>? rendered = null, TimeProvider? clock = null) => TestHost.StartAsync(new ServedModel
    {
        Id = TestHost.ModelId,
        Created = TestHost.Created,
        Fingerprint = "fp_test",
        Vocabulary = ScriptedVocabulary.Instance,
        Engine = engine,
        ContextLength = engine.ContextLength,
        Chat = conversation =>
        {
            rendered?.Add(conversation);
            return TestHost.ChatMl(conversation);
        },
        Constraints = new ServedConstraints(ScriptedVocabulary.Instance),
        Replies = new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens),
    }, clock);

    private static ScriptedEngine Says(params string[] pieces) => new() { Script = reply => reply.SayAsync(pieces) };

    private static async Task<(HttpResponseMessage Answer, JsonElement Error)> FailAsync(TestHost host, string body, string path = Path)
    {
        HttpResponseMessage answer = await host.PostAsync(path, body);
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal(["type", "error", "request_id"], error.EnumerateObject().Select(field => field.Name));
        Assert.Equal("error", error.GetProperty("type").GetString());
        Assert.Equal(answer.Headers.GetValues("request-id").Single(), error.GetProperty("request_id").GetString());
        return (answer, error.GetProperty("error"));
    }

    [Fact]
    public async Task A_stream_is_byte_for_byte_the_documented_events()
    {
        await using TestHost host = await StartAsync(Says("<think>", "\nLet me", " see.", "\n</think>", "\n\nOne moment", ".\n", Reply[Reply.IndexOf("<tool_call>", StringComparison.Ordinal)..]));

        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},{Tools},\"thinking\":{{\"type\":\"adaptive\"}},\"stream\":true}}");
        string stream = IdPattern().Replace(await answer.Content.ReadAsStringAsync(), match => match.Value.StartsWith("msg_", StringComparison.Ordinal) ? "msg_0" : "call_0");

        const string Usage = "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":";
        const string Rest = "\"cache_creation\":null,\"server_tool_use\":null,\"inference_geo\":null,\"speed\":null}";
        string expected = string.Concat((((string, string)[])[
            ("message_start", "\"message\":{\"id\":\"msg_0\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"scripted\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                + $"\"usage\":{{\"input_tokens\":21,{Usage}0,\"output_tokens\":0,\"service_tier\":\"standard\",\"output_tokens_details\":null,{Rest},\"container\":null,\"stop_details\":null,\"diagnostics\":null}}"),
            ("content_block_start", "\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
            ("ping", ""),
            ("content_block_delta", "\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Let me\"}"),
            ("content_block_delta", "\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\" see.\"}"),
            ("content_block_delta", $"\"index\":0,\"delta\":{{\"type\":\"signature_delta\",\"signature\":\"{Signature}\"}}"),
            ("content_block_stop", "\"index\":0"),
            ("content_block_start", "\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\",\"citations\":null}"),
            ("content_block_delta", "\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"One moment\"}"),
            ("content_block_delta", "\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\".\"}"),
            ("content_block_stop", "\"index\":1"),
            ("content_block_start", "\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"call_0\",\"name\":\"weather\",\"input\":{},\"caller\":{\"type\":\"direct\"}}"),
            ("content_block_delta", "\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\": \\\"Zürich\\\"}\"}"),
            ("content_block_stop", "\"index\":2"),
            ("content_block_start", "\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"call_0\",\"name\":\"now\",\"input\":{},\"caller\":{\"type\":\"direct\"}}"),
            ("content_block_delta", "\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}"),
            ("content_block_stop", "\"index\":3"),
            ("message_delta", "\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"stop_details\":null,\"container\":null},"
                + $"\"usage\":{{\"input_tokens\":18,{Usage}3,\"output_tokens\":7,\"service_tier\":\"standard\",\"output_tokens_details\":{{\"thinking_tokens\":4}},{Rest}"),
            ("message_stop", ""),
        ]).Select(sent => $"event: {sent.Item1}\ndata: {{\"type\":\"{sent.Item1}\"{(sent.Item2.Length > 0 ? "," : "")}{sent.Item2}}}\n\n"));
        Assert.Equal(expected, stream);
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType!.MediaType);
        Assert.Equal(answer.Headers.GetValues("x-request-id"), answer.Headers.GetValues("request-id"));
    }

    [Fact]
    public async Task A_whole_message_has_the_blocks_and_counts_of_the_stream()
    {
        await using TestHost host = await StartAsync(Says([.. Reply.Select(letter => letter.ToString())]));
        JsonElement message = await host.PostJsonAsync(Path, $"{{{Hi},{Tools},\"thinking\":{{\"type\":\"adaptive\"}}}}");

        JsonElement[] blocks = [.. message.GetProperty("content").EnumerateArray()];
        Assert.Equal(["thinking Let me see.", "text One moment.", "tool_use weather", "tool_use now"],
            blocks.Select(block => $"{block.GetProperty("type")} {(block.TryGetProperty("thinking", out JsonElement said) || block.TryGetProperty("text", out said) || block.TryGetProperty("name", out said) ? said : default)}"));
        Assert.Equal(Signature, blocks[0].GetProperty("signature").GetString());
        Assert.Equal("Zürich", blocks[2].GetProperty("input").GetProperty("city").GetString());
        Assert.Equal(JsonValueKind.Object, blocks[3].GetProperty("input").ValueKind);
        Assert.Equal(("message", "assistant", "tool_use"), (message.GetProperty("type").GetString(), message.GetProperty("role").GetString(), message.GetProperty("stop_reason").GetString()));
        JsonElement usage = message.GetProperty("usage");
        Assert.Equal((18, 3, Reply.Length), (usage.GetProperty("input_tokens").GetInt32(), usage.GetProperty("cache_read_input_tokens").GetInt32(), usage.GetProperty("output_tokens").GetInt32()));

        JsonElement omitted = await host.PostJsonAsync(Path, $"{{{Hi},\"thinking\":{{\"type\":\"adaptive\",\"display\":\"omitted\"}}}}");
        Assert.Equal("", omitted.GetProperty("content")[0].GetProperty("thinking").GetString());
    }

    [Theory]
    [InlineData(FinishReason.Stop, null, 100, "end_turn")]
    [InlineData(FinishReason.Stop, "END", 100, "stop_sequence")]
    [InlineData(FinishReason.Length, null, 1, "max_tokens")]
    [InlineData(FinishReason.Length, null, 100, "model_context_window_exceeded")]
    [InlineData(FinishReason.DeadlineExceeded, null, 100, "max_tokens")]
    public async Task How_a_reply_ended_has_this_dialects_name(FinishReason finish, string? stop, int maxTokens, string reason)
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("x");
                reply.Finish(finish, stop: stop);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await StartAsync(engine);
        JsonElement message = await host.PostJsonAsync(Path, $"{{{Hi.Replace("100", $"{maxTokens}", StringComparison.Ordinal)},\"stop_sequences\":[\"END\"]}}");
        Assert.Equal((reason, stop), (message.GetProperty("stop_reason").GetString(), message.GetProperty("stop_sequence").GetString()));
        Assert.Equal(["END"], engine.Submitted.Single().Request.StopStrings);
    }

    [Fact]
    public async Task Turns_of_blocks_reach_the_template_as_messages_with_calls_results_and_thinking()
    {
        List<ChatConversation> rendered = [];
        await using TestHost host = await StartAsync(Says("ok"), rendered);
        await host.PostJsonAsync(Path, $$"""
            {"model":"scripted","max_tokens":5,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h"} },{"type":"text","text":"Be kind."}],
             "messages":[
              {"role":"user","content":[{"type":"text","text":"Weather?"},{"type":"text","text":"In Rome."}]},
              {"role":"assistant","content":[{"type":"thinking","thinking":"Let me see.","signature":"{{Signature}}"},{"type":"text","text":"Wait."},
                {"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Rome"} }]},
              {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":[{"type":"text","text":"closed"}]},{"type":"text","text":"Go on."}]}],
             {{Tools}},"tool_choice":{"type":"auto"},"temperature":0.5,"top_p":0.9,"top_k":7,"metadata":{"user_id":"u1"},"service_tier":"standard_only","betas":["x"],
             "thinking":{"type":"enabled","budget_tokens":3} }
            """);
        ChatConversation chat = rendered[^1];
        Assert.Equal(
            ["system:Be brief.\nBe kind.", "user:Weather?\nIn Rome.", "assistant:Wait.", "tool:Error: closed", "user:Go on."],
            chat.Messages.Select(message => $"{message.Role.Name()}:{message.Text}"));
        Assert.Equal("Let me see.", chat.Messages[2].Reasoning);
        Assert.Equal("toolu_1 weather {\"city\":\"Rome\"}", chat.Messages[2].ToolCalls!.Select(call => $"{call.Id} {call.Name} {call.Arguments}").Single());
        Assert.Equal("toolu_1", chat.Messages[3].ToolCallId);
        Assert.Equal(["weather W", "now "], chat.Tools.Select(tool => $"{tool.Name} {tool.Description}"));
        Assert.True(chat.TemplateArguments!["enable_thinking"].GetBoolean());
    }

    [Theory]
    [InlineData("{\"type\":\"enabled\",\"budget_tokens\":3}", 3)]
    [InlineData("{\"type\":\"adaptive\"}", null)]
    public async Task The_budget_of_thinking_reaches_the_engine_and_is_not_listed_as_ignored(string thinking, int? budget)
    {
        ScriptedEngine engine = Says("ok");
        await using TestHost host = await StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},\"thinking\":{thinking}}}");
        Assert.False(answer.Headers.Contains("x-ignored-params"));
        Assert.Equal(budget, engine.Submitted.Single().Request.Thinking?.Tokens);
    }

    [Fact]
    public async Task Settings_reach_the_engine_unknown_fields_are_listed_and_there_is_no_thinking_unless_asked_for()
    {
        List<ChatConversation> rendered = [];
        ScriptedEngine engine = Says("ok");
        await using TestHost host = await StartAsync(engine, rendered);
        using HttpResponseMessage answer = await host.PostAsync(Path,
            $"{{{Hi},\"temperature\":0.5,\"top_p\":0.9,\"top_k\":7,\"metadata\":{{\"user_id\":\"u1\"}},\"service_tier\":\"auto\",\"surprise\":1,\"messages_x\":[]}}");
        Assert.Equal("surprise, messages_x", answer.Headers.GetValues("x-ignored-params").Single());
        GenerationRequest got = engine.Submitted.Single().Request;
        SamplingOptions sampling = got.Sampling;
        Assert.Equal((0.5f, 0.9f, 7, "u1", 100), (sampling.Temperature, sampling.TopP, sampling.TopK, got.FairnessKey, got.MaxTokens));
        Assert.False(rendered[^1].TemplateArguments!["enable_thinking"].GetBoolean());
    }

    [Fact]
    public async Task A_schema_is_enforced()
    {
        ScriptedEngine engine = Says("{\"a\":1}");
        await using TestHost host = await StartAsync(engine);
        const string Schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}";
        JsonElement message = await host.PostJsonAsync(Path, $"{{{Hi},\"output_config\":{{\"effort\":\"high\",\"format\":{{\"type\":\"json_schema\",\"schema\":{Schema}}}}}}}");
        Assert.Equal("{\"a\":1}", message.GetProperty("content")[0].GetProperty("text").GetString());
        Assert.NotNull(engine.Submitted.Single().Request.Constraint);
        (HttpResponseMessage answer, JsonElement error) = await FailAsync(host, $"{{{Hi},\"output_config\":{{\"format\":{{\"type\":\"json_schema\",\"schema\":{{\"type\":\"banana\"}}}}}}}}");
        using (answer)
            Assert.Contains("output_config.format.schema.type", error.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}""", "model")]
    [InlineData("""{"model":"scripted","messages":[{"role":"user","content":"x"}]}""", "max_tokens")]
    [InlineData("""{"model":"scripted","max_tokens":1,"messages":[]}""", "messages")]
    [InlineData("""{"model":"scripted","max_tokens":1,"messages":[{"role":"user","content":[]}]}""", "messages.0.content")]
    [InlineData("""{"model":"scripted","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image","source":{}}]}]}""", "messages.0.content.1")]
    [InlineData("""{"model":"scripted","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{}}]}]}""", "messages.0.content.0")]
    [InlineData("""{"model":"scripted","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x"}]}]}""", "messages.0.content.0.tool_use_id")]
    [InlineData("""{"model":"scripted","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"other","signature":"thinking-sha256:Hln5aOTPkhGBvhBDSDAzV9s2N/LBqAz2sbxuhLuViUE="}]},{"role":"user","content":"x"}]}""", "messages.0.content.0.signature")]
    [InlineData("""{"model":"scripted","max_tokens":1,"temperature":1.5,"messages":[{"role":"user","content":"x"}]}""", "temperature")]
    [InlineData("""{"model":"scripted","max_tokens":9,"thinking":{"type":"enabled","budget_tokens":9},"messages":[{"role":"user","content":"x"}]}""", "thinking.budget_tokens")]
    [InlineData("""{"model":"scripted","max_tokens":9,"thinking":{"type":"enabled"},"messages":[{"role":"user","content":"x"}]}""", "thinking.budget_tokens")]
    [InlineData("""{"model":"scripted","max_tokens":9,"tools":[{"name":"a","input_schema":{}},{"name":"a","input_schema":{}}],"messages":[{"role":"user","content":"x"}]}""", "tools.1.name")]
    [InlineData("""{"model":"scripted","max_tokens":9,"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"tool","name":"b"},"messages":[{"role":"user","content":"x"}]}""", "tool_choice.name")]
    [InlineData("""{"model":"scripted","max_tokens":9,"tool_choice":{"type":"any"},"messages":[{"role":"user","content":"x"}]}""", "tool_choice")]
    [InlineData("""{"model":"scripted","max_tokens":9,"system":[{"type":"image"}],"messages":[{"role":"user","content":"x"}]}""", "system.0")]
    [InlineData("""{"model":"scripted","max_tokens":9,"cache_control":{"type":"forever"},"messages":[{"role":"user","content":"x"}]}""", "cache_control.type")]
    [InlineData("""{"model":"scripted","max_tokens":9,"container":"c","messages":[{"role":"user","content":"x"}]}""", "container")]
    [InlineData("""{"model":"scripted","max_tokens":9000,"messages":[{"role":"user","content":"x"}],"output_config":{"effort":"huge"}}""", "output_config.effort")]
    public async Task What_cannot_be_done_is_a_400_that_names_the_place(string body, string place)
    {
        await using TestHost host = await StartAsync(Says("x"));
        (HttpResponseMessage answer, JsonElement error) = await FailAsync(host, body);
        using (answer)
            Assert.Equal((400, "invalid_request_error"), ((int)answer.StatusCode, error.GetProperty("type").GetString()));
        Assert.Contains(place, error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.DoesNotMatch(@"\[\d+\]", error.GetProperty("message").GetString());
    }

    [Fact]
    public async Task Thinking_that_somebody_else_signed_is_taken_as_it_is()
    {
        List<ChatConversation> rendered = [];
        await using TestHost host = await StartAsync(Says("x"), rendered);
        await host.PostJsonAsync(Path,
            """{"model":"scripted","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"other","signature":"EqQBCkYIARgCKkBz"},{"type":"text","text":"A"}]},{"role":"user","content":"x"}]}""");
        Assert.Equal("other", rendered[^1].Messages[0].Reasoning);
    }

    [Fact]
    public async Task Failures_have_this_dialects_types_and_statuses()
    {
        ScriptedEngine engine = new() { Refuse = number => number switch { 1 => new EngineQueueFullException(3, TimeSpan.FromSeconds(7)), 2 => new EngineUnavailableException("stopping"), _ => null } };
        await using TestHost host = await StartAsync(engine);
        string body = $"{{{Hi}}}";
        Assert.Equal((429, "rate_limit_error", "7"), await SeeAsync(body));
        Assert.Equal((529, "overloaded_error", null), await SeeAsync(body));
        Assert.Equal((404, "not_found_error", null), await SeeAsync(body.Replace("scripted", "claude", StringComparison.Ordinal)));
        Assert.Equal((404, "not_found_error", null), await SeeAsync(body, Path + "/batches"));
        Assert.Equal((400, "invalid_request_error", null), await SeeAsync("{"));
        engine.Script = reply =>
        {
            reply.Finish(FinishReason.Failed, error: "decode returned -3");
            return Task.CompletedTask;
        };
        Assert.Equal((500, "api_error", null), await SeeAsync(body));
        // The same route in the other dialect keeps its shape.
        using HttpResponseMessage plain = await host.Client.GetAsync(new Uri("/v1/models/none", UriKind.Relative));
        Assert.Equal("model_not_found", JsonDocument.Parse(await plain.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("code").GetString());

        async Task<(int, string?, string?)> SeeAsync(string sent, string path = Path)
        {
            (HttpResponseMessage answer, JsonElement error) = await FailAsync(host, sent, path);
            using (answer)
                return ((int)answer.StatusCode, error.GetProperty("type").GetString(), answer.Headers.RetryAfter?.ToString());
        }
    }

    [Fact]
    public async Task A_stream_that_fails_midway_ends_in_an_error_event()
    {
        (ScriptedEngine engine, Action fail) = ScriptedEngine.FailingMidway();
        await using TestHost host = await StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},\"stream\":true}}");
        fail();
        string[] events = (await answer.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.StartsWith("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"", events[^1], StringComparison.Ordinal);
        Assert.DoesNotContain(events, sent => sent.Contains("message_stop", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Silence_is_filled_with_this_dialects_ping()
    {
        SilentEngine silence = new();
        await using TestHost host = await StartAsync(silence.Engine, clock: silence.Clock);
        using HttpResponseMessage answer = await silence.AskAsync(host, Path, $"{{{Hi},\"stream\":true}}");
        string stream = await answer.Content.ReadAsStringAsync();
        Assert.StartsWith("event: ping\ndata: {\"type\":\"ping\"}\n\n", stream, StringComparison.Ordinal);
        Assert.Contains("message_stop", stream, StringComparison.Ordinal);
        Assert.DoesNotContain("\n: ", stream, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tokens_are_counted_as_the_message_itself_would_be()
    {
        await using TestHost host = await StartAsync(Says("x"));
        JsonElement counted = await host.PostJsonAsync(Path + "/count_tokens", """{"model":"scripted","system":"S","messages":[{"role":"user","content":"Hi"}]}""");
        JsonElement message = await host.PostJsonAsync(Path, $"{{{Hi},\"system\":\"S\"}}");
        JsonElement usage = message.GetProperty("usage");
        Assert.Equal(usage.GetProperty("input_tokens").GetInt32() + usage.GetProperty("cache_read_input_tokens").GetInt32(), counted.GetProperty("input_tokens").GetInt32());
    }

    [Fact]
    public async Task Models_are_listed_in_the_shape_of_who_asks()
    {
        await using TestHost host = await StartAsync(Says("x"));
        using HttpRequestMessage request = new(HttpMethod.Get, "/v1/models");
        request.Headers.Add("anthropic-version", "2023-06-01");
        using HttpResponseMessage answer = await host.Client.SendAsync(request);
        JsonElement list = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal(("model", "scripted", false), (list.GetProperty("data")[0].GetProperty("type").GetString(), list.GetProperty("last_id").GetString(), list.GetProperty("has_more").GetBoolean()));
        Assert.Contains("\"object\":\"list\"", await host.Client.GetStringAsync(new Uri("/v1/models", UriKind.Relative)), StringComparison.Ordinal);
    }

    [GeneratedRegex("msg_[0-9a-f]{32}|call_[0-9a-f]{24}")]
    private static partial Regex IdPattern();
}
