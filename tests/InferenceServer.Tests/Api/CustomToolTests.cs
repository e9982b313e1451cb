using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api;

/// <summary>OpenAI's custom tools in chats: functions with one text as their input, offered, called, answered and streamed under their own names.</summary>
public sealed class CustomToolTests
{
    private const string Path = "/v1/chat/completions";
    private const string Tools = """
        "tools":[{"type":"custom","custom":{"name":"patch","description":"Changes files.","format":{"type":"text"}}},{"type":"function","function":{"name":"read"}}]
        """;
    private const string Input = "*** Begin\n\"é\"\n";

    private static readonly string Call = $"<tool_call>\n{{\"name\": \"patch\", \"arguments\": {{\"input\": {JsonSerializer.Serialize(Input)}}}}}\n</tool_call>";

    private static Task<TestHost> StartAsync(params string[] said) => TestHost.StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync(said) },
        replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));

    private static string Body(string members) => $$"""{"model":"scripted","messages":[{"role":"user","content":"Hi"}],{{Tools}}{{members}}}""";

    [Fact]
    public async Task A_call_of_a_custom_tool_is_answered_as_one_with_its_text()
    {
        await using TestHost host = await StartAsync(Call);
        JsonElement choice = (await host.PostJsonAsync(Path, Body(""))).GetProperty("choices")[0];
        JsonElement call = Assert.Single(choice.GetProperty("message").GetProperty("tool_calls").EnumerateArray());
        Assert.Equal(("custom", "patch", Input, false), (call.GetProperty("type").GetString(), call.GetProperty("custom").GetProperty("name").GetString(),
            call.GetProperty("custom").GetProperty("input").GetString(), call.TryGetProperty("function", out _)));
        Assert.Equal("tool_calls", choice.GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task A_stream_gives_the_text_and_no_piece_of_the_JSON_around_it()
    {
        await using TestHost host = await StartAsync([.. Call.Chunk(7).Select(piece => new string(piece))]);
        (string name, string input, string finish) = await ReadAsync(host, Body(",\"stream\":true"));
        Assert.Equal(("patch", Input, "tool_calls"), (name, input, finish));
    }

    [Fact]
    public async Task A_stream_that_is_cut_within_a_call_gives_what_there_is()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("<tool_call>\n{\"name\": \"patch\", \"arguments\": {\"input\": \"half");
                reply.Finish(FinishReason.Length);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));
        (string name, string input, string finish) = await ReadAsync(host, Body(",\"stream\":true"));
        Assert.Equal(("patch", true, "length"), (name, input.Contains("half", StringComparison.Ordinal), finish));
    }

    [Fact]
    public async Task A_custom_call_and_its_result_come_back_in_the_history_and_may_be_chosen()
    {
        await using TestHost host = await StartAsync("Done.");
        using HttpResponseMessage answer = await host.PostAsync(Path, $$"""
            {"model":"scripted","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"custom","custom":{"name":"patch","input":"a\nb"} }]},
            {"role":"tool","tool_call_id":"c1","content":"ok"}],{{Tools}},"tool_choice":"auto"}
            """);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        Assert.False(answer.Headers.Contains("x-ignored-params"));
        await using TestHost calls = await StartAsync(Call);
        foreach (string choice in (string[])["""{"type":"custom","custom":{"name":"patch"}}""", """{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"custom","custom":{"name":"patch"}}]}}"""])
            Assert.Equal("patch", (await calls.PostJsonAsync(Path, Body($",\"tool_choice\":{choice}"))).GetProperty("choices")[0].GetProperty("message").GetProperty("tool_calls")[0].GetProperty("custom").GetProperty("name").GetString());
    }

    private static async Task<(string Name, string Input, string Finish)> ReadAsync(TestHost host, string body)
    {
        using HttpResponseMessage answer = await host.PostAsync(Path, body);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        (string name, string input, string finish) = ("", "", "");
        foreach (JsonElement chunk in text.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonDocument.Parse(line[6..]).RootElement))
        {
            JsonElement choice = chunk.GetProperty("choices")[0];
            finish = choice.GetProperty("finish_reason").GetString() ?? finish;
            if (!choice.GetProperty("delta").TryGetProperty("tool_calls", out JsonElement calls))
                continue;
            Assert.False(calls[0].TryGetProperty("function", out _), "a custom call is answered as a function's");
            JsonElement custom = calls[0].GetProperty("custom");
            name += custom.TryGetProperty("name", out JsonElement named) ? named.GetString() : "";
            input += custom.GetProperty("input").GetString();
        }

        return (name, input, finish);
    }
}
