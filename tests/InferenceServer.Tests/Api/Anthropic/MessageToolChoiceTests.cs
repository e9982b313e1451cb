using System.Text.Json;

namespace InferenceServer.Tests.Api.Anthropic;

/// <summary>Calls that a request asks for, on a random model: they come, one alone where that is wanted, and hold to their schema. Ollama's tools are held the same way.</summary>
public sealed class MessageToolChoiceTests(EnforcedJsonCallTests.Server server) : IClassFixture<EnforcedJsonCallTests.Server>
{
    private const string Schema = """{"type":"object","properties":{"code":{"enum":["aa","bb"]}},"required":["code"],"additionalProperties":false}""";
    private const string Tools = "\"tools\":[{\"name\":\"note\",\"strict\":true,\"input_schema\":" + Schema + "},{\"name\":\"mark\",\"input_schema\":" + Schema + "}]";

    private async Task<JsonElement[]> AskAsync(string choice)
    {
        JsonElement message = await server.Host.PostJsonAsync("/v1/messages",
            $"{{\"model\":\"{server.Model.Id}\",\"max_tokens\":2000,\"messages\":[{{\"role\":\"user\",\"content\":\"Go\"}}],{Tools},\"tool_choice\":{choice}}}");
        Assert.Equal("tool_use", message.GetProperty("stop_reason").GetString());
        JsonElement[] blocks = [.. message.GetProperty("content").EnumerateArray()];
        foreach (JsonElement block in blocks)
        {
            Assert.Equal("tool_use", block.GetProperty("type").GetString());
            Assert.Contains(block.GetProperty("input").GetProperty("code").GetString(), (string[])["aa", "bb"]);
            Assert.Single(block.GetProperty("input").EnumerateObject());
        }

        return blocks;
    }

    [Fact]
    public async Task Tool_choice_any_brings_calls_and_one_alone_where_parallel_use_is_disabled()
    {
        for (int i = 0; i < 4; i++)
            Assert.Single(await AskAsync("{\"type\":\"any\",\"disable_parallel_tool_use\":true}"));
    }

    [Fact]
    public async Task A_named_tool_is_the_one_that_is_called()
    {
        for (int i = 0; i < 4; i++)
            Assert.Equal("mark", Assert.Single(await AskAsync("{\"type\":\"tool\",\"name\":\"mark\"}")).GetProperty("name").GetString());
    }

    [Fact]
    public async Task A_streamed_call_is_one_tool_use_block_whose_pieces_are_its_input()
    {
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/messages",
            $"{{\"model\":\"{server.Model.Id}\",\"max_tokens\":2000,\"messages\":[{{\"role\":\"user\",\"content\":\"Go\"}}],{Tools},\"tool_choice\":{{\"type\":\"tool\",\"name\":\"note\"}},\"stream\":true}}");
        JsonElement[] events = [.. (await answer.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries)
            .Select(sent => JsonDocument.Parse(sent[(sent.IndexOf("\ndata: ", StringComparison.Ordinal) + 7)..]).RootElement)];
        JsonElement begun = Assert.Single(events, sent => sent.GetProperty("type").GetString() == "content_block_start").GetProperty("content_block");
        Assert.Equal(("tool_use", "note"), (begun.GetProperty("type").GetString(), begun.GetProperty("name").GetString()));
        string input = string.Concat(events.Where(sent => sent.GetProperty("type").GetString() == "content_block_delta").Select(sent => sent.GetProperty("delta").GetProperty("partial_json").GetString()));
        Assert.Contains(JsonDocument.Parse(input).RootElement.GetProperty("code").GetString(), (string[])["aa", "bb"]);
    }
}
