using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Api.Embeddings;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Ollama;

/// <summary>The body of POST /api/embed.</summary>
public sealed record OllamaEmbedRequest
{
    public required string Model { get; init; }

    [Description("A text, or several.")]
    [JsonShape(JsonShapes.TextOrTexts)]
    public required JsonElement Input { get; init; }

    [Description("Cut a text that is too long, instead of refusing it.")]
    public bool Truncate { get; init; } = true;

    [Description("As in POST /v1/embeddings.")]
    public int? Dimensions { get; init; }
}

/// <summary>The answer of POST /api/embed; vectors of length 1.</summary>
public sealed record OllamaEmbedAnswer(string Model, IReadOnlyList<IReadOnlyList<float>> Embeddings, long TotalDuration, long LoadDuration, int PromptEvalCount);

/// <summary>The body of POST /api/embeddings, the former endpoint.</summary>
public sealed record OllamaEmbeddingRequest
{
    public required string Model { get; init; }

    public required string Prompt { get; init; }
}

/// <summary>The answer of POST /api/embeddings; the vector as the model gives it.</summary>
public sealed record OllamaEmbeddingAnswer(IReadOnlyList<float> Embedding);

/// <summary>What these endpoints send and receive.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(OllamaEmbedRequest))]
[JsonSerializable(typeof(OllamaEmbedAnswer))]
[JsonSerializable(typeof(OllamaEmbeddingRequest))]
[JsonSerializable(typeof(OllamaEmbeddingAnswer))]
internal sealed partial class OllamaEmbedJson : JsonSerializerContext
{
    public static OllamaEmbedJson Wire { get; } = new(WireJson.Options());
}

/// <summary>POST /api/embed and its forerunner /api/embeddings.</summary>
internal sealed class OllamaEmbedEndpoints(ModelCatalogue models, TimeProvider clock)
{
    public async Task EmbedAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        List<int[]> inputs;
        string name;
        int? dimensions;
        ServedEmbedder model;
        using (JsonDocument document = await JsonBody.ReadAsync(http))
        {
            JsonFields body = new(document.RootElement, "");
            name = body.RequireString("model");
            model = await FindAsync(http, name, KeepAliveReader.Read(body));
            dimensions = body.Integer("dimensions", 1, model.Dimensions);
            bool truncates = body.Boolean("truncate") ?? true;
            JsonElement input = body.Require("input");
            ReadRest(http, body);
            List<(JsonElement Value, string Path)> texts = input.ValueKind == JsonValueKind.Array ? JsonFields.Items(input, "input", 0, EmbeddingInputs.MaxInputs) : [(input, "input")];
            inputs = texts.ConvertAll(text => Tokens(model, JsonValue.String(text.Value, text.Path), text.Path, truncates));
        }

        float[][] vectors = await EmbeddingCall.RunAsync(http, model, inputs, hints, clock);
        await JsonAnswer.WriteAsync(http, new OllamaEmbedAnswer(name, [.. vectors.Select(vector => VectorMath.Normalized(vector, dimensions ?? vector.Length))],
            (long)Math.Round(RequestTrace.Of(http).ElapsedSeconds * 1e9), 0, inputs.Sum(input => input.Length)), OllamaEmbedJson.Wire.OllamaEmbedAnswer);
    }

    public async Task EmbedOneAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        ServedEmbedder model;
        int[] tokens;
        using (JsonDocument document = await JsonBody.ReadAsync(http))
        {
            JsonFields body = new(document.RootElement, "");
            model = await FindAsync(http, body.RequireString("model"), KeepAliveReader.Read(body));
            string prompt = body.RequireString("prompt");
            ReadRest(http, body);
            tokens = Tokens(model, prompt, "prompt", truncates: true);
        }

        float[][] vectors = await EmbeddingCall.RunAsync(http, model, [tokens], hints, clock);
        await JsonAnswer.WriteAsync(http, new OllamaEmbeddingAnswer(vectors[0]), OllamaEmbedJson.Wire.OllamaEmbeddingAnswer);
    }

    private async ValueTask<ServedEmbedder> FindAsync(HttpContext http, string name, TimeSpan? keepAlive)
    {
        ServedEmbedder model = await models.UseEmbedderAsync(http, name, keepAlive);
        return model.Ranking is null ? model : throw RequestProblem.Invalid($"The model '{model.Id}' ranks texts and gives no embeddings.", "model", "invalid_value");
    }

    private static int[] Tokens(ServedEmbedder model, string text, string path, bool truncates)
    {
        if (!truncates)
            return EmbeddingTokens.Of(model, text, path);
        // No token is longer, so what is behind cannot be among those that are kept; and it is not worth the time of taking it apart.
        long most = (long)model.MaxInputTokens * model.Vocabulary.LongestTokenBytes;
        int[] tokens = model.Vocabulary.Tokenize(text.Length > most ? text[..(int)most] : text, true, false);
        return EmbeddingTokens.Checked(model, tokens.Length > model.MaxInputTokens ? tokens[..model.MaxInputTokens] : tokens, path);
    }

    /// <summary>Options are about generating.</summary>
    private static void ReadRest(HttpContext http, JsonFields body)
    {
        List<string> ignored = [];
        if (body.Object("options") is { } options)
            options.Close(ignored);
        body.Close(ignored);
        IgnoredParameters.Announce(http.Response, ignored);
    }
}
