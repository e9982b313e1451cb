using System.Text.Json;
using System.Text.Json.Nodes;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Api.Embeddings;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Docs;

/// <summary>The bodies that /openapi/v1.json offers, sent as they stand to the whole server on tiny models: what a browser prefills at /docs has to work.</summary>
public sealed class BodyExampleTests(KeepingServer tiny, EmbeddingServer embedding, RankingServer ranking) : IClassFixture<KeepingServer>, IClassFixture<EmbeddingServer>, IClassFixture<RankingServer>
{
    // What needs another model than one that chats, and a host that has it.
    private static readonly string[] ForEmbedders = ["/v1/embeddings", "/api/embed", "/api/embeddings"], ForRankers = ["/v1/rerank"], ForLibraries = ["/api/pull", "/api/create", "/api/copy", "/api/delete"],
        ForAdapters = ["/lora-adapters", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"];

    [Fact]
    public async Task Every_body_that_the_description_offers_is_answered()
    {
        TestHost host = tiny.Host;
        Dictionary<string, string> made = await MakeAsync(host);
        int sent = 0;
        foreach ((string method, string path, JsonNode operation) in (await ApiReference.ReadAsync(host)).Operations.Where(operation => operation.Operation["requestBody"] is not null))
        {
            string body = Example(operation) ?? throw new InvalidOperationException($"{method} {path} offers no body");
            if (ForEmbedders.Contains(path) || ForRankers.Contains(path))
            {
                (int status, string text) = await SendAsync(host, path, body);
                Assert.True(status == 404 && text.Contains("does not exist; loaded: ", StringComparison.Ordinal), $"{path}: {status} {text}");
                TestHost other = ForRankers.Contains(path) ? ranking.Host : embedding.Host;
                JsonNode same = (await ApiReference.ReadAsync(other)).Operations.Single(one => one.Path == path).Operation;
                await AssertAnswersAsync(other, path, Example(same)!);
            }
            else if (made.Keys.FirstOrDefault(path.StartsWith) is { } prefix && path.Contains('{', StringComparison.Ordinal))
            {
                // The id in the path is an example, too: nothing has it, and the answer says so.
                (int status, string text) = await SendAsync(host, Fill(path, operation), body);
                Assert.True(status == 404, $"{path}: {status} {text}");
                await AssertAnswersAsync(host, path.Replace("{id}", made[prefix], StringComparison.Ordinal), body);
            }
            else if (path.StartsWith("/v1/models/", StringComparison.Ordinal) || ForLibraries.Contains(path))
            {
                // What they fetch or change is in no test's reach: a host without a library says that it has none.
                using HttpRequestMessage request = new(new HttpMethod(method), path) { Content = new StringContent(body, null, "application/json") };
                using HttpResponseMessage answer = await host.Client.SendAsync(request);
                string text = await answer.Content.ReadAsStringAsync();
                Assert.True((int)answer.StatusCode == 400 && text.Contains("no library of models", StringComparison.Ordinal), $"{path}: {(int)answer.StatusCode} {text}");
            }
            else if (ForAdapters.Contains(path))
            {
                // What they change is everybody's, and this host allows nobody to.
                (int status, string text) = await SendAsync(host, path, body);
                Assert.True(status == 403 && text.Contains("pull_not_allowed", StringComparison.Ordinal), $"{path}: {status} {text}");
            }
            else if (path == "/v1/feedback")
            {
                (int status, string text) = await SendAsync(host, path, body);
                Assert.True(status == 400 && text.Contains("'response_id' names no reply of a stored response", StringComparison.Ordinal), $"{path}: {status} {text}");
                await AssertAnswersAsync(host, path, body.Replace(JsonNode.Parse(body)!["response_id"]!.GetValue<string>(), made["/v1/responses/"], StringComparison.Ordinal));
            }
            else
                await AssertAnswersAsync(host, path, body);
            sent++;
        }

        Assert.True(sent >= 20, $"{sent}");
    }

    [Fact]
    public async Task Every_place_in_a_path_has_an_example_of_the_form_that_ids_have()
    {
        TestHost host = tiny.Host;
        Dictionary<string, string> made = await MakeAsync(host);
        foreach ((string method, string path, JsonNode operation) in (await ApiReference.ReadAsync(host)).Operations)
            foreach (JsonNode? parameter in (operation["parameters"]?.AsArray() ?? []).Where(parameter => parameter!["in"]!.GetValue<string>() == "path"))
            {
                string? example = parameter!["example"]?.GetValue<string>();
                Assert.True(example is { Length: > 0 }, $"{method} {path} {parameter["name"]} has no example");
                if (path == "/v1/models/{id}")
                    Assert.Equal(tiny.Model.Id, example);
                else if (parameter["name"]!.GetValue<string>() == "id" && made.Keys.FirstOrDefault(path.StartsWith) is { } prefix)
                    Assert.Equal((made[prefix].Length, made[prefix][..^32]), (example.Length, example[..^32]));
            }
    }

    [Fact]
    public async Task What_answers_401_without_a_key_says_so_and_nothing_else_does()
    {
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(new ScriptedEngine(), store: kept.Store, embedders: EmbeddingProbes.Models,
            access: new AccessOptions { Keys = new ApiKeyRing(["sk-test"]) });
        foreach ((string method, string path, JsonNode operation) in (await ApiReference.ReadAsync(host)).Operations)
        {
            using HttpRequestMessage request = new(new HttpMethod(method), Fill(path, operation));
            if (Example(operation) is { } body)
                request.Content = new StringContent(body, null, "application/json");
            using HttpResponseMessage answer = await host.Client.SendAsync(request);
            bool wantsKey = (int)answer.StatusCode == 401;
            Assert.True(wantsKey == (operation["responses"]!["401"] is not null), $"{method} {path}: {(int)answer.StatusCode}, and the description {(wantsKey ? "does not say 401" : "says 401")}");
            Assert.True(wantsKey == (operation["security"] is not JsonArray { Count: 0 }), $"{method} {path}: its security is described wrongly");
            if (wantsKey)
                Assert.True(operation["responses"]!["401"]!["content"]!["application/json"]!["schema"] is not null, $"{method} {path}: its 401 has no shape");
        }
    }

    [Fact]
    public async Task Names_of_operations_and_of_groups_are_there_once()
    {
        TestHost host = tiny.Host;
        JsonNode document = JsonNode.Parse(await host.Client.GetStringAsync(new Uri("/openapi/v1.json", UriKind.Relative)))!;
        JsonNode[] operations = [.. (await ApiReference.ReadAsync(host)).Operations.Select(operation => operation.Operation)];
        Assert.Equal(operations.Length, operations.Select(operation => operation["operationId"]!.GetValue<string>()).Distinct().Count());
        Assert.All(operations, operation => Assert.Single(operation["tags"]!.AsArray()));
        string[] tags = [.. document["tags"]!.AsArray().Select(tag => tag!["name"]!.GetValue<string>())];
        Assert.Equal(tags.Length, tags.Distinct(StringComparer.OrdinalIgnoreCase).Count());
        Assert.Equal(tags.Order(), operations.Select(operation => operation["tags"]![0]!.GetValue<string>()).Distinct().Order());
        // The page at /docs calls the schemas so.
        Assert.DoesNotContain("Models", tags);
    }

    private static string? Example(JsonNode operation) => operation["requestBody"]?["content"]?["application/json"]?["example"]?.ToJsonString();

    private static string Fill(string path, JsonNode operation) => (operation["parameters"]?.AsArray() ?? []).Where(parameter => parameter!["in"]!.GetValue<string>() == "path")
        .Aggregate(path, (filled, parameter) => filled.Replace($"{{{parameter!["name"]}}}", parameter["example"]!.GetValue<string>(), StringComparison.Ordinal));

    /// <summary>One of everything that has an id, by how the paths begin that name one.</summary>
    private static async Task<Dictionary<string, string>> MakeAsync(TestHost host)
    {
        string model = (await JsonAsync(host, "/v1/models")).GetProperty("data")[0].GetProperty("id").GetString()!;
        string response = Id(await host.PostJsonAsync("/v1/responses", $$"""{"model":"{{model}}","input":"Hi","max_output_tokens":4}"""));
        return new()
        {
            ["/v1/conversations/"] = Id(await host.PostJsonAsync("/v1/conversations", """{"items":[{"role":"user","content":"Hi"}]}""")),
            ["/v1/chat/completions/"] = Id(await host.PostJsonAsync("/v1/chat/completions", $$"""{"model":"{{model}}","messages":[{"role":"user","content":"Hi"}],"max_tokens":4,"store":true}""")),
            ["/v1/responses/"] = response,
            ["/v1/feedback/"] = Id(await host.PostJsonAsync("/v1/feedback", $$"""{"kind":"rating","rating":"up","response_id":"{{response}}"}""")),
        };

        static string Id(JsonElement answer) => answer.GetProperty("id").GetString()!;
    }

    private static async Task<JsonElement> JsonAsync(TestHost host, string path) => JsonDocument.Parse(await host.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement;

    private static async Task AssertAnswersAsync(TestHost host, string path, string body)
    {
        using HttpResponseMessage answer = await host.PostAsync(path, body);
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, $"{path} offers {body}, and answers: {text}");
        Assert.False(answer.Headers.Contains("x-ignored-params"), $"{path} offers {body}, and knows not all of it");
        Assert.DoesNotContain("\"error\":{", text, StringComparison.Ordinal);
    }

    private static async Task<(int Status, string Text)> SendAsync(TestHost host, string path, string body)
    {
        using HttpResponseMessage answer = await host.PostAsync(path, body);
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }
}
