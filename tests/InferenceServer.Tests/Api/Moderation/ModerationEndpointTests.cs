using System.Net;
using System.Text.Json;
using InferenceServer.Moderation;
using InferenceServer.Tests.Spec;
using OpenAI;
using OpenAI.Moderations;

namespace InferenceServer.Tests.Api.Moderation;

/// <summary>POST /v1/moderations with the built-in rules.</summary>
public sealed class ModerationEndpointTests
{
    private const string Path = "/v1/moderations";

    private static async Task<JsonElement> FailAsync(TestHost host, string body, HttpStatusCode status)
    {
        using HttpResponseMessage answer = await host.PostAsync(Path, body);
        Assert.Equal(status, answer.StatusCode);
        return JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
    }

    [Fact]
    public async Task Texts_are_judged_one_by_one_in_OpenAIs_shape()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        JsonElement answer = await host.PostJsonAsync(Path, """{"input":["I want to kill them.","A nice day"],"model":"omni-moderation-latest"}""");
        OpenAISpec.Check("CreateModerationResponse", answer);
        Assert.Equal(ModerationRules.BuiltIn.Id, answer.GetProperty("model").GetString());
        JsonElement[] results = [.. answer.GetProperty("results").EnumerateArray()];
        Assert.Equal([true, false], results.Select(result => result.GetProperty("flagged").GetBoolean()));
        Assert.True(results[0].GetProperty("categories").GetProperty("violence").GetBoolean());
        Assert.Equal(1, results[0].GetProperty("category_scores").GetProperty("violence").GetDouble());
        Assert.Equal("text", results[0].GetProperty("category_applied_input_types").GetProperty("violence")[0].GetString());
        Assert.All(results[1].GetProperty("category_scores").EnumerateObject(), score => Assert.Equal(0, score.Value.GetDouble()));
        string metrics = await host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("inference_moderation_flags_total{category=\"violence\",part=\"request\",action=\"reported\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("inference_moderated_texts_total{part=\"request\"} 2", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Parts_make_up_one_input()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        JsonElement answer = await host.PostJsonAsync(Path, """{"input":[{"type":"text","text":"Hello."},{"type":"text","text":"I will kill you"}]}""");
        OpenAISpec.Check("CreateModerationResponse", answer);
        Assert.True(Assert.Single(answer.GetProperty("results").EnumerateArray()).GetProperty("flagged").GetBoolean());
    }

    [Theory]
    [InlineData("{}", 400, "input")]
    [InlineData("""{"input":7}""", 400, "input")]
    [InlineData("""{"input":[]}""", 400, "input")]
    [InlineData("""{"input":["a",7]}""", 400, "input[1]")]
    [InlineData("""{"input":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:,"}}]}""", 400, "input[1].type")]
    [InlineData("""{"input":[{"type":"audio"}]}""", 400, "input[0].type")]
    [InlineData("""{"input":"a","model":"gpt-4o"}""", 404, "model")]
    public async Task What_cannot_be_judged_is_refused_by_name(string body, int status, string param)
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        Assert.Equal(param, (await FailAsync(host, body, (HttpStatusCode)status)).GetProperty("param").GetString());
    }

    [Fact]
    public async Task The_amount_of_text_is_bounded()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        string body = JsonSerializer.Serialize(new { input = new[] { new string('a', 600_000), new string('b', 600_000) } });
        Assert.Equal("invalid_length", (await FailAsync(host, body, HttpStatusCode.BadRequest)).GetProperty("code").GetString());
    }

    [Fact]
    public async Task The_official_client_reads_the_answer()
    {
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());
        OpenAIClient client = new(new System.ClientModel.ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(host.Client.BaseAddress!, "/v1") });
        ModerationResult result = await client.GetModerationClient("omni-moderation-latest").ClassifyTextAsync("I want to kill them.");
        Assert.True(result.Flagged);
        Assert.True(result.Violence.Flagged);
        Assert.False(result.Sexual.Flagged);
    }
}
