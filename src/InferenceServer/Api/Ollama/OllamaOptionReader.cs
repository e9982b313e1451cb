using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Api.Ollama;

/// <summary><c>options</c>. Defaults are this dialect's, so that an app gets the sampling that it was written for.</summary>
internal static class OllamaOptionReader
{
    public static GenerationOptions Read(JsonFields body, List<string> ignored)
    {
        JsonFields options = body.Object("options") ?? new JsonFields(System.Text.Json.JsonDocument.Parse("{}").RootElement, "options");
        GenerationOptions read = new()
        {
            MaxOutputTokens = options.Integer("num_predict", -2, int.MaxValue) is > 0 and var most ? most : null,
            Sampling = ReadPenalty(options, SamplingFields.Read(options, new()
            {
                Temperature = options.Number("temperature", 0, 100) ?? 0.8f,
                TopK = 40,
                TopP = options.Number("top_p", 0, 1) ?? 0.9f,
                PresencePenalty = options.Number("presence_penalty", -2, 2) ?? 0,
                FrequencyPenalty = options.Number("frequency_penalty", -2, 2) ?? 0,
            })),
            DryBreakers = SamplingFields.ReadBreakers(options),
            Seed = options.Seed("seed") is not (null or -1) and var seed ? seed : null,
            StopSequences = StopReader.Read(options, "stop"),
        };
        RefuseOtherSamplers(options);
        options.Close(ignored);
        return read;
    }

    private static SamplingOptions ReadPenalty(JsonFields options, SamplingOptions sampling)
    {
        float penalty = options.Number("repeat_penalty", 0.01, 100) ?? sampling.RepetitionPenalty;
        int? last = options.Integer("repeat_last_n", -1, int.MaxValue);
        if (last is not (null or -1 or 0) && penalty != 1)
            throw RequestProblem.Unsupported("options.repeat_last_n", "penalties look at all tokens so far (-1), or at none (0).");
        return sampling with { RepetitionPenalty = last == 0 ? 1 : penalty };
    }

    private static void RefuseOtherSamplers(JsonFields options)
    {
        if (options.Integer("mirostat", 0, 2) is > 0)
            throw RequestProblem.Unsupported("options.mirostat", "there is no such sampler here.");
        options.Number("mirostat_tau", 0, 1e6);
        options.Number("mirostat_eta", 0, 1e6);
        if (options.Number("tfs_z", 0, 1e6) is not (null or 1))
            throw RequestProblem.Unsupported("options.tfs_z", "there is no such sampler here.");
        if (options.Boolean("penalize_newline") == false && options.Number("repeat_penalty", 0.01, 100) is not (null or 1))
            throw RequestProblem.Unsupported("options.penalize_newline", "penalties look at all tokens.");
    }
}
