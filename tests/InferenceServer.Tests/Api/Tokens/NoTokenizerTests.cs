using System.Text.Json;

namespace InferenceServer.Tests.Api.Tokens;

/// <summary>A model without a tokenizer: what needs one is refused by name, and is no fault of the server.</summary>
public sealed class NoTokenizerTests(TokenServer server) : IClassFixture<TokenServer>
{
    [Theory]
    [InlineData("/tokenize", "\"content\":\"Hi\"")]
    [InlineData("/v1/chat/completions", "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/v1/chat/completions/input_tokens", "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/v1/completions", "\"prompt\":\"Hi\"")]
    public async Task Text_is_refused(string path, string members) =>
        await ErrorTests.AssertErrorAsync(await server.Host.PostAsync(path, $$"""{"model":{{JsonSerializer.Serialize(server.Model.Id)}},{{members}}}"""), 400, null, "no_tokenizer");

    [Fact]
    public async Task Tokens_are_continued()
    {
        JsonElement answer = await server.Host.PostJsonAsync("/v1/completions",
            $$"""{"model":{{JsonSerializer.Serialize(server.Model.Id)}},"prompt":[72,105],"max_tokens":3,"ignore_eos":true}""");
        Assert.Equal(3, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
    }
}
