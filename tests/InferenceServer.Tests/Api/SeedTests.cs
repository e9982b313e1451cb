using System.Text.Json;

namespace InferenceServer.Tests.Api;

/// <summary>With <c>--deterministic</c>: in the shared pool cells lie elsewhere each time, the order of summation changes with that, and a near tie may flip.</summary>
public sealed class SeedTests(DeterministicServer server) : IClassFixture<DeterministicServer>
{
    [Fact]
    public async Task The_same_seed_and_the_same_request_give_the_same_text_alone_and_beside_others()
    {
        string[] bodies = [.. Enumerable.Range(1, 12).Select(seed =>
            $$"""{"model":"{{server.Model.Id}}","messages":[{"role":"user","content":"Seed {{seed}}"}],"seed":{{seed}},"max_tokens":20,"ignore_eos":true}""")];
        List<string> alone = [];
        foreach (string body in bodies)
            alone.Add(await TextAsync(body));
        string[] beside = await Task.WhenAll(bodies.Select(TextAsync));
        Assert.Equal(alone, beside);
        Assert.Equal(bodies.Length, alone.Distinct().Count());
    }

    private async Task<string> TextAsync(string body)
    {
        JsonElement reply = await server.Host.PostJsonAsync("/v1/chat/completions", body);
        return reply.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
    }
}
