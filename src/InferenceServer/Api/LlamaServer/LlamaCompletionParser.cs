using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine.Sampling;

namespace InferenceServer.Api.LlamaServer;

/// <summary>A request in this dialect, translated.</summary>
/// <param name="Model">As the client wrote it; null for the only one.</param>
internal sealed record LlamaCompletionCall(string? Model, TextRequest Text, bool Stream);

/// <summary>JSON body to a text request. Fields are honoured or refused by name; unknown ones are listed in <c>ignored</c>.</summary>
internal static class LlamaCompletionParser
{
    private const int MaxPromptTokens = 16 << 20;

    // llama-server's (common/common.h).
    private static readonly SamplingOptions Defaults = new() { Temperature = 0.8f, TopK = 40, TopP = 0.95f, MinP = 0.05f };

    public static LlamaCompletionCall Parse(JsonElement root, List<string> ignored)
    {
        JsonFields body = new(root, "");
        string? model = body.String("model");
        TextPrompt prompt = ReadPrompt(body.Require("prompt"));
        int? probabilities = body.Integer("n_probs", 0, 20) is > 0 and var top ? top : null;
        GenerationOptions options = SamplingReader.ReadRepeatPenalty(body, SamplingReader.Read(body, new(), Defaults, mostTemperature: 100, ignored)) with
        {
            MaxOutputTokens = body.Integer("n_predict", -1, int.MaxValue) is >= 0 and var most ? most : null,
            StopSequences = StopReader.Read(body, "stop"),
            Seed = body.Seed("seed") is not (null or -1) and var seed ? seed : null,
            Adapters = AdapterReader.Read(body, "lora", ignored),
            IgnoreEndOfGeneration = body.Boolean("ignore_eos") ?? false,
            Timeout = body.Integer("t_max_predict_ms", 1, 86_400_000) is { } milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null,
            TopLogprobs = probabilities,
            Constraint = ReadConstraint(body),
        };
        bool stream = body.Boolean("stream") ?? false;
        body.Close(ignored);
        return new(model, new TextRequest { Prompts = [prompt], ParsesSpecial = true, Options = options }, stream);
    }

    private static TextPrompt ReadPrompt(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
            return new(JsonValue.String(value, "prompt"), null);
        if (value.ValueKind != JsonValueKind.Array || (value.GetArrayLength() > 0 && value[0].ValueKind != JsonValueKind.Number))
            throw JsonValue.WrongType(value, "prompt", "a string or an array of tokens; several prompts are several requests");
        return new(null, JsonFields.Items(value, "prompt", 1, MaxPromptTokens).ConvertAll(token => (int)JsonValue.Integer(token.Value, token.Path, 0, int.MaxValue)));
    }

    private static ConstraintSource? ReadConstraint(JsonFields body)
    {
        // Clients send an empty grammar for none.
        ConstraintSource? grammar = body.String("grammar") is { Length: > 0 } text ? ConstraintSource.Gbnf(text, "grammar") : null;
        if (body.Take("json_schema") is not { } schema)
            return grammar;
        return grammar is null ? JsonValue.Schema(schema, "json_schema") : throw RequestProblem.Invalid("{where} and 'grammar' cannot both be given: a reply obeys one constraint.", "json_schema", "invalid_value");
    }
}
