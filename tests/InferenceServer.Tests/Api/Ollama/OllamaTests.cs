using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Models;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api.Ollama;

/// <summary>Ollama's API over HTTP with an engine that says what the test wrote.</summary>
public sealed class OllamaTests
{
    private const string Hi = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";
    private const string Tools = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"W\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}}}]";
    private const string Call = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>";

    private static readonly ServedModelFile File = new()
    {
        Architecture = "llama",
        ParameterCount = 5_450_000,
        SizeBytes = 6_000_000,
        Quantization = "Q8_0",
        Digest = "abc",
        ChatTemplate = "{{ messages }}",
        Metadata = new Dictionary<string, object> { ["llama.block_count"] = 4L, ["llama.rope.freq_base"] = 1e4, ["general.name"] = "Tiny", ["x.flag"] = true },
    };

    private static Task<TestHost> StartAsync(ScriptedEngine engine, List<ChatConversation>? rendered = null, TimeProvider? clock = null, ServedReplies? replies = null) => TestHost.StartAsync(new ServedModel
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
        Replies = replies ?? new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens),
        File = File,
    }, clock);

    private static ScriptedEngine Says(params string[] pieces) => new()
    {
        Script = reply =>
        {
            foreach (string piece in pieces)
                reply.Token(piece, reply.Request.Sampling.TopLogprobs is null ? null : new TokenLogprobs('a', -0.5f, [new('a', -0.5f)]));
            reply.Finish(timing: new GenerationTiming(0.5, 0.25, 0.125, 1));
            return Task.CompletedTask;
        },
    };

    private static async Task<string> StreamAsync(TestHost host, string path, string body)
    {
        using HttpResponseMessage answer = await host.PostAsync(path, body);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        Assert.Equal("application/x-ndjson", answer.Content.Headers.ContentType!.ToString());
        return text;
    }

    private static async Task<(int Status, string Error)> FailAsync(TestHost host, string path, string body)
    {
        using HttpResponseMessage answer = await host.PostAsync(path, body);
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        return ((int)answer.StatusCode, Assert.Single(error.EnumerateObject(), field => field.Name == "error").Value.GetString()!);
    }

    [Fact]
    public async Task A_chat_streams_byte_for_byte_the_lines_that_Ollama_sends()
    {
        await using TestHost host = await StartAsync(Says("<think>", "\nHm", "\n</think>", "\n\nOne \"moment\"", ".\n", Call), clock: new FakeTimeProvider(TestHost.Created));
        string stream = await StreamAsync(host, "/api/chat", $"{{{Hi.Replace("scripted", "scripted:latest", StringComparison.Ordinal)},{Tools},\"think\":true}}");

        string id = stream[(stream.IndexOf("\"id\":\"", StringComparison.Ordinal) + 6)..][..29];
        Assert.StartsWith("call_", id, StringComparison.Ordinal);
        const string Head = "{\"model\":\"scripted:latest\",\"created_at\":\"2026-09-21T14:13:20.0000000Z\",\"message\":{\"role\":\"assistant\",\"content\":";
        Assert.Equal(
            Head + "\"\",\"thinking\":\"Hm\"},\"done\":false}\n"
            + Head + "\"One \\\"moment\\\"\"},\"done\":false}\n"
            + Head + "\".\"},\"done\":false}\n"
            + Head + $"\"\",\"tool_calls\":[{{\"id\":\"{id}\",\"function\":{{\"index\":0,\"name\":\"weather\",\"arguments\":{{\"city\":\"Zürich\"}}}}}}]}},\"done\":false}}\n"
            + Head + "\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":0,\"load_duration\":0,\"prompt_eval_count\":21,\"prompt_eval_duration\":250000000,\"eval_count\":6,\"eval_duration\":125000000}\n",
            stream);
    }

    [Fact]
    public async Task A_whole_chat_has_the_parts_of_the_stream_and_log_probabilities_where_asked_for()
    {
        await using TestHost host = await StartAsync(Says("<think>\nHm\n</think>\n\nWait.\n", Call));
        JsonElement answer = await host.PostJsonAsync("/api/chat", $"{{{Hi},{Tools},\"stream\":false,\"logprobs\":true,\"top_logprobs\":1}}");
        JsonElement message = answer.GetProperty("message");
        Assert.Equal(("assistant", "Wait.", "Hm"), (message.GetProperty("role").GetString(), message.GetProperty("content").GetString(), message.GetProperty("thinking").GetString()));
        Assert.Equal("Zürich", message.GetProperty("tool_calls")[0].GetProperty("function").GetProperty("arguments").GetProperty("city").GetString());
        Assert.Equal((true, "stop", 250_000_000, 2), (answer.GetProperty("done").GetBoolean(), answer.GetProperty("done_reason").GetString(),
            answer.GetProperty("prompt_eval_duration").GetInt64(), answer.GetProperty("eval_count").GetInt32()));
        Assert.Equal(2, answer.GetProperty("logprobs").GetArrayLength());
        Assert.Equal("a", answer.GetProperty("logprobs")[0].GetProperty("top_logprobs")[0].GetProperty("token").GetString());

        string stream = await StreamAsync(host, "/api/chat", $"{{{Hi},{Tools},\"logprobs\":true}}");
        Assert.Equal(2, stream.Split('\n', StringSplitOptions.RemoveEmptyEntries).Count(line => JsonDocument.Parse(line).RootElement.TryGetProperty("logprobs", out _)));
    }

    [Fact]
    public async Task Total_time_counts_from_arrival_and_a_silence_is_filled_with_a_line_that_says_nothing()
    {
        SilentEngine silence = new();
        await using TestHost host = await StartAsync(silence.Engine, clock: silence.Clock);
        using HttpResponseMessage answer = await silence.AskAsync(host, "/api/generate", "{\"model\":\"scripted\",\"prompt\":\"Hi\"}");
        JsonElement[] lines = [.. (await answer.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(("", false), (lines[0].GetProperty("response").GetString(), lines[0].GetProperty("done").GetBoolean()));
        Assert.Equal("x", string.Concat(lines.Select(line => line.GetProperty("response").GetString())));
        Assert.True(lines[^1].GetProperty("total_duration").GetInt64() >= 15_000_000_000);
    }

    [Fact]
    public async Task Options_have_Ollamas_names_and_defaults_and_those_of_loading_are_listed()
    {
        ScriptedEngine engine = Says("ok");
        await using TestHost host = await StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync("/api/chat", $$"""
            {{{Hi}},"stream":false,"keep_alive":"5m","truncate":true,"surprise":1,"options":{"num_predict":7,"temperature":0.5,"top_k":3,"top_p":0.5,"min_p":0.1,"typical_p":0.9,"seed":5,
             "stop":["END"],"repeat_penalty":1.2,"repeat_last_n":-1,"presence_penalty":1,"frequency_penalty":-1,"mirostat":0,"tfs_z":1,"num_ctx":2048,"num_thread":8} }
            """);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        Assert.Equal("options.num_ctx, options.num_thread, surprise", answer.Headers.GetValues("x-ignored-params").Single());
        await host.PostJsonAsync("/api/chat", $"{{{Hi},\"stream\":false,\"options\":{{\"num_predict\":-1,\"seed\":-1,\"repeat_penalty\":1.5,\"repeat_last_n\":0}}}}");

        GenerationRequest[] got = [.. engine.Submitted.Select(generation => generation.Request)];
        SamplingOptions sampling = got[0].Sampling;
        Assert.Equal((7, 0.5f, 3, 0.5f, 0.1f, 0.9f), (got[0].MaxTokens, sampling.Temperature, sampling.TopK, sampling.TopP, sampling.MinP, sampling.TypicalP));
        Assert.Equal((5ul, 1.2f, 1f, -1f), (sampling.Seed, sampling.RepetitionPenalty, sampling.PresencePenalty, sampling.FrequencyPenalty));
        Assert.Equal(["END"], got[0].StopStrings);
        SamplingOptions defaults = got[1].Sampling;
        Assert.Equal((0.8f, 40, 0.9f, 1f, (ulong?)null), (defaults.Temperature, defaults.TopK, defaults.TopP, defaults.RepetitionPenalty, defaults.Seed));
        Assert.True(got[1].MaxTokens > 1000);
    }

    [Fact]
    public async Task A_conversation_with_calls_and_results_reaches_the_template()
    {
        List<ChatConversation> rendered = [];
        await using TestHost host = await StartAsync(Says("ok"), rendered);
        await host.PostJsonAsync("/api/chat", """
            {"model":"scripted","stream":false,"think":false,"messages":[{"role":"system","content":"S"},{"role":"user","content":"Weather?"},
             {"role":"assistant","content":"","thinking":"Hm","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Rome"}}},{"function":{"index":1,"name":"now","arguments":{}}}]},
             {"role":"tool","tool_name":"now","content":"noon"},{"role":"tool","content":"sun"},{"role":"user","content":"So?"}]}
            """);
        ChatConversation chat = rendered[^1];
        Assert.Equal(["system:S", "user:Weather?", "assistant:", "tool:noon", "tool:sun", "user:So?"], chat.Messages.Select(message => $"{message.Role.Name()}:{message.Text}"));
        Assert.Equal("Hm", chat.Messages[2].Reasoning);
        IReadOnlyList<ChatToolCall> calls = chat.Messages[2].ToolCalls!;
        Assert.Equal((calls[1].Id, calls[0].Id, "weather"), (chat.Messages[3].ToolCallId, chat.Messages[4].ToolCallId, chat.Messages[4].AuthorName));
        Assert.Equal("{\"city\":\"Rome\"}", calls[0].Arguments);
        Assert.False(chat.TemplateArguments!["enable_thinking"].GetBoolean());
    }

    [Fact]
    public async Task Generate_answers_a_prompt_through_the_template_or_continues_a_raw_text()
    {
        List<ChatConversation> rendered = [];
        ScriptedEngine engine = Says("<think>\nHm\n</think>\n\n", "ok");
        await using TestHost host = await StartAsync(engine, rendered);
        JsonElement asked = await host.PostJsonAsync("/api/generate", """{"model":"scripted","prompt":"Hi","system":"S","stream":false}""");
        Assert.Equal(("ok", "Hm"), (asked.GetProperty("response").GetString(), asked.GetProperty("thinking").GetString()));
        Assert.Equal(["system:S", "user:Hi"], Assert.Single(rendered).Messages.Select(message => $"{message.Role.Name()}:{message.Text}"));

        JsonElement raw = await host.PostJsonAsync("/api/generate", """{"model":"scripted","prompt":"Once","raw":true,"stream":false}""");
        Assert.Equal("<think>\nHm\n</think>\n\nok", raw.GetProperty("response").GetString());
        Assert.Single(rendered);
        Assert.Equal("Once", string.Concat(engine.Submitted.Last().Request.PromptTokens.ToArray().Select(ScriptedVocabulary.Instance.Text)));
        string stream = await StreamAsync(host, "/api/generate", """{"model":"scripted","prompt":"Once","raw":true}""");
        Assert.StartsWith("{\"model\":\"scripted\",\"created_at\":\"", stream, StringComparison.Ordinal);
        Assert.Contains("\"response\":\"ok\",\"done\":false}\n", stream, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_format_is_enforced()
    {
        ScriptedEngine engine = Says("{}");
        await using TestHost host = await StartAsync(engine);
        foreach (string format in (string[])["\"json\"", "{\"type\":\"object\"}"])
            await host.PostJsonAsync("/api/chat", $"{{{Hi},\"stream\":false,\"format\":{format}}}");
        await host.PostJsonAsync("/api/generate", "{\"model\":\"scripted\",\"prompt\":\"x\",\"raw\":true,\"stream\":false,\"format\":\"json\"}");
        Assert.All(engine.Submitted, generation => Assert.NotNull(generation.Request.Constraint));
        await host.PostJsonAsync("/api/chat", $"{{{Hi},\"stream\":false,\"format\":\"\"}}");
        Assert.Null(engine.Submitted.Last().Request.Constraint);
    }

    [Fact]
    public async Task Without_a_prompt_the_answer_says_that_the_model_is_loaded()
    {
        ScriptedEngine engine = Says("x");
        await using TestHost host = await StartAsync(engine);
        JsonElement chat = await host.PostJsonAsync("/api/chat", """{"model":"scripted","keep_alive":0}""");
        JsonElement text = await host.PostJsonAsync("/api/generate", """{"model":"scripted"}""");
        Assert.Equal(("unload", "load"), (chat.GetProperty("done_reason").GetString(), text.GetProperty("done_reason").GetString()));
        Assert.Empty(engine.Submitted);
    }

    [Theory]
    [InlineData("/api/chat", """{"messages":[]}""", 400, "'model'")]
    [InlineData("/api/chat", """{"model":"none","messages":[{"role":"user","content":"x"}]}""", 404, "'none'")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x","images":["aGk="]}]}""", 400, "messages[0].images")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"narrator","content":"x"}]}""", 400, "messages[0].role")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"a","arguments":"{}"}}]}]}""", 400, "messages[0].tool_calls[0].function.arguments")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"tool","tool_call_id":"c","content":"x"}]}""", 400, "messages[0].tool_call_id")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"options":{"mirostat":3}}""", 400, "options.mirostat")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"options":{"repeat_penalty":1.1,"repeat_last_n":64}}""", 400, "options.repeat_last_n")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"options":{"temperature":"hot"}}""", 400, "options.temperature")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"format":"xml"}""", 400, "'format'")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"format":{"type":"banana"}}""", 400, "format.type")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"think":"much"}""", 400, "'think'")]
    [InlineData("/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"keep_alive":true}""", 400, "keep_alive")]
    [InlineData("/api/generate", """{"model":"scripted","prompt":"x","context":[1]}""", 400, "'context'")]
    [InlineData("/api/generate", """{"model":"scripted","prompt":"x","template":"{{ .Prompt }}"}""", 400, "'template'")]
    [InlineData("/api/generate", """{"model":"scripted","prompt":"x","raw":true,"system":"S"}""", 400, "'system'")]
    [InlineData("/api/generate", """{"model":"scripted","prompt":"x","suffix":"y"}""", 400, "'suffix'")]
    [InlineData("/api/generate", """{"model":"scripted","prompt":"x","images":["aGk="]}""", 400, "'images'")]
    [InlineData("/api/show", """{"model":"none"}""", 404, "'none'")]
    [InlineData("/api/push", """{"model":"mine"}""", 501, "/api/push")]
    [InlineData("/api/pull", """{"model":"llama3"}""", 400, "--models-dir")]
    [InlineData("/api/surprise", "{}", 404, "/api/surprise")]
    [InlineData("/api/chat", "{", 400, "JSON")]
    public async Task What_cannot_be_done_is_an_error_that_says_what(string path, string body, int status, string named)
    {
        await using TestHost host = await StartAsync(Says("x"));
        (int seen, string error) = await FailAsync(host, path, body);
        Assert.Equal(status, seen);
        Assert.Contains(named, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Thinking_is_refused_where_the_model_knows_none_and_a_failure_midway_is_a_last_line()
    {
        (ScriptedEngine engine, Action fail) = ScriptedEngine.FailingMidway();
        await using TestHost host = await StartAsync(engine, replies: ServedReplies.Plain);
        (int status, string error) = await FailAsync(host, "/api/chat", $"{{{Hi},\"think\":true}}");
        Assert.Equal(400, status);
        Assert.Contains("'think'", error, StringComparison.Ordinal);
        using HttpResponseMessage answer = await host.PostAsync("/api/chat", $"{{{Hi}}}");
        fail();
        string[] lines = (await answer.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.StartsWith("{\"error\":\"The engine could not go on", lines[^1], StringComparison.Ordinal);
        Assert.Equal(2, lines.Length);
    }

    [Fact]
    public async Task Models_are_listed_shown_and_running()
    {
        await using TestHost host = await StartAsync(Says("x"));
        JsonElement tag = await GetAsync("/api/tags");
        Assert.Equal(("scripted:latest", 6_000_000, "5.5M", "Q8_0"), (tag.GetProperty("name").GetString(), tag.GetProperty("size").GetInt64(),
            tag.GetProperty("details").GetProperty("parameter_size").GetString(), tag.GetProperty("details").GetProperty("quantization_level").GetString()));
        JsonElement running = await GetAsync("/api/ps");
        Assert.Equal((0, 4096), (running.GetProperty("size_vram").GetInt64(), running.GetProperty("context_length").GetInt32()));
        Assert.Equal(9999, running.GetProperty("expires_at").GetDateTimeOffset().Year);
        JsonElement shown = await host.PostJsonAsync("/api/show", """{"model":"scripted:latest"}""");
        Assert.Equal(["completion", "tools", "thinking"], shown.GetProperty("capabilities").EnumerateArray().Select(name => name.GetString()));
        JsonElement information = shown.GetProperty("model_info");
        Assert.Equal((4, 10000, "Tiny", true, 5_450_000), (information.GetProperty("llama.block_count").GetInt32(), information.GetProperty("llama.rope.freq_base").GetDouble(),
            information.GetProperty("general.name").GetString(), information.GetProperty("x.flag").GetBoolean(), information.GetProperty("general.parameter_count").GetInt64()));
        Assert.Equal("{{ messages }}", shown.GetProperty("template").GetString());
        JsonElement version = JsonDocument.Parse(await host.Client.GetStringAsync(new Uri("/api/version", UriKind.Relative))).RootElement;
        Assert.Matches(@"^\d+\.\d+\.\d+$", version.GetProperty("version").GetString());

        async Task<JsonElement> GetAsync(string path) =>
            Assert.Single(JsonDocument.Parse(await host.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement.GetProperty("models").EnumerateArray());
    }
}
