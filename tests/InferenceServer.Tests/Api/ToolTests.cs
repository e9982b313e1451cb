using System.Text;
using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api;

/// <summary>Tools and reasoning over HTTP with an engine that says what the test wrote: fields in, split replies out, whole and streamed.</summary>
public sealed class ToolTests
{
    private const string Path = "/v1/chat/completions";
    private const string Hi = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";

    private const string Tools =
        """
        "tools":[{"type":"function","function":{"name":"weather","description":"W","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}},{"type":"function","function":{"name":"now"}}]
        """;

    private const string Reply = "<think>\nLet me see.\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

    internal static ReplyFormat Hermes { get; } = new()
    {
        Reasoning = new("<think>", "</think>"),
        Calls = [ToolCallFormat.Parse("hermes", "<tool_call>\n{\"name\": \"$name\", \"arguments\": $arguments}\n</tool_call>") with { Separator = "\n" }],
    };

    private static Task<TestHost> StartAsync(string reply, int piece = 1, ReplyFormat? format = null) => TestHost.StartAsync(
        new ScriptedEngine { Script = script => script.SayAsync([.. reply.Chunk(piece).Select(part => new string(part))]) },
        replies: new ServedReplies(format ?? Hermes, ScriptedVocabulary.Instance.ControlTokens));

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(1000)]
    public async Task Reasoning_content_and_calls_come_apart_and_streamed_deltas_join_to_the_same(int piece)
    {
        await using TestHost host = await StartAsync(Reply, piece);
        JsonElement whole = await host.PostJsonAsync(Path, $"{{{Hi},{Tools}}}");
        JsonElement choice = whole.GetProperty("choices")[0];
        JsonElement message = choice.GetProperty("message");
        Assert.Equal(("tool_calls", "One moment.", "Let me see."), (choice.GetProperty("finish_reason").GetString(),
            message.GetProperty("content").GetString(), message.GetProperty("reasoning_content").GetString()));
        JsonElement[] calls = [.. message.GetProperty("tool_calls").EnumerateArray()];
        Assert.Equal(["weather {\"city\": \"Zürich\"}", "now {}"], calls.Select(call => $"{call.GetProperty("function").GetProperty("name")} {call.GetProperty("function").GetProperty("arguments")}"));
        Assert.Equal(2, calls.Select(call => call.GetProperty("id").GetString()).Distinct().Count());
        Assert.All(calls, call => Assert.Equal("function", call.GetProperty("type").GetString()));
        int reasoning = whole.GetProperty("usage").GetProperty("completion_tokens_details").GetProperty("reasoning_tokens").GetInt32();
        Assert.InRange(reasoning, 1, whole.GetProperty("usage").GetProperty("completion_tokens").GetInt32());

        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},{Tools},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}");
        StreamedReply streamed = StreamedReply.Of(await answer.Content.ReadAsStringAsync());
        Assert.Equal(("tool_calls", "One moment.", "Let me see."), (streamed.Finish, streamed.Content, streamed.Reasoning));
        Assert.Equal(["weather {\"city\": \"Zürich\"}", "now {}"], streamed.Calls.Select(call => $"{call.Name} {call.Arguments}"));
        Assert.Equal(reasoning, streamed.ReasoningTokens);
    }

    [Fact]
    public async Task Content_is_null_beside_calls_and_a_reply_that_was_cut_says_length()
    {
        await using (TestHost host = await StartAsync("<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"))
        {
            JsonElement choice = (await host.PostJsonAsync(Path, $"{{{Hi},{Tools}}}")).GetProperty("choices")[0];
            Assert.Equal(JsonValueKind.Null, choice.GetProperty("message").GetProperty("content").ValueKind);
            Assert.False(choice.GetProperty("message").TryGetProperty("reasoning_content", out _));
        }

        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("<think>Hm");
                reply.Finish(FinishReason.Length);
                return Task.CompletedTask;
            },
        };
        await using TestHost cut = await TestHost.StartAsync(engine, replies: new ServedReplies(Hermes, ScriptedVocabulary.Instance.ControlTokens));
        JsonElement end = (await cut.PostJsonAsync(Path, $"{{{Hi},{Tools}}}")).GetProperty("choices")[0];
        Assert.Equal(("length", "", "Hm"), (end.GetProperty("finish_reason").GetString(), end.GetProperty("message").GetProperty("content").GetString(),
            end.GetProperty("message").GetProperty("reasoning_content").GetString()));
    }

    [Fact]
    public async Task Without_tools_a_call_is_text_and_a_name_that_is_not_offered_is_no_call()
    {
        const string Call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
        await using TestHost host = await StartAsync(Call);
        foreach (string fields in (string[])["", $",{Tools},\"tool_choice\":\"none\"",
            $",{Tools},\"tool_choice\":{{\"type\":\"allowed_tools\",\"allowed_tools\":{{\"mode\":\"auto\",\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"weather\"}}}}]}}}}"])
        {
            JsonElement choice = (await host.PostJsonAsync(Path, $"{{{Hi}{fields}}}")).GetProperty("choices")[0];
            Assert.Equal(("stop", Call), (choice.GetProperty("finish_reason").GetString(), choice.GetProperty("message").GetProperty("content").GetString()));
        }
    }

    [Theory]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a b"}}]}""", "tools[0].function.name")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"a"}}]}""", "tools[1].function.name")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a","parameters":7}}]}""", "tools[0].function.parameters")]
    [InlineData("""{"tool_choice":"required"}""", "tool_choice")]
    [InlineData("""{"tool_choice":"sometimes"}""", "tool_choice")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":{"type":"function","function":{"name":"b"}}}""", "tool_choice.function.name")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"b"}}]}}}""", "tool_choice.allowed_tools.tools[0].function.name")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b","strict":true,"parameters":{"type":"object","properties":{"x":{"type":"array","uniqueItems":true}}}}}]}""", "tools[1].function.parameters.properties.x.uniqueItems")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a","parameters":{"type":"integer"}}}],"tool_choice":"required"}""", "tools[0].function.parameters")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a"}}],"ignore_eos":true}""", "ignore_eos")]
    [InlineData("""{"tools":[{"type":"function","function":{"name":"a"}}],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":7}}}}""", "response_format.json_schema.schema.type")]
    public async Task What_is_wrong_with_tools_or_cannot_be_enforced_is_named(string fields, string param)
    {
        await using TestHost host = await StartAsync("x");
        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},{fields[1..^1]}}}");
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal((400, param), ((int)answer.StatusCode, error.GetProperty("param").GetString()));
    }
}

