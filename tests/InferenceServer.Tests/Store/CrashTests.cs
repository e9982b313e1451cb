using System.Text.Json;
using InferenceServer.Tests.Api;

namespace InferenceServer.Tests.Store;

/// <summary>What a client saw the end of is there after kill -9.</summary>
[Collection(nameof(RunsAlone))]
public sealed class CrashTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("crash-");

    public void Dispose() => _folder.Delete(recursive: true);

    private Task<ServerProcess> StartAsync() => ServerProcess.StartAsync(_folder.FullName, "--data-dir", Path.Combine(_folder.FullName, "data"));

    [Fact]
    public async Task A_stored_completion_whose_end_was_seen_outlives_kill_minus_9()
    {
        const string Body = "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":5,\"ignore_eos\":true,\"store\":true,\"metadata\":{\"run\":\"1\"}";
        JsonElement whole;
        List<JsonElement> chunks;
        await using (ServerProcess server = await StartAsync())
        {
            whole = JsonDocument.Parse(await server.PostAsync("/v1/chat/completions", Body + "}")).RootElement;
            chunks = SseReader.Chunks(await server.PostAsync("/v1/chat/completions", Body + ",\"stream\":true}"));
            await server.KillAsync();
        }

        await using ServerProcess again = await StartAsync();
        string id = whole.GetProperty("id").GetString()!;
        JsonElement kept = JsonDocument.Parse(await again.Client.GetStringAsync(new Uri($"/v1/chat/completions/{id}", UriKind.Relative))).RootElement;
        Assert.True(JsonElement.DeepEquals(whole.GetProperty("choices"), kept.GetProperty("choices")), kept.GetRawText());
        string streamed = chunks[0].GetProperty("id").GetString()!;
        JsonElement list = JsonDocument.Parse(await again.Client.GetStringAsync(new Uri("/v1/chat/completions?metadata[run]=1", UriKind.Relative))).RootElement;
        Assert.Equal([id, streamed], list.GetProperty("data").EnumerateArray().Select(completion => completion.GetProperty("id").GetString()));
        Assert.Equal(string.Concat(chunks.Select(chunk => chunk.GetProperty("choices")[0].GetProperty("delta").TryGetProperty("content", out JsonElement text) ? text.GetString() : "")),
            list.GetProperty("data")[1].GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
    }
}
