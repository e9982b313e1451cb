using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Api.Ollama;

/// <summary><c>options</c>. Defaults are this dialect's, so that an app gets the sampling that it was written for.</summary>
internal static class OllamaOptionReader
{
    private static readonly SamplingOptions Defaults = new() { Temperature = 0.8f, TopK = 40, TopP = 0.9f };

    public static GenerationOptions Read(JsonFields body, List<string> ignored)
    {
        JsonFields options = body.Object("options") ?? new JsonFields(System.Text.Json.JsonDocument.Parse("{}").RootElement, "options");
        GenerationOptions read = SamplingReader.ReadRepeatPenalty(options, SamplingReader.Read(options, new(), Defaults, mostTemperature: 100, ignored)) with
        {
            MaxOutputTokens = options.Integer("num_predict", -2, int.MaxValue) is > 0 and var most ? most : null,
            Seed = options.Seed("seed") is not (null or -1) and var seed ? seed : null,
            StopSequences = StopReader.Read(options, "stop"),
        };
        RefuseOtherSamplers(options);
        options.Close(ignored);
        return read;
    }

    private static void RefuseOtherSamplers(JsonFields options)
    {
        if (options.Number("tfs_z", 0, 1e6) is not (null or 1))
            throw RequestProblem.Unsupported("options.tfs_z", "there is no such sampler here.");
        if (options.Boolean("penalize_newline") == false && options.Number("repeat_penalty", 0.01, 100) is not (null or 1))
            throw RequestProblem.Unsupported("options.penalize_newline", "penalties look at all tokens.");
    }
}
