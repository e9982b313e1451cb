using System.Text.Json;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api.Completions;

/// <summary>/v1/completions at its border to a scripted engine: what is asked of the engine, and what is made of its answers.</summary>
public sealed class CompletionTests
{
    private const string Path = "/v1/completions";

    private static TokenLogprobs Drawn(string text, float logprob) => new(ScriptedVocabulary.First(text), logprob, []);

    private static ScriptedEngine Saying(params (string Text, float Logprob)[] replies)
    {
        int next = -1;
        return new ScriptedEngine
        {
            Script = reply =>
            {
                (string text, float logprob) = replies[Interlocked.Increment(ref next) % replies.Length];
                foreach (char c in text)
                    reply.Token(c.ToString(), Drawn(c.ToString(), logprob));
                reply.Finish();
                return Task.CompletedTask;
            },
        };
    }

    private static string[] Texts(JsonElement answer) =>
        [.. answer.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("text").GetString()!)];

    [Fact]
    public async Task No_offset_points_past_the_end_of_the_text()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                foreach (char c in "Hi")
                    reply.Token(c.ToString(), Drawn(c.ToString(), -1));
                // What a stop string cut off, and what ended the reply.
                foreach (char c in "###")
                    reply.Token("", Drawn(c.ToString(), -1));
                reply.Finish();
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        JsonElement choice = (await host.PostJsonAsync(Path, """{"model":"scripted","prompt":"abc","echo":false,"logprobs":0}""")).GetProperty("choices")[0];
        Assert.Equal("Hi", choice.GetProperty("text").GetString());
        Assert.Equal([0, 1, 2, 2, 2], choice.GetProperty("logprobs").GetProperty("text_offset").EnumerateArray().Select(offset => offset.GetInt32()));

        using HttpResponseMessage streamed = await host.PostAsync(Path, """{"model":"scripted","prompt":"abc","echo":false,"logprobs":0,"stream":true}""");
        JsonElement[] chunks = [.. (await streamed.Content.ReadAsStringAsync()).Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonDocument.Parse(line[6..]).RootElement.GetProperty("choices")[0])];
        JsonElement[] parts = [.. chunks.Select(chunk => chunk.GetProperty("logprobs")).Where(logprobs => logprobs.ValueKind == JsonValueKind.Object)];
        Assert.Equal([0, 1, 2, 2, 2], parts.SelectMany(part => part.GetProperty("text_offset").EnumerateArray()).Select(offset => offset.GetInt32()));
        Assert.Equal(["H", "i", "#", "#", "#"], parts.SelectMany(part => part.GetProperty("tokens").EnumerateArray()).Select(token => token.GetString()));
    }

    [Theory]
    [InlineData("<s>Hi", true, 3)]
    [InlineData("Hi", true, 3)]
    [InlineData("<s>Hi", false, 6)]
    public async Task A_text_that_begins_with_the_beginning_token_gets_no_second_one(string prompt, bool parses, int tokens)
    {
        ScriptedEngine engine = new();
        ServedVocabulary plain = ScriptedVocabulary.Instance;
        ServedVocabulary adding = plain with
        {
            AddBos = true,
            Tokenize = (text, special, parse) => special ? [ScriptedVocabulary.Bos, .. plain.Tokenize(text, false, parse)] : plain.Tokenize(text, false, parse),
        };
        await using TestHost host = await TestHost.StartAsync(engine.AsMarked() with { Vocabulary = adding });
        await host.PostJsonAsync(Path, $$"""{"model":"scripted","prompt":"{{prompt}}","parse_special":{{(parses ? "true" : "false")}}}""");
        int[] sent = engine.Submitted.Single().Request.PromptTokens.ToArray();
        Assert.Equal((tokens, 1), (sent.Length, sent.Count(token => token == ScriptedVocabulary.Bos)));
    }

    [Theory]
    [InlineData("\"Hi\"", new[] { "Hi" })]
    [InlineData("[\"Hi\",\"Ho\"]", new[] { "Hi", "Ho" })]
    [InlineData("[72,105]", new[] { "Hi" })]
    [InlineData("[[72,105],[72,111]]", new[] { "Hi", "Ho" })]
    public async Task A_prompt_may_be_a_text_texts_tokens_or_token_arrays_and_is_echoed_as_what_it_reads(string prompt, string[] read)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        string body = $$"""{"model":"scripted","prompt":{{prompt}},"n":2,"echo":true""";
        JsonElement whole = await host.PostJsonAsync(Path, body + "}");
        using HttpResponseMessage streamed = await host.PostAsync(Path, body + ",\"stream\":true}");
        List<JsonElement> chunks = SseReader.Chunks(await streamed.Content.ReadAsStringAsync());

        string[] expected = [.. read.SelectMany(text => Enumerable.Repeat($"{text}Hello, world", 2))];
        Assert.Equal(expected, Texts(whole));
        Assert.Equal(Enumerable.Range(0, expected.Length), whole.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("index").GetInt32()));
        string[] joined = [.. Enumerable.Range(0, expected.Length).Select(index => string.Concat(chunks.Select(chunk => chunk.GetProperty("choices")[0])
            .Where(choice => choice.GetProperty("index").GetInt32() == index).Select(choice => choice.GetProperty("text").GetString())))];
        Assert.Equal(expected, joined);
    }

    [Fact]
    public async Task Of_best_of_choices_those_with_the_likeliest_tokens_are_kept_and_all_are_paid_for()
    {
        ScriptedEngine engine = Saying(("unlikely", -4), ("likely", -0.5f), ("long but fair enough", -1));
        await using TestHost host = await TestHost.StartAsync(engine);
        JsonElement answer = await host.PostJsonAsync(Path, """{"model":"scripted","prompt":"x","best_of":3,"n":2,"seed":7}""");

        Assert.Equal(["likely", "long but fair enough"], Texts(answer));
        Assert.All(answer.GetProperty("choices").EnumerateArray(), choice => Assert.Equal(JsonValueKind.Null, choice.GetProperty("logprobs").ValueKind));
        Assert.Equal("unlikelylikelylong but fair enough".Length, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        Assert.Equal([7UL, 8UL, 9UL], engine.Submitted.Select(generation => generation.Request.Sampling.Seed!.Value).Order());
        Assert.All(engine.Submitted, generation => Assert.Equal(0, generation.Request.Sampling.TopLogprobs));
    }

    [Fact]
    public async Task Best_of_as_many_as_n_may_be_streamed_and_asks_for_no_log_probabilities()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(Path, """{"model":"scripted","prompt":"x","best_of":2,"n":2,"stream":true}""");
        Assert.Equal(2, SseReader.Chunks(await answer.Content.ReadAsStringAsync()).Select(chunk => chunk.GetProperty("choices")[0].GetProperty("index").GetInt32()).Distinct().Count());
        Assert.All(engine.Submitted, generation => Assert.Null(generation.Request.Sampling.TopLogprobs));
    }

    [Fact]
    public async Task A_model_without_the_tokens_for_it_refuses_a_suffix_by_name()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync(Path, """{"model":"scripted","prompt":"x","suffix":"y"}""");
        JsonElement error = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
        Assert.Equal((400, "suffix", "unsupported_parameter"), ((int)answer.StatusCode, error.GetProperty("param").GetString(), error.GetProperty("code").GetString()));
        JsonElement empty = await host.PostJsonAsync(Path, """{"model":"scripted","prompt":"x","suffix":""}""");
        Assert.Equal("Hello, world", Texts(empty)[0]);
    }
}
