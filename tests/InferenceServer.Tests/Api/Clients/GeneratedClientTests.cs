using System.Text.Json;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Clients;

/// <summary>Whether /openapi/v1.json is enough: a client made of nothing else is compiled, strictly, and used against the real server.</summary>
public sealed class GeneratedClientTests(TinyServer server, NodeClients clients) : IClassFixture<TinyServer>, IClassFixture<NodeClients>
{
    [SkippableFact]
    public async Task A_client_that_is_generated_from_the_description_compiles_and_works()
    {
        ScriptedEngine engine = WeatherEngine.Create();
        await using TestHost scripted = await WeatherEngine.StartAsync(engine);
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(server.Model, store: kept.Store);
        JsonElement seen = await clients.RunAsync("generated", host.Client.BaseAddress!, scripted.Client.BaseAddress!);

        Assert.Equal(seen.GetProperty("whole").GetString(), seen.GetProperty("streamed").GetString());
        Assert.Equal((24, "generated"), (seen.GetProperty("usage").GetInt32(), seen.GetProperty("id").GetString()));
        JsonElement error = seen.GetProperty("error");
        Assert.Equal((400, "temperature", "out_of_range"), (error.GetProperty("status").GetInt32(), error.GetProperty("param").GetString(), error.GetProperty("code").GetString()));
        Assert.Equal("text", seen.GetProperty("format").GetString());
        foreach (string text in (string[])["response", "responded", "message"])
            Assert.NotEqual("", seen.GetProperty(text).GetString());
        string[] types = [.. seen.GetProperty("types").EnumerateArray().Select(type => type.GetString()!)];
        Assert.Equal(("message_start", "message_stop"), (types[0], types[^1]));
        Assert.InRange(seen.GetProperty("generated").GetInt32(), 1, 8);
        Assert.Equal(("a", true, 1), (seen.GetProperty("item").GetString(), seen.GetProperty("more").GetBoolean(), seen.GetProperty("stored").GetInt32()));
        Assert.Equal("weather", seen.GetProperty("call").GetString());
    }
}
