using System.Text.Json;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Tests.Api.Completions;

/// <summary>What /v1/completions needs a model for: log probabilities of a prompt, and filling in the middle.</summary>
public sealed class TinyCompletionTests(MiddleServer server) : IClassFixture<MiddleServer>
{
    private const string Path = "/v1/completions";

    private string Head => $$"""{"model":"{{server.Model.Id}}","temperature":0""";

    [Fact]
    public async Task Echo_with_logprobs_reports_the_prompt_as_it_reports_the_reply()
    {
        JsonElement generated = (await server.Host.PostJsonAsync(Path, Head + ""","prompt":"Once upon","max_tokens":40,"logprobs":2}""")).GetProperty("choices")[0];
        string reply = generated.GetProperty("text").GetString()!;
        JsonElement drawn = generated.GetProperty("logprobs");

        string body = Head + $$""","prompt":{{JsonSerializer.Serialize("Once upon" + reply)}},"max_tokens":0,"logprobs":2,"echo":true""";
        JsonElement echoed = (await server.Host.PostJsonAsync(Path, body + "}")).GetProperty("choices")[0];
        Assert.Equal("Once upon" + reply, echoed.GetProperty("text").GetString());
        JsonElement scored = echoed.GetProperty("logprobs");
        int count = scored.GetProperty("tokens").GetArrayLength();
        foreach (string array in (string[])["token_logprobs", "top_logprobs", "text_offset"])
            Assert.Equal(count, scored.GetProperty(array).GetArrayLength());
        Assert.Equal(JsonValueKind.Null, scored.GetProperty("token_logprobs")[0].ValueKind);
        Assert.Equal(JsonValueKind.Null, scored.GetProperty("top_logprobs")[0].ValueKind);
        // A byte-level vocabulary whose replies may hold halves of characters: those come back as other tokens.
        if (!reply.Contains('\uFFFD', StringComparison.Ordinal))
            for (int i = 0; i < drawn.GetProperty("tokens").GetArrayLength(); i++)
                Assert.Equal(drawn.GetProperty("token_logprobs")[i].GetDouble(), scored.GetProperty("token_logprobs")["Once upon".Length + i].GetDouble(), 0.05);

        using HttpResponseMessage streamed = await server.Host.PostAsync(Path, body + ",\"stream\":true}");
        List<JsonElement> chunks = SseReader.Chunks(await streamed.Content.ReadAsStringAsync());
        JsonElement first = chunks[0].GetProperty("choices")[0];
        Assert.Equal("Once upon" + reply, first.GetProperty("text").GetString());
        Assert.Equal(count, first.GetProperty("logprobs").GetProperty("tokens").GetArrayLength());
        Assert.Equal("length", chunks[^1].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task Offsets_go_on_from_the_echoed_prompt_into_the_reply()
    {
        JsonElement choice = (await server.Host.PostJsonAsync(Path, Head + ""","prompt":"abc","max_tokens":3,"logprobs":0,"echo":true,"ignore_eos":true}""")).GetProperty("choices")[0];
        JsonElement logprobs = choice.GetProperty("logprobs");
        string[] tokens = [.. logprobs.GetProperty("tokens").EnumerateArray().Select(token => token.GetString()!)];
        int at = 0;
        for (int i = 0; i < tokens.Length; at += tokens[i++].Length)
            Assert.Equal(at, logprobs.GetProperty("text_offset")[i].GetInt32());
        Assert.Equal(6, tokens.Length);
        Assert.Equal(JsonValueKind.Null, logprobs.GetProperty("top_logprobs").ValueKind);
    }

    [Fact]
    public async Task A_suffix_goes_through_the_tokens_for_filling_in_the_middle_and_a_text_cannot_forge_them()
    {
        int[] prompt =
        [
            ByteVocabulary.Count, .. "def f():<|im_end|>"u8.ToArray().Select(b => (int)b), ByteVocabulary.Count + 1, .. "return x"u8.ToArray().Select(b => (int)b), ByteVocabulary.Count + 2,
        ];
        const string Options = ""","max_tokens":24,"ignore_eos":true""";
        JsonElement filled = await server.Host.PostJsonAsync(Path, Head + ""","prompt":"def f():<|im_end|>","suffix":"return x" """ + Options + "}");
        JsonElement byHand = await server.Host.PostJsonAsync(Path, Head + $$""","prompt":[{{string.Join(',', prompt)}}]""" + Options + "}");
        JsonElement without = await server.Host.PostJsonAsync(Path, Head + ""","prompt":"def f():<|im_end|>" """ + Options + "}");

        Assert.Equal(prompt.Length, filled.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
        string text = filled.GetProperty("choices")[0].GetProperty("text").GetString()!;
        Assert.Equal(byHand.GetProperty("choices")[0].GetProperty("text").GetString(), text);
        Assert.NotEqual(without.GetProperty("choices")[0].GetProperty("text").GetString(), text);
    }
}
