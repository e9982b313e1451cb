using System.Text.Json;

namespace InferenceServer.Tests.Api;

/// <summary>A server of its own: what other requests leave in the KV pool changes where cells lie, the order of summation with it, and then a near tie may flip.</summary>
[Collection(nameof(RunsAlone))]
public sealed class SeedTests(TinyServer server) : IClassFixture<TinyServer>
{
    [Fact]
    public async Task The_same_seed_and_the_same_request_alone_give_the_same_text()
    {
        List<string> different = [];
        for (int seed = 1; seed <= 20; seed++)
        {
            string body = $$"""{"model":"{{server.Model.Id}}","messages":[{"role":"user","content":"Seed {{seed}}"}],"seed":{{seed}},"max_tokens":20,"ignore_eos":true}""";
            string first = await TextAsync(body);
            string second = await TextAsync(body);
            if (first != second)
                different.Add($"seed {seed}: '{first}' and then '{second}'");
        }
        Assert.True(different.Count == 0, string.Join('\n', different));
    }

    private async Task<string> TextAsync(string body)
    {
        JsonElement reply = await server.Host.PostJsonAsync("/v1/chat/completions", body);
        return reply.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
    }
}
