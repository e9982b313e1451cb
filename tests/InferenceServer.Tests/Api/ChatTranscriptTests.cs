using System.Text.RegularExpressions;
using InferenceServer.Models;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api;

/// <summary>A streamed chat with reasoning and calls, byte for byte. The other dialects' transcripts stand with their own tests.</summary>
public sealed partial class ChatTranscriptTests
{
    [Fact]
    public async Task Reasoning_content_and_calls_are_the_chunks_that_OpenAIs_clients_put_together()
    {
        ScriptedEngine engine = new()
        {
            Script = reply => reply.SayAsync("<think>", "\nHm", ".\n</think>", "\n\nOne \"moment\"", ".\n", "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>"),
        };
        await using TestHost host = await TestHost.StartAsync(engine, new FakeTimeProvider(TestHost.Created),
            replies: new ServedReplies(ToolTests.Hermes, ScriptedVocabulary.Instance.ControlTokens));
        using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions", """
            {"model":"scripted","messages":[{"role":"user","content":"Hi"}],"stream":true,
             "tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]}
            """);
        string stream = IdPattern().Replace(await answer.Content.ReadAsStringAsync(), match => match.Groups[1].Value);

        const string Head = "data: {\"id\":\"chatcmpl\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"scripted\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_test\",\"choices\":[{\"index\":0,\"delta\":";
        string[] deltas =
        [
            "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}",
            "{\"reasoning_content\":\"Hm\"}",
            "{\"reasoning_content\":\".\"}",
            "{\"content\":\"One \\\"moment\\\"\"}",
            "{\"content\":\".\"}",
            "{\"tool_calls\":[{\"index\":0,\"id\":\"call\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":\"\"}}]}",
            "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\": \\\"Zürich\\\"}\"}}]}",
        ];
        Assert.Equal(
            string.Concat(deltas.Select(delta => $"{Head}{delta},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"))
            + Head + "{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n", stream);
    }

    [GeneratedRegex("(chatcmpl|call)[-_][0-9a-f]{24,32}")]
    private static partial Regex IdPattern();
}
