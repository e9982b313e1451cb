using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine;

namespace InferenceServer.Tests.Api;

public sealed class ErrorTests
{
    private const string Chat = "/v1/chat/completions";
    private const string Completions = "/v1/completions";
    private const string Ok = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";

    public static TheoryData<string, string, int, string?, string?> Refused => new()
    {
        { Chat, "", 400, null, "invalid_json" },
        { Chat, "{", 400, null, "invalid_json" },
        { Chat, "[]", 400, null, "invalid_json" },
        { Chat, "{\"model\":1,\"model\":2}", 400, null, "invalid_json" },
        { Chat, $"{{{Ok}}} x", 400, null, "invalid_json" },
        { Chat, "{\"\\ud800\":1}", 400, null, "invalid_json" },
        { Chat, $"{{{Ok},\"logit_bias\":{{\"\\ud800\":1}}}}", 400, null, "invalid_json" },
        { Chat, $"{{{Ok},\"metadata\":{{\"\\ud800\":\"\"}}}}", 400, null, "invalid_json" },
        { Chat, $"{{{Ok},\"chat_template_kwargs\":{{\"\\ud800\":1}}}}", 400, null, "invalid_json" },
        { Chat, "{}", 400, "model", "missing_required_parameter" },
        { Chat, "{\"model\":null,\"messages\":[]}", 400, "model", "missing_required_parameter" },
        { Chat, "{\"model\":7,\"messages\":[]}", 400, "model", "invalid_type" },
        { Chat, "{\"model\":\"scripted\"}", 400, "messages", "missing_required_parameter" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[]}", 400, "messages", "invalid_length" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[7]}", 400, "messages[0]", "invalid_type" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[{\"content\":\"x\"}]}", 400, "messages[0].role", "missing_required_parameter" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[{\"role\":\"boss\",\"content\":\"x\"}]}", 400, "messages[0].role", "invalid_value" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\"}]}", 400, "messages[0].content", "missing_required_parameter" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", 400, "messages[0].content[0].type", "unsupported_parameter" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":5}]}]}", 400, "messages[0].content[1].text", "invalid_type" },
        { Chat, "{\"model\":\"scripted\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", 400, "messages[0].tool_call_id", "missing_required_parameter" },
        { Chat, $"{{{Ok},\"temperature\":2.1}}", 400, "temperature", "out_of_range" },
        { Chat, $"{{{Ok},\"temperature\":\"hot\"}}", 400, "temperature", "invalid_type" },
        { Chat, $"{{{Ok},\"temperature\":1e999}}", 400, "temperature", "out_of_range" },
        { Chat, $"{{{Ok},\"seed\":99999999999999999999}}", 400, "seed", "invalid_type" },
        { Chat, $"{{{Ok},\"n\":0}}", 400, "n", "out_of_range" },
        { Chat, $"{{{Ok},\"n\":1.5}}", 400, "n", "invalid_type" },
        { Chat, $"{{{Ok},\"max_tokens\":-2}}", 400, "max_tokens", "out_of_range" },
        { Chat, $"{{{Ok},\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}}", 400, "stop", "invalid_length" },
        { Chat, $"{{{Ok},\"logit_bias\":{{\"x\":1}}}}", 400, "logit_bias", "invalid_value" },
        { Chat, $"{{{Ok},\"logit_bias\":{{\"259\":1}}}}", 400, "logit_bias", "out_of_range" },
        { Chat, $"{{{Ok},\"top_logprobs\":2}}", 400, "top_logprobs", "invalid_value" },
        { Chat, $"{{{Ok},\"stream_options\":{{\"include_usage\":true}}}}", 400, "stream_options", "invalid_value" },
        { Chat, $"{{{Ok},\"audio\":{{}}}}", 400, "audio", "unsupported_parameter" },
        { Chat, $"{{{Ok},\"modalities\":[\"text\",\"audio\"]}}", 400, "modalities[1]", "unsupported_parameter" },
        { Chat, $"{{{Ok},\"store\":true}}", 400, "store", "unsupported_parameter" },
        { Chat, "{\"model\":\"gpt-9\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", 404, "model", "model_not_found" },
        { Completions, "{\"model\":\"scripted\"}", 400, "prompt", "missing_required_parameter" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":{}}", 400, "prompt", "invalid_type" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":\"\"}", 400, "prompt", "invalid_value" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":[1,\"a\"]}", 400, "prompt[1]", "invalid_type" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":[1,259]}", 400, "prompt[1]", "out_of_range" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":[[1],[]]}", 400, "prompt[1]", "invalid_length" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":\"x\",\"suffix\":\"y\",\"echo\":true,\"logprobs\":1}", 400, "echo", "invalid_value" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":\"x\",\"suffix\":\"y\"}", 400, "suffix", "unsupported_parameter" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":\"x\",\"best_of\":3,\"stream\":true}", 400, "best_of", "invalid_value" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":\"x\",\"best_of\":2,\"n\":3}", 400, "best_of", "out_of_range" },
        { Completions, "{\"model\":\"scripted\",\"prompt\":\"x\",\"logprobs\":6}", 400, "logprobs", "out_of_range" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task A_wrong_request_is_told_which_field_is_wrong(string path, string body, int status, string? param, string? code)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        await AssertErrorAsync(await host.PostAsync(path, body), status, param, code);
    }