/// <summary>Calls in the history that no template could make sense of.</summary>
public sealed class CallHistoryTests
{
    [Theory]
    [InlineData("{}", "\"c2\"", "messages[2].tool_call_id")]
    [InlineData("{}", "\"c1\"", null)]
    public async Task A_malformed_call_and_an_answer_to_none_are_named(string arguments, string answered, string? param)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions", "{\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
            + $"{{\"role\":\"assistant\",\"tool_calls\":[{{\"id\":\"c1\",\"type\":\"function\",\"function\":{{\"name\":\"f\",\"arguments\":{JsonSerializer.Serialize(arguments)}}}}}]}},"
            + $"{{\"role\":\"tool\",\"tool_call_id\":{answered},\"content\":\"r\"}}]}}");
        if (param is null)
            Assert.True(answer.IsSuccessStatusCode);
        else
            await ErrorTests.AssertErrorAsync(answer, 400, param, "invalid_value");
    }
}

/// <summary>A streamed chat completion, its deltas joined.</summary>
internal sealed record StreamedReply(string Content, string Reasoning, IReadOnlyList<(string Id, string Name, string Arguments)> Calls, string Finish, int ReasoningTokens)
{
    /// <summary>The same of a reply that was not streamed.</summary>
    public static StreamedReply OfWhole(JsonElement completion)
    {
        JsonElement choice = completion.GetProperty("choices")[0], message = choice.GetProperty("message");
        JsonElement[] calls = message.TryGetProperty("tool_calls", out JsonElement made) ? [.. made.EnumerateArray()] : [];
        return new(message.GetProperty("content").GetString() ?? "", message.TryGetProperty("reasoning_content", out JsonElement thought) ? thought.GetString()! : "",
            [.. calls.Select(call => (call.GetProperty("id").GetString()!, call.GetProperty("function").GetProperty("name").GetString()!, call.GetProperty("function").GetProperty("arguments").GetString()!))],
            choice.GetProperty("finish_reason").GetString()!, completion.GetProperty("usage").GetProperty("completion_tokens_details").GetProperty("reasoning_tokens").GetInt32());
    }

    public static StreamedReply Of(string stream)
    {
        StringBuilder content = new(), reasoning = new();
        List<(string Id, string Name, string Arguments)> calls = [];
        (string finish, int reasoningTokens) = ("", 0);
        foreach (JsonElement chunk in SseReader.Chunks(stream))
        {
            if (chunk.TryGetProperty("usage", out JsonElement usage) && usage.ValueKind == JsonValueKind.Object)
                reasoningTokens = usage.GetProperty("completion_tokens_details").GetProperty("reasoning_tokens").GetInt32();
            if (chunk.GetProperty("choices").GetArrayLength() == 0)
                continue;
            JsonElement choice = chunk.GetProperty("choices")[0], delta = choice.GetProperty("delta");
            finish = choice.GetProperty("finish_reason").GetString() ?? finish;
            if (delta.TryGetProperty("content", out JsonElement said))
                content.Append(said.GetString());
            if (delta.TryGetProperty("reasoning_content", out JsonElement thought))
                reasoning.Append(thought.GetString());
            if (!delta.TryGetProperty("tool_calls", out JsonElement called))
                continue;
            JsonElement call = Assert.Single(called.EnumerateArray()), function = call.GetProperty("function");
            int index = call.GetProperty("index").GetInt32();
            if (index == calls.Count)
                calls.Add((call.GetProperty("id").GetString()!, function.GetProperty("name").GetString()!, ""));
            calls[index] = calls[index] with { Arguments = calls[index].Arguments + function.GetProperty("arguments").GetString() };
        }

        return new(content.ToString(), reasoning.ToString(), calls, finish, reasoningTokens);
    }
}
