using System.Text.Json;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>Responses and conversations over kill -9: what ended is there, and what ran in the background says that it was cut off.</summary>
[Collection(nameof(RunsAlone))]
public sealed class ResponseCrashTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("crash-");

    public void Dispose() => _folder.Delete(recursive: true);

    private Task<ServerProcess> StartAsync() => ServerProcess.StartAsync(_folder.FullName, "--data-dir", Path.Combine(_folder.FullName, "data"));

    private static async Task<JsonElement> GetAsync(ServerProcess server, string path) =>
        JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement;

    private static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;

    [Fact]
    public async Task What_was_seen_to_end_outlives_kill_minus_9_and_what_ran_is_marked_as_failed()
    {
        const string Body = "{\"model\":\"tiny\",\"ignore_eos\":true,\"max_output_tokens\":";
        JsonElement whole, streamed, running;
        string conversation;
        await using (ServerProcess server = await StartAsync())
        {
            conversation = Id(JsonDocument.Parse(await server.PostAsync("/v1/conversations", "{}")).RootElement);
            whole = JsonDocument.Parse(await server.PostAsync("/v1/responses", $"{Body}5,\"input\":\"One\",\"conversation\":\"{conversation}\"}}")).RootElement;
            streamed = ResponseHost.Events(await server.PostAsync("/v1/responses", $"{Body}5,\"input\":\"Two\",\"stream\":true}}"))[^1].GetProperty("response");
            running = JsonDocument.Parse(await server.PostAsync("/v1/responses", $"{Body}3000,\"input\":\"Three\",\"background\":true}}")).RootElement;
            await server.KillAsync();
        }

        await using ServerProcess again = await StartAsync();
        Assert.True(JsonElement.DeepEquals(whole, await GetAsync(again, $"/v1/responses/{Id(whole)}")));
        Assert.True(JsonElement.DeepEquals(streamed, await GetAsync(again, $"/v1/responses/{Id(streamed)}")));
        JsonElement items = await GetAsync(again, $"/v1/conversations/{conversation}/items?order=asc");
        Assert.Equal(["user: One", ResponseHost.Items(whole.GetProperty("output")).Single()], ResponseHost.Items(items.GetProperty("data")));
        JsonElement cut = await GetAsync(again, $"/v1/responses/{Id(running)}");
        Assert.Equal(("failed", "server_error"), (cut.GetProperty("status").GetString(), cut.GetProperty("error").GetProperty("code").GetString()));
        List<JsonElement> events = ResponseHost.Events(await again.Client.GetStringAsync(new Uri($"/v1/responses/{Id(running)}?stream=true", UriKind.Relative)));
        Assert.Equal(["response.created", "response.failed"], ResponseHost.Types(events));
        // A chain goes on over the crash.
        JsonElement next = JsonDocument.Parse(await again.PostAsync("/v1/responses", $"{Body}5,\"input\":\"Four\",\"previous_response_id\":\"{Id(streamed)}\"}}")).RootElement;
        Assert.True(next.GetProperty("usage").GetProperty("input_tokens").GetInt32() > streamed.GetProperty("usage").GetProperty("input_tokens").GetInt32() + 5);
    }
}
