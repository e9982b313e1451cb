using System.Text.Json;
using Microsoft.Extensions.AI;

namespace InferenceServer.Tests.InProcess;

/// <summary>Vectors without HTTP are those of the endpoint.</summary>
public sealed class InProcessEmbeddingTests(TinyInProcess tiny) : IClassFixture<TinyInProcess>
{
    [Theory]
    [InlineData(null)]
    [InlineData(16)]
    public async Task Vectors_and_usage_are_what_HTTP_answers(int? dimensions)
    {
        string model = tiny.Model.ServedEmbedders.Single().Id;
        GeneratedEmbeddings<Embedding<float>> made = await tiny.Model.Embeddings.GenerateAsync(["A text.", "Another one."], new EmbeddingGenerationOptions { Dimensions = dimensions });
        JsonElement http = await tiny.Host.PostJsonAsync("/v1/embeddings",
            $$"""{"model":"{{model}}","input":["A text.","Another one."]{{(dimensions is null ? "" : $",\"dimensions\":{dimensions}")}}}""");
        Assert.Equal(http.GetProperty("data").EnumerateArray().Select(item => item.GetProperty("embedding").EnumerateArray().Select(number => number.GetSingle()).ToArray()),
            made.Select(embedding => embedding.Vector.ToArray()));
        Assert.Equal(http.GetProperty("usage").GetProperty("prompt_tokens").GetInt64(), made.Usage!.InputTokenCount);
        Assert.Equal((model, dimensions ?? 64), (made[0].ModelId, made[0].Dimensions));
        Assert.Equal(64, tiny.Model.Embeddings.GetRequiredService<EmbeddingGeneratorMetadata>().DefaultModelDimensions);
        Assert.Empty(await tiny.Model.Embeddings.GenerateAsync([]));
    }

    [Theory]
    [InlineData("", null, "'values[1]'")]
    [InlineData("a\0b", null, "'values[1]'")]
    [InlineData("fine", 65, "'EmbeddingGenerationOptions.Dimensions'")]
    public async Task What_is_wrong_is_named(string text, int? dimensions, string named)
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => tiny.Model.Embeddings.GenerateAsync(["fine", text], new EmbeddingGenerationOptions { Dimensions = dimensions }));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }
}
