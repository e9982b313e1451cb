using System.Text.Json;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Embeddings;

/// <summary>POST /v1/rerank, in the shape that Jina and Cohere agree on.</summary>
internal sealed class RerankEndpoint(ModelCatalogue models, TimeProvider clock)
{
    public async Task HandleAsync(HttpContext http)
    {
        RequestHints hints = RequestHints.Of(http.Request);
        ServedEmbedder model;
        List<string> documents, ignored = [];
        List<int[]> inputs;
        int? topN;
        bool returnsDocuments;
        using (JsonDocument body = await JsonBody.ReadAsync(http))
        {
            JsonFields fields = new(body.RootElement, "");
            model = await FindAsync(http, fields.String("model"));
            RankingPrompt ranking = model.Ranking
                ?? throw RequestProblem.Invalid($"The model '{model.Id}' does not rank: its file says another pooling than rank. Give a ranking model with --embedding-model.", "model", "invalid_value");
            string query = fields.RequireString("query");
            documents = JsonFields.Items(fields.Require("documents"), "documents", 1, EmbeddingInputs.MaxInputs).ConvertAll(item => ReadDocument(item.Value, item.Path, ignored));
            topN = fields.Integer("top_n", 1, int.MaxValue);
            returnsDocuments = fields.Boolean("return_documents") ?? false;
            fields.Close(ignored);
            IgnoredParameters.Announce(http.Response, ignored);
            inputs = Prompts(model, ranking, query, documents);
        }

        float[][] vectors = await EmbeddingCall.RunAsync(http, model, inputs, hints, clock);
        RankedDocument[] ranked = [.. vectors.Select((vector, index) => new RankedDocument(index, model.Ranking!.Score(vector)))
            .OrderByDescending(document => document.RelevanceScore).Take(topN ?? int.MaxValue)
            .Select(document => returnsDocuments ? document with { Document = new RankedText(documents[document.Index]) } : document)];
        int tokens = inputs.Sum(input => input.Length);
        await JsonAnswer.WriteAsync(http, new RerankAnswer("list", $"rerank-{Guid.NewGuid():N}", model.Id, ranked, new EmbeddingUsage(tokens, tokens)), EmbeddingJson.Wire.RerankAnswer);
    }

    private async ValueTask<ServedEmbedder> FindAsync(HttpContext http, string? id)
    {
        if (id is not null)
            return await models.UseEmbedderAsync(http, id);
        ServedEmbedder[] rankers = [.. models.Embedders.Where(model => model.Ranking is not null)];
        return rankers.Length == 1 ? rankers[0] : throw RequestProblem.Invalid(
            rankers.Length == 0 ? "No ranking model is loaded: give one with --embedding-model." : "'model' is required: several ranking models are loaded.",
            "model", "missing_required_parameter");
    }

    private static string ReadDocument(JsonElement value, string path, List<string> ignored)
    {
        if (value.ValueKind == JsonValueKind.String)
            return JsonValue.String(value, path);
        if (value.ValueKind != JsonValueKind.Object)
            throw JsonValue.WrongType(value, path, "a string or an object with 'text'");
        JsonFields document = new(value, path);
        string text = document.RequireString("text");
        document.Close(ignored);
        return text;
    }

    private static List<int[]> Prompts(ServedEmbedder model, RankingPrompt ranking, string query, List<string> documents)
    {
        EmbeddingTokens.CheckTextLength(model, query, "query");
        List<int[]> prompts = new(documents.Count);
        for (int i = 0; i < documents.Count; i++)
        {
            string path = $"documents[{i}]";
            EmbeddingTokens.CheckTextLength(model, documents[i], path);
            prompts.Add(EmbeddingTokens.Checked(model, ranking.Tokens(model.Vocabulary, query, documents[i]), path));
        }

        return prompts;
    }
}
