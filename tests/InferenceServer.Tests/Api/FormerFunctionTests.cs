using System.Text;
using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api;

/// <summary>OpenAI's terms before tools: functions in, function_call out.</summary>
public sealed class FormerFunctionTests
{
    private const string Path = "/v1/chat/completions";
    private const string Hi = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";
    private const string Functions = "\"functions\":[{\"name\":\"now\",\"description\":\"D\",\"parameters\":{\"type\":\"object\",\"properties\":{\"zone\":{\"enum\":[\"utc\"]}}}}]";
    private const string Call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": \"utc\"}}\n</tool_call>";

    private static Task<TestHost> StartAsync(ScriptedEngine engine) => TestHost.StartAsync(engine, replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));

    private static ScriptedEngine Saying(string text) => new() { Script = reply => reply.SayAsync([.. text.Select(c => c.ToString())]) };

    [Fact]
    public async Task A_call_is_answered_as_function_call_whole_and_streamed()
    {
        ScriptedEngine engine = Saying(Call);
        await using TestHost host = await StartAsync(engine);
        JsonElement choice = (await host.PostJsonAsync(Path, $"{{{Hi},{Functions},\"function_call\":{{\"name\":\"now\"}}}}")).GetProperty("choices")[0], message = choice.GetProperty("message");
        Assert.Equal(("stop", "now", "{\"zone\": \"utc\"}"), (choice.GetProperty("finish_reason").GetString(),
            message.GetProperty("function_call").GetProperty("name").GetString(), message.GetProperty("function_call").GetProperty("arguments").GetString()));
        Assert.False(message.TryGetProperty("tool_calls", out _));
        Assert.NotNull(engine.Submitted.First().Request.Constraint);

        using HttpResponseMessage answer = await host.PostAsync(Path, $"{{{Hi},{Functions},\"stream\":true}}");
        StringBuilder arguments = new();
        (string name, string finish) = ("", "");
        foreach (JsonElement chunk in SseReader.Chunks(await answer.Content.ReadAsStringAsync()).Select(chunk => chunk.GetProperty("choices")[0]))
        {
            finish = chunk.GetProperty("finish_reason").GetString() ?? finish;
            if (!chunk.GetProperty("delta").TryGetProperty("function_call", out JsonElement call))
                continue;
            name += call.TryGetProperty("name", out JsonElement part) ? part.GetString() : "";
            arguments.Append(call.GetProperty("arguments").GetString());
        }

        Assert.Equal(("now", "{\"zone\": \"utc\"}", "function_call"), (name, arguments.ToString(), finish));
    }

    [Fact]
    public async Task The_history_may_be_in_these_terms()
    {
        await using TestHost host = await StartAsync(Saying("Fine."));
        JsonElement choice = (await host.PostJsonAsync(Path,
            $"{{\"model\":\"scripted\",{Functions},\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}},{{\"role\":\"assistant\",\"content\":null,\"function_call\":{{\"name\":\"now\",\"arguments\":\"{{}}\"}}}},{{\"role\":\"function\",\"name\":\"now\",\"content\":\"noon\"}}]}}")).GetProperty("choices")[0];
        Assert.Equal(("stop", "Fine."), (choice.GetProperty("finish_reason").GetString(), choice.GetProperty("message").GetProperty("content").GetString()));
    }

    [Theory]
    [InlineData("\"function_call\":{\"name\":\"later\"}", "function_call.name")]
    [InlineData("\"function_call\":\"required\"", "function_call")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}}]", "functions")]
    [InlineData("\"tool_choice\":\"auto\"", "functions")]
    public async Task What_is_wrong_is_named(string fields, string param)
    {
        await using TestHost host = await StartAsync(Saying("x"));
        await ErrorTests.AssertErrorAsync(await host.PostAsync(Path, $"{{{Hi},{Functions},{fields}}}"), 400, param, "invalid_value");
    }

    [Theory]
    [InlineData("{\"role\":\"function\",\"name\":\"now\",\"content\":\"x\"}", "messages[0].role")]
    public async Task What_is_wrong_with_the_history_is_named(string message, string param)
    {
        await using TestHost host = await StartAsync(Saying("x"));
        await ErrorTests.AssertErrorAsync(await host.PostAsync(Path, $"{{\"model\":\"scripted\",\"messages\":[{message}]}}"), 400, param, "invalid_value");
    }
}
