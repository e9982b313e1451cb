using System.ClientModel;
using System.Text;
using System.Text.Json;
using InferenceServer.Tests.Engine.Constraints;
using OpenAI;
using OpenAI.Chat;

namespace InferenceServer.Tests.Api;

/// <summary>Constraints over HTTP on a random model, which pushes against the grammar at every token: whatever is asked for must come out.</summary>
[Collection(nameof(RunsAlone))]
public sealed class StructuredOutputTests(TinyServer server) : IClassFixture<TinyServer>
{
    private const string Person =
        """{"type":"object","properties":{"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":150},"tags":{"type":"array","items":{"enum":["red","grün"]},"maxItems":3}},"required":["name","age"],"additionalProperties":false}""";

    private const string Dates = """root ::= "on " [0-9]{4} "-" ("0" [1-9] | "1" [0-2]) (" at noon")? """;
    private const string DatesPattern = "on [0-9]{4}-(0[1-9]|1[0-2])( at noon)?";

    /// <summary>The constraint's fields, then how a reply is judged: a schema, or a pattern after "~".</summary>
    public static TheoryData<string, string> Constraints => new()
    {
        { With("""{"response_format":{"type":"json_schema","json_schema":{"name":"person","strict":true,"schema":PERSON}}}"""), Person },
        { With("""{"response_format":{"type":"json_schema","json_schema":{"name":"person","strict":false,"schema":PERSON}}}"""), Person },
        { With("""{"response_format":{"type":"json_schema","json_schema":{"name":"person","description":"x","schema":PERSON}}}"""), Person },
        { With("""{"response_format":{"type":"json_object","schema":PERSON}}"""), Person },
        { With("""{"grammar":QUOTEDDATES}"""), "~" + DatesPattern },
        { """{"regex":"[a-f]{3}-\\d{2,4}é?"}""", "~[a-f]{3}-[0-9]{2,4}é?" },
        { """{"choice":["yes","no","perhaps 日本"]}""", "~(yes|no|perhaps 日本)" },
        { With("""{"guided_json":PERSON}"""), Person },
        { With("""{"guided_json":QUOTEDPERSON}"""), Person },
        { With("""{"guided_grammar":QUOTEDDATES}"""), "~" + DatesPattern },
        { """{"guided_regex":"x+y"}""", "~x+y" },
        { """{"guided_choice":["a","b"]}""", "~[ab]" },
        { With("""{"structured_outputs":{"json":PERSON}}"""), Person },
        { With("""{"structured_outputs":{"grammar":QUOTEDDATES}}"""), "~" + DatesPattern },
        { """{"structured_outputs":{"regex":"x+y"}}""", "~x+y" },
        { """{"structured_outputs":{"choice":["a","b"]}}""", "~[ab]" },
    };

    private string ModelId => server.Model.Id;

    [Theory]
    [MemberData(nameof(Constraints))]
    public async Task Every_reply_obeys_whether_chatted_completed_or_streamed(string fields, string rule)
    {
        string rest = fields[1..^1];
        string[] bodies = [.. Enumerable.Range(0, 3).Select(seed => $"{rest},\"seed\":{seed},\"max_tokens\":3000")];
        await Task.WhenAll(bodies.SelectMany(body => (Task[])[JudgeAsync(ChatAsync(body), rule), JudgeAsync(CompleteAsync(body), rule), JudgeAsync(StreamAsync(body), rule)]));
    }

    [Fact]
    public async Task A_json_object_parses_or_is_the_beginning_of_one()
    {
        for (int seed = 0; seed < 4; seed++)
        {
            (string text, string finish) = await ChatAsync($"\"response_format\":{{\"type\":\"json_object\"}},\"seed\":{seed},\"max_tokens\":400");
            Assert.StartsWith("{", text, StringComparison.Ordinal);
            Assert.True(finish == "stop" ? IsJson(text) : IsBeginningOfJson(text), text);
        }
    }

    [Fact]
    public async Task A_reply_cut_short_says_length_and_one_that_is_whole_with_its_last_token_says_stop()
    {
        (string cut, string finish) = await ChatAsync("\"regex\":\"a{20}\",\"max_tokens\":7");
        Assert.Equal((new string('a', 7), "length"), (cut, finish));
        Assert.Equal((new string('a', 7), "stop"), await ChatAsync("\"regex\":\"a{7}\",\"max_tokens\":7"));
    }

    [Fact]
    public async Task Each_choice_has_a_state_of_its_own_and_every_token_its_log_probability()
    {
        JsonElement reply = await PostAsync("/v1/chat/completions",
            $"{Messages},\"n\":4,\"seed\":1,\"logprobs\":true,\"top_logprobs\":2,\"temperature\":1.5,\"regex\":\"(forced text, then )[a-z]{{6}}\"");
        JsonElement[] choices = [.. reply.GetProperty("choices").EnumerateArray()];
        Assert.Equal(4, choices.Select(TextOf).Distinct().Count());
        Assert.All(choices, choice => Assert.Matches("^forced text, then [a-z]{6}$", TextOf(choice)));
        Assert.All(choices, choice => Assert.Equal(TextOf(choice), string.Concat(choice.GetProperty("logprobs").GetProperty("content").EnumerateArray().Select(t => t.GetProperty("token").GetString()))));
    }

