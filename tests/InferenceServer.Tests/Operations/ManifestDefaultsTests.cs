using System.Text.Json;
using InferenceServer.Library;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Tests.Operations;

/// <summary>PARAMETER and SYSTEM of a Modelfile: what of them holds for requests, and that what does not is said.</summary>
public sealed class ManifestDefaultsTests
{
    private static ModelManifest Manifest(string parameters) => new()
    {
        Name = "kind:latest",
        Source = "test",
        Files = [],
        Details = new ModelDetails("llama", 0, "", 0, true),
        System = "Be kind.",
        Parameters = JsonDocument.Parse(parameters).RootElement.EnumerateObject().ToDictionary(each => each.Name, each => each.Value),
        AddedAt = DateTimeOffset.UnixEpoch,
    };

    [Fact]
    public void Ollamas_names_are_taken_and_what_is_not_applied_is_named()
    {
        List<string> notes = [];
        ModelSettings settings = ManifestDefaults.Settings(Manifest("""{"temperature":0.1,"repeat_penalty":1.2,"top_k":7,"stop":["a","b"],"num_predict":9,"seed":4,"num_ctx":4096,"num_gpu":3,"top_p":5,"low_vram":true}"""), notes);
        Assert.Equal([("temperature", 0.1), ("repetition_penalty", 1.2), ("top_k", 7)], settings.Sampling.Select(field => (field.Field.Name, field.Value)));
        Assert.Equal(("Be kind.", 9, 4L), (settings.System, settings.MaxOutputTokens, settings.Seed));
        Assert.Equal(["a", "b"], settings.StopSequences);
        Assert.Equal("these parameters of 'kind' are not applied: low_vram, top_p", Assert.Single(notes));
    }

    [Fact]
    public void Layers_and_threads_hold_where_the_operator_says_nothing()
    {
        ModelManifest manifest = Manifest("""{"num_gpu":3,"num_thread":2}""");
        ModelOptions free = ManifestDefaults.Options(manifest, new ModelOptions()), fixedByOperator = ManifestDefaults.Options(manifest, new ModelOptions { GpuLayers = 1, Threads = 8 });
        Assert.Equal((3, 2, 1, 8), (free.GpuLayers, free.Threads, fixedByOperator.GpuLayers, fixedByOperator.Threads));
    }

    /// <summary>"All of it" is how Ollama's files say no limit.</summary>
    [Theory]
    [InlineData(-1)]
    [InlineData(-2)]
    public void No_limit_of_tokens_is_none(int most) => Assert.Null(ManifestDefaults.Settings(Manifest($$"""{"num_predict":{{most}}}"""), []).MaxOutputTokens);
}
