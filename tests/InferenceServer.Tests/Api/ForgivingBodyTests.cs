using System.Net;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine;

namespace InferenceServer.Tests.Api;

/// <summary>What clients in use send although no specification says so, and what must mean the same thing everywhere.</summary>
public sealed class ForgivingBodyTests
{
    private const string Chat = "/v1/chat/completions", Completions = "/v1/completions";
    private const string Hi = "\"model\":\"scripted\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]";
    private const string Prompt = "\"model\":\"scripted\",\"prompt\":\"Hi\"";

    [Theory]
    [InlineData(Chat, Hi + ",\"max_tokens\":2.0,\"n\":1.0,\"top_k\":4e1", 2)]
    [InlineData(Completions, Prompt + ",\"max_tokens\":2.0", 2)]
    [InlineData("/v1/messages", Hi + ",\"max_tokens\":2.0,\"top_k\":40.0", 2)]
    [InlineData("/v1/responses", "\"model\":\"scripted\",\"input\":\"Hi\",\"max_output_tokens\":2.0", 2)]
    [InlineData("/api/chat", Hi + ",\"options\":{\"num_predict\":2.0,\"top_k\":40.0,\"seed\":7.0}", 2)]
    [InlineData("/api/generate", Prompt + ",\"raw\":true,\"options\":{\"num_predict\":2.0}", 2)]
    [InlineData(Chat, Hi + ",\"max_tokens\":-1", 4096 - 51)]
    [InlineData(Chat, Hi + ",\"max_completion_tokens\":-1,\"max_tokens\":null", 4096 - 51)]
    [InlineData(Completions, Prompt + ",\"max_tokens\":-1", 4096 - 2)]
    [InlineData(Completions, Prompt + ",\"max_tokens\":null", 4096 - 2)]
    [InlineData(Completions, Prompt, 16)]
    public async Task A_limit_is_read_as_its_client_means_it(string path, string fields, int most)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(path, $"{{{fields}}}");
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        GenerationRequest request = engine.Submitted.Single().Request;
        Assert.Equal(most > 1000 ? 4096 - request.PromptTokens.Length : most, request.MaxTokens);
    }

    [Theory]
    [InlineData("18446744073709551615", ulong.MaxValue)]
    [InlineData("9223372036854775808", 1UL << 63)]
    [InlineData("7.0", 7UL)]
    [InlineData("-2", ulong.MaxValue - 1)]
    public async Task Every_seed_of_64_bits_is_one(string seed, ulong expected)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        (await host.PostAsync(Chat, $"{{{Hi},\"seed\":{seed}}}")).EnsureSuccessStatusCode();
        (await host.PostAsync(Completions, $"{{{Prompt},\"seed\":{seed}}}")).EnsureSuccessStatusCode();
        (await host.PostAsync("/v1/responses", $"{{\"model\":\"scripted\",\"input\":\"Hi\",\"seed\":{seed}}}")).EnsureSuccessStatusCode();
        Assert.All(engine.Submitted, generation => Assert.Equal(expected, generation.Request.Sampling.Seed));
        Assert.Equal(3, engine.Submitted.Count);
    }

    [Theory]
    [InlineData(Chat, Hi + ",\"stop\":\"\"")]
    [InlineData(Chat, Hi + ",\"stop\":[\"\"]")]
    [InlineData("/v1/messages", Hi + ",\"max_tokens\":9,\"stop_sequences\":[\"\"]")]
    [InlineData("/api/chat", Hi + ",\"options\":{\"stop\":[\"\"]}")]
    public async Task A_stop_without_a_character_stops_nothing(string path, string fields)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        (await host.PostAsync(path, $"{{{fields}}}")).EnsureSuccessStatusCode();
        Assert.Empty(engine.Submitted.Single().Request.StopStrings);
    }

    [Theory]
    [InlineData(Chat)]
    [InlineData("/api/chat")]
    public async Task A_byte_order_mark_before_the_body_is_skipped(string path)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync(path, [.. "\uFEFF"u8, .. Encoding.UTF8.GetBytes($"{{{Hi}}}")]);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Theory]
    [InlineData("/api/chat", null, HttpStatusCode.OK)]
    [InlineData("/api/chat", "application/x-www-form-urlencoded", HttpStatusCode.OK)]
    [InlineData("/api/chat", "text/plain", HttpStatusCode.UnsupportedMediaType)]
    [InlineData(Chat, null, HttpStatusCode.UnsupportedMediaType)]
    [InlineData(Chat, "application/x-www-form-urlencoded", HttpStatusCode.UnsupportedMediaType)]
    public async Task Only_where_Ollamas_users_post_by_curl_alone_a_body_needs_no_type(string path, string? type, HttpStatusCode status)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using ByteArrayContent body = new(Encoding.UTF8.GetBytes($"{{{Hi}}}"));
        if (type is not null)
            body.Headers.ContentType = new(type);
        using HttpResponseMessage answer = await host.Client.PostAsync(new Uri(path, UriKind.Relative), body);
        Assert.Equal(status, answer.StatusCode);
    }

    [Theory]
    [InlineData("scripted:latest")]
    [InlineData("Scripted")]
    [InlineData("scripted.gguf")]
    [InlineData("SCRIPTED.GGUF:latest")]
    public async Task A_model_is_known_by_each_of_its_names_everywhere(string name)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        foreach ((string path, string fields) in new[]
        {
            (Chat, Hi), (Completions, Prompt), ("/v1/messages", Hi + ",\"max_tokens\":9"), ("/v1/responses", "\"model\":\"scripted\",\"input\":\"Hi\""), ("/api/chat", Hi), ("/api/generate", Prompt),
            ("/api/show", "\"model\":\"scripted\""), ("/tokenize", "\"model\":\"scripted\",\"content\":\"Hi\""), ("/apply-template", Hi),
        })
        {
            using HttpResponseMessage answer = await host.PostAsync(path, $"{{{fields.Replace("\"scripted\"", $"\"{name}\"", StringComparison.Ordinal)}}}");
            Assert.True(answer.IsSuccessStatusCode, $"{path}: {await answer.Content.ReadAsStringAsync()}");
        }

        using HttpResponseMessage found = await host.Client.GetAsync(new Uri($"/v1/models/{name}", UriKind.Relative));
        Assert.Equal("scripted", JsonDocument.Parse(await found.Content.ReadAsStringAsync()).RootElement.GetProperty("id").GetString());
        await ErrorTests.AssertErrorAsync(await host.PostAsync(Chat, $"{{{Hi.Replace("scripted", "scripted:other", StringComparison.Ordinal)}}}"), 404, "model", "model_not_found");
    }

    [Theory]
    [InlineData("/apply-template", "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/tokenize", "\"content\":\"Hi\"")]
    [InlineData("/v1/chat/completions/input_tokens", "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/v1/messages/count_tokens", "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]")]
    [InlineData("/v1/responses/input_tokens", "\"input\":\"Hi\"")]
    public async Task What_counts_and_shows_tokens_needs_no_model_where_one_is_loaded(string path, string fields)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        using HttpResponseMessage answer = await host.PostAsync(path, $"{{{fields}}}");
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }
}