    [Fact]
    public async Task Malformed_JSON_is_told_where()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        JsonElement error = await AssertErrorAsync(await host.PostAsync(Chat, "{\n \"model\": nope}"), 400, null, "invalid_json");
        Assert.Contains("(line 2, byte 12)", error.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_prompt_over_the_context_is_refused_before_and_after_tokenizing()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine { ContextLength = 30 });
        await AssertErrorAsync(await host.PostAsync(Completions, $"{{\"model\":\"scripted\",\"prompt\":\"{new string('x', 31)}\"}}"), 400, "prompt", "context_length_exceeded");
        await AssertErrorAsync(await host.PostAsync(Completions, $"{{\"model\":\"scripted\",\"prompt\":\"{new string('x', 3000)}\"}}"), 400, "prompt", "context_length_exceeded");
        await AssertErrorAsync(await host.PostAsync(Chat, $"{{\"model\":\"scripted\",\"messages\":[{{\"role\":\"user\",\"content\":\"{new string('x', 40)}\"}}]}}"), 400, "messages", "context_length_exceeded");
    }

    [Theory]
    [InlineData(Chat, "\"messages\":[{\"role\":\"user\",\"content\":\"TEXT\"}]", "This model's maximum context length is 80 tokens. However, your messages resulted in ", " tokens. Please reduce the length of the messages.")]
    [InlineData(Completions, "\"prompt\":\"TEXT\"", "This model's maximum context length is 80 tokens. However, your prompt resulted in ", " tokens. Please reduce the length of the prompt.")]
    [InlineData("/v1/responses", "\"input\":\"TEXT\"", "This model's maximum context length is 80 tokens. However, your input resulted in ", " tokens. Please reduce the length of the input.")]
    [InlineData("/v1/messages", "\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"TEXT\"}]", "prompt is too long: ", " tokens > 79 maximum")]
    [InlineData("/api/chat", "\"messages\":[{\"role\":\"user\",\"content\":\"TEXT\"}]", "the input length exceeds the context length: 'messages' has ", " tokens, and the context has 80")]
    public async Task A_prompt_that_is_too_long_is_refused_in_the_words_that_the_dialects_agents_look_for(string path, string fields, string start, string end)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine { ContextLength = 80 });
        foreach (int length in (int[])[100, 3000])
        {
            using HttpResponseMessage answer = await host.PostAsync(path, $"{{\"model\":\"scripted\",{fields.Replace("TEXT", new string('x', length), StringComparison.Ordinal)}}}");
            JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
            string message = (error.ValueKind == JsonValueKind.String ? error : error.GetProperty("message")).GetString()!;
            Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
            Assert.True(message.StartsWith(start, StringComparison.Ordinal) && message.EndsWith(end, StringComparison.Ordinal), message);
            string tokens = message[start.Length..^end.Length];
            Assert.InRange(int.Parse(tokens.Replace("at least ", "", StringComparison.Ordinal), CultureInfo.InvariantCulture), 100, length + 60);
        }
    }

    [Fact]
    public async Task Routes_methods_types_and_sizes_that_are_wrong_have_the_same_error_shape()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), maxBodyBytes: 1000);

        await AssertErrorAsync(await host.Client.GetAsync(new Uri("/nowhere", UriKind.Relative)), 404, null, "unknown_url");
        await AssertErrorAsync(await host.Client.DeleteAsync(new Uri(Chat, UriKind.Relative)), 405, null, "method_not_allowed");
        using StringContent text = new($"{{{Ok}}}", Encoding.UTF8, "text/plain");
        await AssertErrorAsync(await host.Client.PostAsync(new Uri(Chat, UriKind.Relative), text), 415, null, "unsupported_media_type");
        using ByteArrayContent untyped = new(Encoding.UTF8.GetBytes($"{{{Ok}}}"));
        await AssertErrorAsync(await host.Client.PostAsync(new Uri(Chat, UriKind.Relative), untyped), 415, null, "unsupported_media_type");
        await AssertErrorAsync(await host.PostAsync(Chat, $"{{{Ok},\"x\":\"{new string('x', 1000)}\"}}"), 413, null, "request_too_large");
        await AssertErrorAsync(await host.Client.GetAsync(new Uri("/v1/models/none", UriKind.Relative)), 404, "model", "model_not_found");
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("{\"stream\":true}")]
    public async Task What_the_engine_refuses_or_fails_before_the_first_token_is_a_real_status(string extra)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        string body = $"{{{Ok}{(extra.Length > 2 ? "," + extra[1..^1] : "")}}}";

        engine.Refuse = _ => new EngineQueueFullException(8, TimeSpan.FromSeconds(2.4));
        HttpResponseMessage full = await host.PostAsync(Chat, body);
        Assert.Equal(TimeSpan.FromSeconds(3), full.Headers.RetryAfter!.Delta);
        Assert.Equal("9", full.Headers.GetValues("X-Queue-Position").Single());
        DateTimeOffset start = DateTimeOffset.Parse(full.Headers.GetValues("X-Queue-Estimated-Start").Single(), CultureInfo.InvariantCulture);
        Assert.InRange((start - DateTimeOffset.UtcNow).TotalSeconds, -30, 3);
        await AssertErrorAsync(full, 429, null, "queue_full");
        engine.Refuse = _ => new EngineUnavailableException("The server is stopping.");
        await AssertErrorAsync(await host.PostAsync(Chat, body), 503, null, "unavailable");
        engine.Refuse = _ => null;

        foreach ((FinishReason reason, int status, string code) in new[]
        {
            (FinishReason.Failed, 500, "generation_failed"), (FinishReason.Cancelled, 503, "cancelled"), (FinishReason.DeadlineExceeded, 504, "deadline_exceeded"),
        })
        {
            engine.Script = reply =>
            {
                reply.Finish(reason, error: "decode returned -3");
                return Task.CompletedTask;
            };
            await AssertErrorAsync(await host.PostAsync(Chat, body), status, null, code);
        }
    }

    [Fact]
    public async Task When_one_of_several_choices_is_refused_those_before_it_are_cancelled()
    {
        ScriptedEngine engine = new()
        {
            Script = reply => reply.UntilCancelledAsync(),
            Refuse = number => number == 3 ? new EngineQueueFullException(2, TimeSpan.FromSeconds(1)) : null,
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        await AssertErrorAsync(await host.PostAsync(Chat, $"{{{Ok},\"n\":4}}"), 429, null, "queue_full");

        Assert.Equal(2, engine.Submitted.Count);
        Assert.All(engine.Submitted, generation => Assert.True(generation.CancelRequested));
    }

    [Fact]
    public async Task A_fault_of_ours_says_nothing_of_its_insides()
    {
        ScriptedEngine engine = new() { Refuse = _ => new InvalidOperationException("secret path") };
        await using TestHost host = await TestHost.StartAsync(engine);

        JsonElement error = await AssertErrorAsync(await host.PostAsync(Chat, $"{{{Ok}}}"), 500, null, "internal_error");

        Assert.DoesNotContain("secret", error.GetRawText(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x-a\r\nset-cookie: b=1")]
    [InlineData("naïve")]
    public async Task An_unknown_field_cannot_forge_a_header(string name)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());

        HttpResponseMessage answer = await host.PostAsync(Chat, $"{{{Ok},{JsonSerializer.Serialize(name)}:1}}");

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.False(answer.Headers.Contains("set-cookie"));
        Assert.Equal(name.Length, answer.Headers.GetValues("x-ignored-params").Single().Length);
    }

    internal static async Task<JsonElement> AssertErrorAsync(HttpResponseMessage answer, int status, string? param, string? code)
    {
        using (answer)
        {
            string text = await answer.Content.ReadAsStringAsync();
            Assert.True((int)answer.StatusCode == status, $"{(int)answer.StatusCode} {text}");
            Assert.Equal("application/json", answer.Content.Headers.ContentType!.MediaType);
            Assert.True(answer.Headers.Contains("x-request-id"));
            JsonElement error = JsonDocument.Parse(text).RootElement.GetProperty("error");
            Assert.Equal(["message", "type", "param", "code"], error.EnumerateObject().Select(field => field.Name));
            Assert.False(string.IsNullOrWhiteSpace(error.GetProperty("message").GetString()));
            Assert.Equal(param, error.GetProperty("param").GetString());
            Assert.Equal(code, error.GetProperty("code").GetString());
            return error;
        }
    }
}
