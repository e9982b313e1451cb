using System.Text;
using System.Text.Json;
using InferenceServer.Tests.Api.Responses;

namespace InferenceServer.Tests.Api.Feedback;

/// <summary>
/// Exports against the files that the trainer's tests train on: what one writes the other reads. Written anew with INFERENCE_SERVER_WRITE_DOCS=1.
/// </summary>
public sealed class FeedbackExportTests
{
    private static readonly (string Question, string Good, string Bad)[] Dialogues =
    [
        ("What colour is the sky?", "The sky is blue.", "The sky is a soup."), ("Name an animal with a trunk.", "An elephant has a trunk.", "A fish, a fish, a fish."),
        ("Say hello to \"Zoë\" & <Bob>.", "Hello, Zoë & Bob!", "No."), ("What do bees make?", "Bees make honey.", "Bees make noise\nand more noise."),
    ];

    private static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;

    private static string Quote(string text) => JsonSerializer.Serialize(text);

    private static string FixtureOf(string format) => Path.Combine(SharedFolder.RepositoryRoot, "tests", "InferenceServer.Training.Tests", "feedback", $"{format}.jsonl");

    /// <summary>A server that was told all kinds of things; replies say what the test wants next.</summary>
    private static async Task<ResponseHost> ToldAsync()
    {
        string next = "";
        ResponseHost host = await ResponseHost.StartAsync(new ScriptedEngine { Script = reply => reply.SayAsync(next) });
        for (int i = 0; i < Dialogues.Length; i++)
        {
            (string question, string good, string bad) = Dialogues[i];
            string better = await SayAsync(good, $"\"instructions\":\"Answer briefly.\",\"input\":{Quote(question)}");
            string worse = await SayAsync(bad, $"\"instructions\":\"Answer briefly.\",\"input\":{Quote(question)}");
            if (i == 0)
                _ = await GiveAsync($"\"kind\":\"comparison\",\"chosen\":\"{better}\",\"rejected\":\"{worse}\"");
            else if (i == 1)
                _ = await GiveAsync($"\"kind\":\"edit\",\"response_id\":\"{worse}\",\"ideal\":{Quote(good)}");
            else
            {
                _ = await GiveAsync($"\"kind\":\"rating\",\"response_id\":\"{worse}\",\"rating\":\"down\",\"reason\":\"not for export\"");
                _ = await GiveAsync($"\"kind\":\"rating\",\"response_id\":\"{better}\",\"rating\":\"up\"");
            }
        }

        string second = await SayAsync("It is made of wood.", $"\"input\":\"And of what is a table?\",\"previous_response_id\":\"{await SayAsync("An oak is a tree.", "\"input\":\"What is an oak?\"")}\"");
        _ = await GiveAsync($"\"kind\":\"rating\",\"response_id\":\"{second}\",\"rating\":\"up\"");
        // Nothing to learn: what was cut, what calls functions, and a rating down alone.
        string cut = await SayAsync("cut", "\"input\":\"x\"");
        await host.Store.Database.WriteAsync(connection =>
        {
            using Microsoft.Data.Sqlite.SqliteCommand edit = connection.CreateCommand();
            edit.CommandText = "UPDATE responses SET body = CAST(REPLACE(CAST(body AS TEXT), '\"status\":\"completed\"', '\"status\":\"incomplete\"') AS BLOB) WHERE id = $id";
            edit.Parameters.AddWithValue("$id", cut);
            Assert.Equal(1, edit.ExecuteNonQuery());
        });
        _ = await GiveAsync($"\"kind\":\"rating\",\"response_id\":\"{cut}\",\"rating\":\"up\"");
        string called = await SayAsync("done", "\"input\":[{\"role\":\"user\",\"content\":\"y\"},{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}]");
        _ = await GiveAsync($"\"kind\":\"edit\",\"response_id\":\"{called}\",\"ideal\":\"better\"");
        _ = await GiveAsync($"\"kind\":\"rating\",\"response_id\":\"{await SayAsync("bad", "\"input\":\"z\"")}\",\"rating\":\"down\"");
        return host;

        async Task<string> SayAsync(string reply, string fields)
        {
            next = reply;
            return Id(await host.CreateAsync(fields));
        }

        Task<JsonElement> GiveAsync(string members) => host.CallAsync(HttpMethod.Post, "/v1/feedback", null, $"{{{members}}}");
    }

    private static async Task<(string Text, string? Type)> ExportAsync(ResponseHost host, string format)
    {
        using HttpResponseMessage answer = await host.Host.Client.GetAsync(new Uri($"/v1/feedback/export?format={format}", UriKind.Relative));
        Assert.True(answer.IsSuccessStatusCode);
        return (await answer.Content.ReadAsStringAsync(), answer.Content.Headers.ContentType?.MediaType);
    }

    [Fact]
    public async Task Exports_are_the_lines_that_the_trainer_is_tested_with()
    {
        await using ResponseHost host = await ToldAsync();
        foreach (string format in (string[])["sft", "dpo", "reward"])
        {
            (string text, string? type) = await ExportAsync(host, format);
            Assert.Equal("application/jsonl", type);
            if (Environment.GetEnvironmentVariable("INFERENCE_SERVER_WRITE_DOCS") is { Length: > 0 })
                await File.WriteAllTextAsync(FixtureOf(format), text, new UTF8Encoding(false));
            Assert.Equal((await File.ReadAllTextAsync(FixtureOf(format))).ReplaceLineEndings("\n"), text);
            Assert.Equal(4, text.Count(character => character == '\n'));
        }

        Assert.Equal((400, "format", "invalid_value"), await host.FailAsync(HttpMethod.Get, "/v1/feedback/export?format=csv"));
        Assert.Equal((400, "format", "invalid_value"), await host.FailAsync(HttpMethod.Get, "/v1/feedback/export"));
        JsonElement summary = await host.CallAsync(HttpMethod.Get, "/v1/feedback/summary", null);
        JsonElement model = Assert.Single(summary.GetProperty("models").EnumerateArray());
        Assert.Equal((4, 3, 2), (model.GetProperty("up").GetInt32(), model.GetProperty("down").GetInt32(), model.GetProperty("edits").GetInt32()));
        Assert.Equal(0, summary.GetProperty("comparisons").GetArrayLength());
    }

    [Fact]
    public async Task Without_feedback_an_export_is_empty()
    {
        await using ResponseHost host = await ResponseHost.StartAsync("A");
        Assert.Equal("", (await ExportAsync(host, "dpo")).Text);
    }
}
