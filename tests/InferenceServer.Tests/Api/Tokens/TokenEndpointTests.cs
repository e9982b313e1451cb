using System.Text.Json;

namespace InferenceServer.Tests.Api.Tokens;

/// <summary>Texts to tokens and back over HTTP, with llama-server's field names.</summary>
public sealed class TokenEndpointTests(TinyServer server) : IClassFixture<TinyServer>
{
    private string ModelId => server.Model.Id;

    private static int[] Ids(JsonElement answer) => [.. answer.GetProperty("tokens").EnumerateArray().Select(token => token.GetInt32())];

    [Fact]
    public async Task A_text_comes_back_from_its_tokens()
    {
        const string Text = "Grüße, <|im_start|> 😀";
        JsonElement tokens = await server.Host.PostJsonAsync("/tokenize", JsonSerializer.Serialize(new { content = Text }));
        Assert.Equal(server.Model.Vocabulary.Tokenize(Text, false, true), Ids(tokens));
        JsonElement text = await server.Host.PostJsonAsync("/detokenize", $$"""{"tokens":{{tokens.GetProperty("tokens")}},"model":"{{ModelId}}"}""");
        Assert.Equal(Text, text.GetProperty("content").GetString());
    }

    [Fact]
    public async Task Control_tokens_are_plain_text_where_the_request_says_so()
    {
        JsonElement parsed = await server.Host.PostJsonAsync("/tokenize", """{"content":"<|im_end|>"}""");
        JsonElement plain = await server.Host.PostJsonAsync("/tokenize", """{"content":"<|im_end|>","parse_special":false}""");
        Assert.Single(Ids(parsed));
        Assert.Equal(10, Ids(plain).Length);
    }

    [Fact]
    public async Task A_piece_that_is_no_whole_character_is_given_as_bytes()
    {
        JsonElement answer = await server.Host.PostJsonAsync("/tokenize", """{"content":"aé","with_pieces":true}""");
        JsonElement[] tokens = [.. answer.GetProperty("tokens").EnumerateArray()];
        Assert.Equal("a", tokens[0].GetProperty("piece").GetString());
        Assert.Equal([0xC3, 0xA9], tokens[1..].Select(token => token.GetProperty("piece")[0].GetInt32()));
        Assert.Equal(tokens.Select(token => token.GetProperty("id").GetInt32()), server.Model.Vocabulary.Tokenize("aé", false, true));
    }

    [Fact]
    public async Task The_count_and_the_rendered_prompt_are_those_of_the_chat()
    {
        string body = $$"""{"model":"{{ModelId}}","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"max_tokens":1}""";
        JsonElement reply = await server.Host.PostJsonAsync("/v1/chat/completions", body);
        JsonElement count = await server.Host.PostJsonAsync("/v1/chat/completions/input_tokens", body);
        JsonElement prompt = await server.Host.PostJsonAsync("/apply-template", body);
        Assert.Equal("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", prompt.GetProperty("prompt").GetString());
        Assert.Equal(reply.GetProperty("usage").GetProperty("prompt_tokens").GetInt32(), count.GetProperty("input_tokens").GetInt32());
    }

    [Theory]
    [InlineData("/tokenize", "{}", "content")]
    [InlineData("/tokenize", "{\"content\":1}", "content")]
    [InlineData("/tokenize", "{\"content\":\"x\",\"with_pieces\":\"yes\"}", "with_pieces")]
    [InlineData("/detokenize", "{\"tokens\":[1,-1]}", "tokens[1]")]
    [InlineData("/detokenize", "{\"tokens\":[1,999999]}", "tokens[1]")]
    [InlineData("/detokenize", "{\"tokens\":\"x\"}", "tokens")]
    [InlineData("/apply-template", "{\"messages\":[]}", "messages")]
    public async Task What_is_wrong_is_named(string path, string body, string param)
    {
        using HttpResponseMessage answer = await server.Host.PostAsync(path, body);
        Assert.Equal(System.Net.HttpStatusCode.BadRequest, answer.StatusCode);
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal(param, error.GetProperty("param").GetString());
    }

    [Fact]
    public async Task An_unknown_field_is_reported_and_another_model_is_not_found()
    {
        using HttpResponseMessage answer = await server.Host.PostAsync("/tokenize", """{"content":"x","surprise":1}""");
        Assert.Equal("surprise", answer.Headers.GetValues("x-ignored-params").Single());
        using HttpResponseMessage other = await server.Host.PostAsync("/tokenize", """{"content":"x","model":"other"}""");
        Assert.Equal(System.Net.HttpStatusCode.NotFound, other.StatusCode);
    }
}
