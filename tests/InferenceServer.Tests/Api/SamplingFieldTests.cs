using System.Text.Json.Nodes;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Tests.Api;

/// <summary>Guards the one table of sampling fields: every dialect that has it passes each number on to the engine, and refuses what is out of its range by name.</summary>
public sealed class SamplingFieldTests
{
    private const string Chat = """{"model":"scripted","messages":[{"role":"user","content":"x"}]}""";

    public static TheoryData<string, string, string> Routes => new()
    {
        { "/v1/chat/completions", Chat, "" },
        { "/v1/completions", """{"model":"scripted","prompt":"x"}""", "" },
        { "/v1/responses", """{"model":"scripted","input":"x"}""", "" },
        { "/api/chat", """{"model":"scripted","messages":[{"role":"user","content":"x"}],"stream":false,"options":{}}""", "options" },
    };

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task Each_reaches_the_engine_and_is_refused_by_name_out_of_its_range(string route, string body, string inside)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        JsonObject whole = JsonNode.Parse(body)!.AsObject();
        JsonObject fields = inside.Length == 0 ? whole : whole[inside]!.AsObject();
        foreach (SamplingField field in SamplingFields.All)
            fields[field.Name] = Other(field);

        using (HttpResponseMessage answer = await host.PostAsync(route, whole.ToJsonString()))
            Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        GenerationRequest got = Assert.Single(engine.Submitted).Request;
        Assert.All(SamplingFields.All, field => Assert.Equal(Other(field), field.Get(got.Sampling), 1e-6));

        foreach (SamplingField field in SamplingFields.All)
        {
            double? before = fields[field.Name]!.GetValue<double>();
            fields[field.Name] = field.Least - 1;
            using HttpResponseMessage answer = await host.PostAsync(route, whole.ToJsonString());
            string error = await answer.Content.ReadAsStringAsync();
            Assert.Equal(400, (int)answer.StatusCode);
            Assert.Contains(inside.Length == 0 ? $"'{field.Name}'" : $"'{inside}.{field.Name}'", error.Replace("\\u0027", "'", StringComparison.Ordinal), StringComparison.Ordinal);
            fields[field.Name] = before;
        }
    }

    [Theory]
    [InlineData("/v1/chat/completions", "\"mirostat\":2,\"mirostat_tau\":3,\"temperature\":0.5,\"top_p\":0.5,\"min_p\":0.1,\"presence_penalty\":1", "top_p, presence_penalty, min_p")]
    [InlineData("/v1/chat/completions", "\"mirostat\":0,\"min_p\":0.1", null)]
    [InlineData("/api/chat", "\"stream\":false,\"options\":{\"mirostat\":1,\"top_k\":20,\"repeat_penalty\":1.1}", "options.top_k, options.repeat_penalty")]
    public async Task What_Mirostat_takes_the_place_of_is_listed_as_ignored(string route, string fields, string? ignored)
    {
        ScriptedEngine engine = new();
        await using TestHost host = await TestHost.StartAsync(engine);
        using HttpResponseMessage answer = await host.PostAsync(route, $"{Chat[..^1]},{fields}}}");
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        Assert.Equal(ignored, answer.Headers.TryGetValues("x-ignored-params", out IEnumerable<string>? names) ? names.Single() : null);
        Assert.Equal(ignored is not null, engine.Submitted.Single().Request.Sampling.Mirostat > 0);
    }

    [Fact]
    public void Names_are_unique_and_what_is_not_sent_is_in_range()
    {
        Assert.Equal(SamplingFields.All.Count, SamplingFields.All.Select(field => field.Name).Distinct().Count());
        Assert.All(SamplingFields.All, field => Assert.InRange(field.Get(SamplingOptions.Default), field.Least, field.Most));
    }

    /// <summary>A value in range that is not what stands when nothing is sent.</summary>
    private static double Other(SamplingField field)
    {
        // OpenAI's largest temperature is less than the sampler's.
        double usual = field.Get(SamplingOptions.Default), most = field.Name == SamplingFields.Temperature ? 2 : field.Most;
        return field.IsWhole ? usual + 1 : usual < most ? (usual + most) / 2 : (usual + field.Least) / 2;
    }
}
