using System.Text.Json;
using InferenceServer.Tests.Api.Embeddings;

namespace InferenceServer.Tests.Api.Ollama;

/// <summary>POST /api/embed and /api/embeddings on a tiny real model.</summary>
public sealed class OllamaEmbedTests(EmbeddingServer server) : IClassFixture<EmbeddingServer>
{
    private static float[] Numbers(JsonElement vector) => [.. vector.EnumerateArray().Select(value => value.GetSingle())];

    [Fact]
    public async Task Texts_are_embedded_as_by_the_other_dialect()
    {
        JsonElement openAI = await server.Host.PostJsonAsync("/v1/embeddings", $$"""{"model":"{{server.Model.Id}}","input":["one","two"]}""");
        JsonElement ollama = await server.Host.PostJsonAsync("/api/embed", $$"""{"model":"{{server.Model.Id}}:latest","input":["one","two"],"keep_alive":"5m"}""");
        Assert.Equal($"{server.Model.Id}:latest", ollama.GetProperty("model").GetString());
        Assert.Equal(6, ollama.GetProperty("prompt_eval_count").GetInt32());
        Assert.Equal(openAI.GetProperty("data").EnumerateArray().Select(item => Numbers(item.GetProperty("embedding"))), ollama.GetProperty("embeddings").EnumerateArray().Select(Numbers));

        float[] first = Numbers(ollama.GetProperty("embeddings")[0]);
        float[] raw = Numbers((await server.Host.PostJsonAsync("/api/embeddings", $$"""{"model":"{{server.Model.Id}}","prompt":"one"}""")).GetProperty("embedding"));
        double length = Math.Sqrt(raw.Sum(value => (double)value * value));
        Assert.True(Math.Abs(length - 1) > 0.01);
        Assert.All(raw.Zip(first), pair => Assert.Equal(pair.First / length, pair.Second, 1e-3));
    }

    [Fact]
    public async Task Models_that_only_embed_are_listed_and_shown()
    {
        foreach (string path in (string[])["/api/tags", "/api/ps"])
        {
            JsonElement listed = JsonDocument.Parse(await server.Host.Client.GetStringAsync(new Uri(path, UriKind.Relative))).RootElement.GetProperty("models");
            Assert.Equal([$"{server.ChatId}:latest", $"{server.Model.Id}:latest"], listed.EnumerateArray().Select(model => model.GetProperty("name").GetString()!));
            Assert.Equal("bert", listed[1].GetProperty("details").GetProperty("family").GetString());
            Assert.True(listed[1].GetProperty("size").GetInt64() > 0);
        }

        JsonElement shown = await server.Host.PostJsonAsync("/api/show", $$"""{"model":"{{server.Model.Id}}:latest"}""");
        Assert.Equal(["embedding"], shown.GetProperty("capabilities").EnumerateArray().Select(capability => capability.GetString()!));
    }

    [Fact]
    public async Task Too_long_a_text_is_cut_unless_that_is_forbidden()
    {
        string text = new('x', 5000);
        JsonElement cut = await server.Host.PostJsonAsync("/api/embed", $$"""{"model":"{{server.Model.Id}}","input":"{{text}}","dimensions":4}""");
        Assert.Equal((256, 4), (cut.GetProperty("prompt_eval_count").GetInt32(), cut.GetProperty("embeddings")[0].GetArrayLength()));
        using HttpResponseMessage refused = await server.Host.PostAsync("/api/embed", $$"""{"model":"{{server.Model.Id}}","input":["a","{{text}}"],"truncate":false}""");
        Assert.Equal(400, (int)refused.StatusCode);
        Assert.Contains("'input[1]'", JsonDocument.Parse(await refused.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetString(), StringComparison.Ordinal);
    }
}
