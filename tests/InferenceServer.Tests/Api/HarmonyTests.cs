using System.Text.Json;
using InferenceServer.Chat.Replies;
using InferenceServer.Tests.Engine.Constraints;

namespace InferenceServer.Tests.Api;

/// <summary>
/// gpt-oss's channels over HTTP, with its own template and its markers as control tokens: what text cannot spell must be opened and closed by the
/// engine, and never be shown. The model is random, so nothing but the grammar leads it there.
/// </summary>
[Collection(nameof(RunsAlone))]
public sealed class HarmonyTests(HarmonyTests.Server server) : IClassFixture<HarmonyTests.Server>
{
    private const string Weather = """{"type":"object","properties":{"city":{"type":"string","maxLength":9},"days":{"type":"integer","minimum":1,"maximum":99}},"required":["city","days"],"additionalProperties":false}""";
    private const string Tools = $"\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"weather\",\"description\":\"D\",\"parameters\":{Weather}}}}},{{\"type\":\"function\",\"function\":{{\"name\":\"now\"}}}}]";

    public sealed class Server : TinyServer
    {
        internal static string? Template => SharedFolder.Find("chat-templates") is { } folder ? File.ReadAllText(Path.Combine(folder, "openai-gpt-oss-120b.jinja")) : null;

        protected override string? ChatTemplate => Template;

        protected override IReadOnlyList<string> ControlTokens => ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"];
    }

    private async Task<StreamedReply> AskAsync(string fields, bool stream)
    {
        Skip.If(Server.Template is null, SharedFolder.AbsentReason);
        string body = $"{{\"model\":\"{server.Model.Id}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Answer\"}}],\"temperature\":2,{fields}}}";
        if (!stream)
            return Checked(StreamedReply.OfWhole(await server.Host.PostJsonAsync("/v1/chat/completions", body)));
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/chat/completions", $"{body[..^1]},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}");
        return Checked(StreamedReply.Of(await answer.Content.ReadAsStringAsync()));
    }

    private static StreamedReply Checked(StreamedReply reply)
    {
        foreach (string shown in (string[])[reply.Content, reply.Reasoning, .. reply.Calls.Select(call => call.Name + call.Arguments)])
            foreach (string marker in (string[])["<|", "|>", "analysis", "commentary", "final"])
                Assert.DoesNotContain(marker, shown, StringComparison.Ordinal);
        return reply;
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_required_call_comes_after_reasoning_that_is_kept_apart(bool stream)
    {
        int thoughtful = 0;
        HashSet<string> names = [];
        foreach (StreamedReply reply in await Task.WhenAll(Enumerable.Range(0, 8).Select(seed =>
            AskAsync($"{Tools},\"tool_choice\":\"required\",\"reasoning_budget\":12,\"seed\":{seed},\"max_tokens\":900", stream))))
        {
            (_, string name, string arguments) = Assert.Single(reply.Calls);
            names.Add(name);
            Assert.Equal(("", "tool_calls"), (reply.Content, reply.Finish));
            Assert.True(JsonWriting.IsJson(arguments) && (name == "now" ? arguments.Replace(" ", "", StringComparison.Ordinal) == "{}" : SchemaValidator.IsValid(Weather, arguments)), $"{name} {arguments}");
            Assert.Equal(reply.Reasoning.Length > 0, reply.ReasoningTokens > 0);
            thoughtful += reply.Reasoning.Length > 0 ? 1 : 0;
        }

        Assert.True(names.Count == 2 && thoughtful > 0, $"{string.Join(' ', names)}, {thoughtful} with reasoning");
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Content_goes_through_the_final_channel_and_obeys(bool stream)
    {
        for (int seed = 0; seed < 4; seed++)
        {
            StreamedReply reply = await AskAsync(
                $"\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"w\",\"schema\":{Weather}}}}},\"reasoning_budget\":12,\"seed\":{seed},\"max_tokens\":900", stream);
            Assert.Equal("stop", reply.Finish);
            Assert.True(SchemaValidator.IsValid(Weather, reply.Content), reply.Content);
        }
    }

    [SkippableFact]
    public async Task Content_streams_in_many_pieces_and_a_call_of_the_history_is_written_in_channels()
    {
        Skip.If(Server.Template is null, SharedFolder.AbsentReason);
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/chat/completions",
            $"{{\"model\":\"{server.Model.Id}\",\"stream\":true,\"seed\":1,\"max_tokens\":900,\"reasoning_budget\":5,\"choice\":[\"It rains in Oslo today\",\"The sun shines in Rome\"],\"messages\":["
            + "{\"role\":\"user\",\"content\":\"Rain?\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Oslo\\\",\\\"days\\\":1}\"}}]},"
            + $"{{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"wet\"}}]}}");
        string[] pieces = [.. SseReader.Chunks(await answer.Content.ReadAsStringAsync()).Select(chunk => chunk.GetProperty("choices")[0].GetProperty("delta"))
            .Where(delta => delta.TryGetProperty("content", out _)).Select(delta => delta.GetProperty("content").GetString()!).Where(piece => piece.Length > 0)];
        string content = string.Concat(pieces);
        Assert.True(content is "It rains in Oslo today" or "The sun shines in Rome", content);
        Assert.True(pieces.Length > 5, string.Join('|', pieces));
    }
}
