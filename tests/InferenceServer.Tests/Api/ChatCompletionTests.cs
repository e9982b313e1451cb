using System.Text.Json;
using System.Text.RegularExpressions;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests.Api;

public sealed partial class ChatCompletionTests
{
    private const string Path = "/v1/chat/completions";

    [Fact]
    public async Task A_stream_is_byte_for_byte_what_OpenAI_sends()
    {
        FakeTimeProvider clock = new(TestHost.Created);
        ScriptedEngine engine = new() { Script = reply => reply.SayAsync("Hé", "", "llo \"<w>\"\n", "😀") };
        await using TestHost host = await TestHost.StartAsync(engine, clock);

        using HttpResponseMessage answer = await host.PostAsync(Path,
            """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}""");
        string stream = await answer.Content.ReadAsStringAsync();

        string id = IdPattern().Match(stream).Value;
        Assert.NotEmpty(id);
        const string Before = "\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"scripted\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_test\"";
        string head = $"data: {{\"id\":\"{id}\",{Before},\"choices\":[";
        string expected =
            head + "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
            + head + "{\"index\":0,\"delta\":{\"content\":\"Hé\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
            + head + "{\"index\":0,\"delta\":{\"content\":\"llo \\\"<w>\\\"\\n\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
            + head + "{\"index\":0,\"delta\":{\"content\":\"\\uD83D\\uDE00\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
            + head + "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
            + head + "],\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":4,\"total_tokens\":25,\"prompt_tokens_details\":{\"cached_tokens\":3,\"audio_tokens\":0},"
            + "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0,\"audio_tokens\":0}}}\n\n"
            + "data: [DONE]\n\n";
        Assert.Equal(expected, stream);
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType!.MediaType);
        Assert.StartsWith("req_", answer.Headers.GetValues("x-request-id").Single(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_answer_in_one_piece_joins_text_that_was_held_back_and_counts_tokens()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("one ");
                reply.Token("");
                reply.Finish(FinishReason.Length, heldBack: "two", cached: 7);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        JsonElement answer = await host.PostJsonAsync(Path, """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"metadata":{"a":"b"}}""");

        JsonElement choice = answer.GetProperty("choices")[0];
        Assert.Equal("one two", choice.GetProperty("message").GetProperty("content").GetString());
        Assert.Equal(JsonValueKind.Null, choice.GetProperty("message").GetProperty("refusal").ValueKind);
        Assert.Equal("length", choice.GetProperty("finish_reason").GetString());
        Assert.Equal(JsonValueKind.Null, choice.GetProperty("logprobs").ValueKind);
        Assert.Equal("chat.completion", answer.GetProperty("object").GetString());
        Assert.Equal(7, answer.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
        Assert.Equal(2, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        Assert.Equal("b", answer.GetProperty("metadata").GetProperty("a").GetString());
    }

    [Fact]
    public async Task Every_field_reaches_the_engine_as_it_was_meant()
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpRequestMessage request = new(HttpMethod.Post, Path)
        {
            Content = new StringContent("""
                {"model":"scripted","messages":[{"role":"developer","content":[{"type":"text","text":"A"},{"type":"text","text":"B"}]}],
                 "max_completion_tokens":5,"max_tokens":9,"stop":["x","y"],"seed":-1,"temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.1,"typical_p":0.8,"top_n_sigma":2,"xtc_probability":0.5,"xtc_threshold":0.2,"dry_multiplier":0.8,"dry_base":2,"dry_allowed_length":3,"dry_penalty_last_n":64,"dry_sequence_breakers":["a"],
                 "presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.1,"logit_bias":{"65":-100},"ignore_eos":true,"logprobs":true,
                 "top_logprobs":2,"service_tier":"priority","timeout_ms":5000,"cache_salt":"s","prompt_cache_key":"k","user":"u",
                 "prediction":{"type":"content","content":"AB"},"tools":[],"tool_choice":"none","response_format":{"type":"text"},"surprise":1}
                """, System.Text.Encoding.UTF8, "application/json"),
        };
        request.Headers.Add("X-Session-Id", "session");
        request.Headers.Add("X-Request-Timeout-Ms", "4000");
        request.Headers.Add("X-Request-Id", "mine-1");

        using HttpResponseMessage answer = await host.Client.SendAsync(request);

        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        Assert.Equal("surprise", answer.Headers.GetValues("x-ignored-params").Single());
        Assert.Equal("mine-1", answer.Headers.GetValues("x-request-id").Single());
        GenerationRequest got = Assert.Single(engine.Submitted).Request;
        Assert.Equal("AB"u8.ToArray().Select(b => (int)b), got.PredictedTokens.ToArray());
        Assert.Equal((5, true, "s", "session", "u"), (got.MaxTokens, got.IgnoreEndOfGeneration, got.CacheNamespace, got.SessionId, got.FairnessKey));
        Assert.Equal((RequestPriority.Priority, TimeSpan.FromSeconds(4)), (got.Priority, got.Timeout));
        Assert.Equal(["x", "y"], got.StopStrings);
        SamplingOptions sampling = got.Sampling;
        Assert.Equal((0.5f, 0.9f, 7, 0.1f, 0.8f), (sampling.Temperature, sampling.TopP, sampling.TopK, sampling.MinP, sampling.TypicalP));
        Assert.Equal(new DryOptions(0.8f, 2, 3, 64) { Breakers = sampling.Dry.Breakers }, sampling.Dry);
        Assert.Equal(['a'], sampling.Dry.Breakers.Select(token => (char)token));
        Assert.Equal((2f, 0.5f, 0.2f), (sampling.TopNSigma, sampling.XtcProbability, sampling.XtcThreshold));
        Assert.Equal((1f, -1f, 1.1f, ulong.MaxValue, 2),
            (sampling.PresencePenalty, sampling.FrequencyPenalty, sampling.RepetitionPenalty, sampling.Seed, sampling.TopLogprobs));
        Assert.Equal(KeyValuePair.Create(65, -100f), Assert.Single(sampling.LogitBias));
        Assert.Equal(TestHost.ChatMl(new() { Messages = [new() { Role = ChatRole.Developer, Text = "A\nB" }] }),
            string.Concat(got.PromptTokens.ToArray().Select(ScriptedVocabulary.Instance.Text)));
    }

    [Fact]
    public async Task The_choices_of_one_request_differ_in_seed_and_share_what_the_prompt_cost()
    {
        int started = 0;
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                int number = Interlocked.Increment(ref started);
                reply.Token($"seed {reply.Request.Sampling.Seed}");
                // The first computes the whole prompt; the others only its last token.
                reply.Finish(cached: number == 1 ? 0 : reply.Request.PromptTokens.Length - 1);
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        JsonElement answer = await host.PostJsonAsync(Path, """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"n":3,"seed":10}""");

        Assert.Equal(["seed 10", "seed 11", "seed 12"],
            answer.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("message").GetProperty("content").GetString()));
        JsonElement usage = answer.GetProperty("usage");
        Assert.Equal((21, 3, 0), (usage.GetProperty("prompt_tokens").GetInt32(), usage.GetProperty("completion_tokens").GetInt32(),
            usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32()));
    }

    [Fact]
    public async Task The_choices_of_one_stream_are_interleaved_and_each_has_one_role_and_one_end()
    {
        ScriptedEngine engine = new()
        {
            Script = async reply =>
            {
                for (int i = 0; i < 5; i++)
                {
                    reply.Token($"{i}");
                    await Task.Yield();
                }

                reply.Finish();
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);

        using HttpResponseMessage answer = await host.PostAsync(Path,
            """{"model":"scripted","messages":[{"role":"user","content":"Hi"}],"n":4,"stream":true}""");
        List<JsonElement> chunks = SseReader.Chunks(await answer.Content.ReadAsStringAsync());

        for (int index = 0; index < 4; index++)
        {
            List<JsonElement> choices = [.. chunks.Select(chunk => chunk.GetProperty("choices")[0]).Where(choice => choice.GetProperty("index").GetInt32() == index)];
            Assert.Equal("assistant", choices[0].GetProperty("delta").GetProperty("role").GetString());
            Assert.Equal("01234", string.Concat(choices.Skip(1).SkipLast(1).Select(choice => choice.GetProperty("delta").GetProperty("content").GetString())));
            Assert.Equal("stop", choices[^1].GetProperty("finish_reason").GetString());
        }
    }

    [Fact]
    public async Task Log_probabilities_carry_the_bytes_of_tokens_that_are_no_whole_character()
    {
        ScriptedEngine engine = new()
        {
            Script = reply =>
            {
                reply.Token("", new TokenLogprobs(0xC3, -0.5f, [new(0xC3, -0.5f), new('a', float.NegativeInfinity)]));
                reply.Token("é", new TokenLogprobs(0xA9, -0.25f, [new(0xA9, -0.25f)]));
                reply.Finish();
                return Task.CompletedTask;
            },
        };
        await using TestHost host = await TestHost.StartAsync(engine);
        const string Body = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"logprobs\":true,\"top_logprobs\":2";

        JsonElement answer = await host.PostJsonAsync(Path, $"{{{Body}}}");
        JsonElement content = answer.GetProperty("choices")[0].GetProperty("logprobs").GetProperty("content");
        using HttpResponseMessage streamed = await host.PostAsync(Path, $"{{{Body},\"stream\":true}}");
        List<JsonElement> chunks = SseReader.Chunks(await streamed.Content.ReadAsStringAsync());

        Assert.Equal(2, content.GetArrayLength());
        Assert.Equal("[195]", content[0].GetProperty("bytes").GetRawText());
        Assert.Equal("\uFFFD", content[0].GetProperty("token").GetString());
        Assert.Equal(-9999, content[0].GetProperty("top_logprobs")[1].GetProperty("logprob").GetSingle());
        string[] inStream = [.. chunks.SelectMany(chunk => chunk.GetProperty("choices").EnumerateArray()).Select(choice => choice.GetProperty("logprobs"))
            .Where(logprobs => logprobs.ValueKind == JsonValueKind.Object).Select(logprobs => logprobs.GetProperty("content")[0].GetRawText())];
        Assert.Equal(content.EnumerateArray().Select(token => token.GetRawText()), inStream);
    }

    [GeneratedRegex("chatcmpl-[0-9a-f]{32}")]
    private static partial Regex IdPattern();
}
