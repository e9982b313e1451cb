using System.Text.Json;
using InferenceServer.Tests.Api.Clients;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>The npm openai package against responses, conversations and stored completions of a real engine.</summary>
[Collection(nameof(RunsAlone))]
public sealed class ResponseNodeClientTests(TinyServer server, NodeClients clients) : IClassFixture<TinyServer>, IClassFixture<NodeClients>
{
    [SkippableFact]
    public async Task The_npm_client_responds_chains_converses_runs_in_the_background_and_keeps_completions()
    {
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(server.Model, store: store.Store);
        Check(await clients.RunAsync("responses", host.Client.BaseAddress!));
    }

    private static void Check(JsonElement seen)
    {
        string whole = seen.GetProperty("whole").GetString()!;
        Assert.Equal([whole, whole, whole], ((string[])["streamed", "last", "accumulated"]).Select(name => seen.GetProperty(name).GetString()));
        string[] types = [.. seen.GetProperty("types").EnumerateArray().Select(type => type.GetString()!)];
        Assert.Equal(("response.created", "response.in_progress"), (types[0], types[1]));
        Assert.Contains(types[^1], (string[])["response.completed", "response.incomplete"]);
        foreach (string name in (string[])["chained", "counted", "removed", "listed", "dropped"])
            Assert.True(seen.GetProperty(name).GetBoolean(), name);
        Assert.Equal("[\"And then?\"]", seen.GetProperty("inputItems").GetRawText());
        Assert.Equal("[\"message:user\",\"message:user\",\"message:assistant\"]", seen.GetProperty("conversationItems").GetRawText());
        Assert.Equal(("cancelled", "b"), (seen.GetProperty("cancelled").GetString(), seen.GetProperty("updated").GetString()));
        Assert.Equal("[\"Keep this.\"]", seen.GetProperty("messages").GetRawText());
        int[] resumed = [.. seen.GetProperty("resumed").EnumerateArray().Select(number => number.GetInt32())];
        Assert.True(resumed.Length > 5);
        Assert.Equal(Enumerable.Range(1, resumed.Length), resumed);
        Assert.Equal("{\"status\":404,\"code\":\"not_found\"}", seen.GetProperty("missing").GetRawText());
        Assert.Equal("{\"status\":400,\"param\":\"tool_choice.type\"}", seen.GetProperty("refused").GetRawText());
    }
}
