using System.Text.Json;

namespace InferenceServer.Tests.Api.Clients;

/// <summary>The clients that apps use from npm, each against the real server with a real GGUF and against one that says what a tool round trip needs.</summary>
public sealed class NodeClientTests(TinyServer server, NodeClients clients) : IClassFixture<TinyServer>, IClassFixture<NodeClients>
{
    [SkippableTheory]
    [InlineData("openai", "length", "model_not_found")]
    [InlineData("anthropic", "max_tokens", "not_found_error")]
    [InlineData("ai", "length", "model_not_found")]
    [InlineData("langchain", "length", "model_not_found")]
    [InlineData("ollama", "length", "model_not_found")]
    public async Task A_client_chats_streams_calls_tools_holds_to_a_schema_reads_errors_and_calls_off(string client, string finish, string errorName)
    {
        ScriptedEngine engine = WeatherEngine.Create();
        await using TestHost scripted = await WeatherEngine.StartAsync(engine);
        JsonElement seen = await clients.RunAsync(client, server.Host.Client.BaseAddress!, scripted.Client.BaseAddress!);

        Assert.Equal(seen.GetProperty("whole").GetString(), seen.GetProperty("streamed").GetString());
        // A random model may end by itself, or write what is only white space to a client that trims.
        if (seen.GetProperty("outputTokens").GetInt32() == 24)
            Assert.Equal(finish, seen.GetProperty("finish").GetString());
        Assert.InRange(seen.GetProperty("outputTokens").GetInt32(), 1, 24);
        Assert.Contains(seen.GetProperty("structured").GetProperty("kind").GetString(), (string[])["a", "b"]);
        Assert.Contains(seen.GetProperty("structured").GetProperty("ok").ValueKind, (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]);
        Assert.Equal((404, errorName), (seen.GetProperty("error").GetProperty("status").GetInt32(), seen.GetProperty("error").GetProperty("name").GetString()));
        foreach (string call in (string[])["call", "streamedCall"])
            Assert.Equal(("weather", "Rome"), (seen.GetProperty(call).GetProperty("name").GetString(), seen.GetProperty(call).GetProperty("city").GetString()));
        Assert.Equal("It is sunny in Rome.", seen.GetProperty("answer").GetString());
        Assert.InRange(seen.GetProperty("pieces").GetInt32(), 4, 100);
        await WeatherEngine.CancelledAsync(engine);
        if (seen.TryGetProperty("thought", out JsonElement thought))
            Assert.Equal("Hm.", thought.GetString());
        CheckOwn(client, seen);
    }

    private static void CheckOwn(string client, JsonElement seen)
    {
        switch (client)
        {
            case "openai":
                Assert.Equal(Enumerable.Repeat("length", 8), seen.GetProperty("together").EnumerateArray().Select(reason => reason.GetString()));
                break;
            case "anthropic":
                Assert.Equal(seen.GetProperty("counted").GetInt32(), seen.GetProperty("input").GetInt32());
                Assert.Equal("tool_use", seen.GetProperty("stopReason").GetString());
                Assert.StartsWith("req_", seen.GetProperty("id").GetString(), StringComparison.Ordinal);
                Assert.StartsWith("req_", seen.GetProperty("error").GetProperty("requestId").GetString(), StringComparison.Ordinal);
                break;
            case "ollama":
                Assert.Equal("llama", seen.GetProperty("architecture").GetString());
                Assert.True(seen.GetProperty("running").GetInt64() > 0);
                Assert.NotEqual("", seen.GetProperty("generated").GetString());
                long[] times = [.. seen.GetProperty("times").EnumerateArray().Select(time => time.GetInt64())];
                Assert.True(times[1] + times[2] <= times[0], string.Join(' ', times));
                Assert.All(times, time => Assert.True(time > 0, string.Join(' ', times)));
                break;
        }
    }
}
