using System.Buffers.Binary;
using System.Text.Json;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Embeddings;

/// <summary>POST /v1/embeddings.</summary>
internal sealed class EmbeddingEndpoint(ModelCatalogue models, TimeProvider clock)
{
    // Thousands of vectors are megabytes of JSON: they leave piece by piece.
    private const int FlushBytes = 1 << 16;

    public async Task HandleAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        ServedEmbedder model;
        List<int[]> inputs;
        int dimensions;
        bool base64;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            JsonFields fields = new(body.RootElement, "");
            model = await models.UseEmbedderAsync(http, fields.RequireString("model"));
            if (model.Ranking is not null)
                throw RequestProblem.Invalid($"The model '{model.Id}' ranks texts and gives no embeddings: use POST /v1/rerank.", "model", "invalid_value");
            base64 = fields.OneOf("encoding_format", "float", "base64") == "base64";
            dimensions = fields.Integer("dimensions", 1, model.Dimensions) ?? model.Dimensions;
            fields.String("user");
            JsonElement input = fields.Require("input");
            List<string> ignored = [];
            fields.Close(ignored);
            IgnoredParameters.Announce(http.Response, ignored);
            inputs = EmbeddingInputs.Read(model, input, "input");
        }

        float[][] vectors = await EmbeddingCall.RunAsync(http, model, inputs, hints, clock);
        for (int i = 0; i < vectors.Length; i++)
            vectors[i] = VectorMath.Normalized(vectors[i], dimensions);
        await WriteAsync(http, model, vectors, base64, inputs.Sum(input => input.Length));
    }

    private static async Task WriteAsync(HttpContext http, ServedEmbedder model, float[][] vectors, bool base64, int tokens)
    {
        http.Response.ContentType = "application/json";
        await using Utf8JsonWriter json = new(http.Response.BodyWriter, new JsonWriterOptions { Encoder = EmbeddingJson.Wire.Options.Encoder });
        long flushed = 0;
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        for (int i = 0; i < vectors.Length; i++)
        {
            json.WriteStartObject();
            json.WriteString("object", "embedding");
            json.WriteNumber("index", i);
            WriteVector(json, vectors[i], base64);
            json.WriteEndObject();
            if (json.BytesPending + json.BytesCommitted - flushed < FlushBytes)
                continue;
            json.Flush();
            flushed = json.BytesCommitted;
            await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
        }

        json.WriteEndArray();
        json.WriteString("model", model.Id);
        json.WritePropertyName("usage");
        JsonSerializer.Serialize(json, new EmbeddingUsage(tokens, tokens), EmbeddingJson.Wire.EmbeddingUsage);
        json.WriteEndObject();
    }

    private static void WriteVector(Utf8JsonWriter json, float[] vector, bool base64)
    {
        if (base64)
        {
            byte[] bytes = new byte[vector.Length * sizeof(float)];
            for (int i = 0; i < vector.Length; i++)
                BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), vector[i]);
            json.WriteBase64String("embedding", bytes);
            return;
        }

        json.WriteStartArray("embedding");
        foreach (float value in vector)
            json.WriteNumberValue(value);
        json.WriteEndArray();
    }
}