    [Fact]
    public async Task A_stop_string_ends_a_constrained_reply()
    {
        (string text, string finish) = await ChatAsync("\"regex\":\"[a-z]{3}, the end of it\",\"stop\":[\" end\"]");
        Assert.Matches("^[a-z]{3}, the$", text);
        Assert.Equal("stop", finish);
    }

    [Fact]
    public async Task Sampling_options_do_not_loosen_a_constraint()
    {
        foreach (string options in (string[])["\"temperature\":0", "\"top_k\":1", "\"top_p\":0.1", "\"min_p\":0.5,\"temperature\":2", "\"typical_p\":0.2", "\"repetition_penalty\":5",
            "\"logit_bias\":{\"97\":-100,\"98\":-100,\"120\":100}", "\"prediction\":{\"type\":\"content\",\"content\":\"abcdefabcdefabcdef\"}"])
        {
            (string text, string finish) = await ChatAsync($"\"regex\":\"[a-f]{{12}}\",{options}");
            Assert.Matches("^[a-f]{12}$", text);
            Assert.Equal("stop", finish);
        }
    }

    [Fact]
    public async Task A_seeded_constrained_reply_is_the_same_whether_masks_were_cached_or_not()
    {
        string body = $"\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"p\",\"schema\":{Person}}}}},\"seed\":77,\"temperature\":1.2";
        (string first, _) = await ChatAsync(body);
        Assert.Equal(first, (await ChatAsync(body)).Text);
        // The same schema spelled otherwise: compiled anew, so every mask is.
        Assert.Equal(first, (await ChatAsync(body.Replace("\"required\"", " \"required\"", StringComparison.Ordinal))).Text);
    }

    [Fact]
    public async Task The_official_client_reads_an_object_of_the_schema_it_sent()
    {
        ChatClient chat = new OpenAIClient(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Host.Client.BaseAddress!, "/v1") }).GetChatClient(ModelId);
        ChatCompletion reply = await chat.CompleteChatAsync([new UserChatMessage("Who?")], new ChatCompletionOptions
        {
            ResponseFormat = ChatResponseFormat.CreateJsonSchemaFormat("person", BinaryData.FromString(Person), "A person.", jsonSchemaIsStrict: true),
        });
        Assert.True(SchemaValidator.IsValid(Person, reply.Content[0].Text), reply.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, reply.FinishReason);
    }

    private string Messages => $"\"model\":\"{ModelId}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Answer\"}}]";

    private static string With(string fields) => fields.Replace("QUOTEDPERSON", Quote(Person), StringComparison.Ordinal)
        .Replace("QUOTEDDATES", Quote(Dates), StringComparison.Ordinal).Replace("PERSON", Person, StringComparison.Ordinal);

    private static string Quote(string text) => JsonSerializer.Serialize(text);

    private static string TextOf(JsonElement choice) => choice.GetProperty("message").GetProperty("content").GetString()!;

    private static async Task JudgeAsync(Task<(string Text, string Finish)> asked, string rule)
    {
        (string text, string finish) = await asked;
        Assert.Equal("stop", finish);
        if (rule.StartsWith('~'))
            Assert.Matches($"^{rule[1..]}$", text);
        else
            Assert.True(SchemaValidator.IsValid(rule, text), text);
    }

    private async Task<JsonElement> PostAsync(string path, string fields) => await server.Host.PostJsonAsync(path, $"{{{fields}}}");

    private async Task<(string Text, string Finish)> ChatAsync(string fields)
    {
        JsonElement choice = (await PostAsync("/v1/chat/completions", $"{Messages},{fields}")).GetProperty("choices")[0];
        return (TextOf(choice), choice.GetProperty("finish_reason").GetString()!);
    }

    private async Task<(string Text, string Finish)> CompleteAsync(string fields)
    {
        JsonElement choice = (await PostAsync("/v1/completions", $"\"model\":\"{ModelId}\",\"prompt\":\"Once\",{fields}")).GetProperty("choices")[0];
        return (choice.GetProperty("text").GetString()!, choice.GetProperty("finish_reason").GetString()!);
    }

    private async Task<(string Text, string Finish)> StreamAsync(string fields)
    {
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/chat/completions", $"{{{Messages},{fields},\"stream\":true}}");
        string finish = "";
        StringBuilder text = new();
        foreach (JsonElement chunk in SseReader.Chunks(await answer.Content.ReadAsStringAsync()))
        {
            JsonElement choice = chunk.GetProperty("choices")[0];
            if (choice.GetProperty("delta").TryGetProperty("content", out JsonElement content))
                text.Append(content.GetString());
            finish = choice.GetProperty("finish_reason").GetString() ?? finish;
        }
        return (text.ToString(), finish);
    }

    private static bool IsJson(string text)
    {
        try
        {
            using JsonDocument _ = JsonDocument.Parse(text);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Whether a reader that waits for more finds nothing wrong.</summary>
    private static bool IsBeginningOfJson(string text)
    {
        // A character cut in two was held back; an unfinished escape is for the reader to wait for.
        Utf8JsonReader reader = new(Encoding.UTF8.GetBytes(text), isFinalBlock: false, default);
        try
        {
            while (reader.Read())
            {
            }
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
