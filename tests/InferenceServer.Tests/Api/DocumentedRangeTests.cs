using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using InferenceServer.Api.OpenAI.Chat;

namespace InferenceServer.Tests.Api;

public sealed class DocumentedRangeTests
{
    public static TheoryData<string> Ranged =>
        [.. typeof(ChatCompletionRequest).GetProperties().Where(property => property.GetCustomAttribute<RangeAttribute>() is not null).Select(property => property.Name)];

    public static TheoryData<string> Listed =>
        [.. typeof(ChatCompletionRequest).GetProperties().Where(property => property.GetCustomAttribute<AllowedValuesAttribute>() is not null).Select(property => property.Name)];

    [Theory]
    [MemberData(nameof(Ranged))]
    public async Task The_range_in_the_OpenAPI_document_is_the_one_that_is_enforced(string property)
    {
        RangeAttribute range = typeof(ChatCompletionRequest).GetProperty(property)!.GetCustomAttribute<RangeAttribute>()!;
        bool whole = range.Minimum is int;
        double min = Convert.ToDouble(range.Minimum, CultureInfo.InvariantCulture), max = Convert.ToDouble(range.Maximum, CultureInfo.InvariantCulture);
        double step = whole ? 1 : 0.001;
        string field = JsonNamingPolicy.SnakeCaseLower.ConvertName(property);
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());

        Assert.Equal(200, await StatusAsync(host, field, min));
        Assert.Equal(200, await StatusAsync(host, field, max));
        Assert.Equal(400, await StatusAsync(host, field, min - step));
        Assert.Equal(400, await StatusAsync(host, field, max + step));
    }

    [Theory]
    [MemberData(nameof(Listed))]
    public async Task Every_documented_value_is_known_and_no_other(string property)
    {
        AllowedValuesAttribute allowed = typeof(ChatCompletionRequest).GetProperty(property)!.GetCustomAttribute<AllowedValuesAttribute>()!;
        string field = JsonNamingPolicy.SnakeCaseLower.ConvertName(property);
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine());

        foreach (object? value in allowed.Values)
            Assert.Equal(200, await StatusAsync(host, $"\"{field}\":\"{value}\""));
        Assert.Equal(400, await StatusAsync(host, $"\"{field}\":\"surprise\""));
    }

    private static Task<int> StatusAsync(TestHost host, string field, double value) =>
        StatusAsync(host, $"\"{field}\":{value.ToString("R", CultureInfo.InvariantCulture)}{(field == "top_logprobs" ? ",\"logprobs\":true" : "")}");

    private static async Task<int> StatusAsync(TestHost host, string extra)
    {
        using HttpResponseMessage answer = await host.PostAsync("/v1/chat/completions",
            $"{{\"model\":\"scripted\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}],{extra}}}");
        return (int)answer.StatusCode;
    }
}
