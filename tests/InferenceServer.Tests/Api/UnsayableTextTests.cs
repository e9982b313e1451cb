using System.Text.Json;
using InferenceServer.Engine;

namespace InferenceServer.Tests.Api;

/// <summary>What programs print and what clients cut: NUL, and half of a pair of surrogates, in messages of every role and dialect. A whole session would fail by one such result.</summary>
public sealed class UnsayableTextTests
{
    private const string Bad = "a\\u0000b\\ud83d c";
    private const string Said = "a\uFFFDb\uFFFD c";

    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"BAD"}]}""")]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"system","content":[{"type":"text","text":"BAD"}]},{"role":"user","content":"x"}]}""")]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"BAD"},{"role":"user","content":"x"}]}""")]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"BAD"}]}""")]
    [InlineData("/v1/chat/completions/input_tokens", """{"messages":[{"role":"user","content":"BAD"}]}""")]
    [InlineData("/apply-template", """{"messages":[{"role":"user","content":"BAD"}]}""")]
    [InlineData("/v1/responses", """{"model":"scripted","input":"BAD"}""")]
    [InlineData("/v1/responses", """{"model":"scripted","instructions":"BAD","input":[{"role":"user","content":"x"}]}""")]
    [InlineData("/v1/responses", """{"model":"scripted","input":[{"role":"user","content":[{"type":"input_text","text":"BAD"}]}]}""")]
    [InlineData("/v1/responses", """{"model":"scripted","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"BAD"}]}""")]
    [InlineData("/v1/responses", """{"model":"scripted","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"BAD"}]}]}""")]
    [InlineData("/v1/responses/input_tokens", """{"input":"BAD"}""")]
    [InlineData("/v1/messages", """{"model":"scripted","max_tokens":5,"system":"BAD","messages":[{"role":"user","content":"x"}]}""")]
    [InlineData("/v1/messages", """{"model":"scripted","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"BAD"}]}]}""")]
    [InlineData("/v1/messages", """{"model":"scripted","max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"BAD"}]}]}""")]
    [InlineData("/v1/messages/count_tokens", """{"messages":[{"role":"user","content":"BAD"}]}""")]
    [InlineData("/api/chat", """{"model":"scripted","stream":false,"messages":[{"role":"user","content":"BAD"}]}""")]
    [InlineData("/api/chat", """{"model":"scripted","stream":false,"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]},{"role":"tool","content":"BAD"}]}""")]
    [InlineData("/api/generate", """{"model":"scripted","stream":false,"prompt":"BAD"}""")]
    [InlineData("/api/generate", """{"model":"scripted","stream":false,"system":"BAD","prompt":"x"}""")]
    public async Task It_is_replaced_and_said_to_have_been(string path, string body)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine.AsMarked());
        using HttpResponseMessage answer = await host.PostAsync(path, body.Replace("BAD", Bad, StringComparison.Ordinal));
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        Assert.Equal("characters-replaced", Assert.Single(answer.Headers.GetValues("x-conversation-adapted")));
        if (engine.Submitted.TryPeek(out Generation? generation))
            Assert.Contains(Said, ScriptedVocabulary.Instance.Text(generation.Request.PromptTokens.ToArray()), StringComparison.Ordinal);
        else if (path == "/apply-template")
            Assert.Contains(Said, JsonDocument.Parse(text).RootElement.GetProperty("prompt").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_whole_pair_stays_a_character_beside_half_of_one_and_escapes_stay_what_they_are()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine.AsMarked());
        _ = await host.PostJsonAsync("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"\ud83d\ude00\\ud83d\"\n\ude00"}]}""");
        Assert.True(engine.Submitted.TryPeek(out Generation? generation));
        Assert.Contains("\U0001F600\\ud83d\"\n\uFFFD", ScriptedVocabulary.Instance.Text(generation.Request.PromptTokens.ToArray()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"a\u0000","messages":[{"role":"user","content":"x"}]}""", "model")]
    [InlineData("/v1/chat/completions", """{"model":"scripted","messages":[{"role":"user","content":"x","name":"a\u0000"}]}""", "messages[0].name")]
    [InlineData("/v1/completions", """{"model":"scripted","prompt":"a\u0000"}""", "prompt")]
    public async Task Names_and_raw_prompts_are_refused_with_it_as_before(string path, string body, string where)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync(path, body);
        Assert.Equal(where, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("param").GetString());
    }
}
