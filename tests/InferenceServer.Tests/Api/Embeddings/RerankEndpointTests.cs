using System.Text.Json;
using InferenceServer.Models;

namespace InferenceServer.Tests.Api.Embeddings;

/// <summary>POST /v1/rerank on a tiny model with a ranking head.</summary>
public sealed class RerankEndpointTests(RankingServer server) : IClassFixture<RankingServer>
{
    private const string Route = "/v1/rerank";

    private static readonly string[] Documents = ["the red fox", "a blue whale", "green grass grows", "yellow", "one more"];

    private Task<JsonElement> RankAsync(string fields = "") =>
        server.Host.PostJsonAsync(Route, $$"""{"model":"{{server.Model.Id}}","query":"which animal?","documents":{{JsonSerializer.Serialize(Documents)}}{{fields}}}""");

    [Fact]
    public async Task Documents_come_back_best_first_with_the_models_own_scores()
    {
        JsonElement answer = await RankAsync();
        RankingPrompt ranking = server.Model.Ranking!;
        float[][] raw = await server.Model.Engine.EmbedAsync([.. Documents.Select(document => ranking.Tokens(server.Model.Vocabulary, "which animal?", document))], CancellationToken.None);
        double[] expected = [.. raw.Select(vector => 1 / (1 + Math.Exp(-vector[0])))];
        (int Index, double Score)[] results = [.. answer.GetProperty("results").EnumerateArray()
            .Select(result => (result.GetProperty("index").GetInt32(), result.GetProperty("relevance_score").GetDouble()))];
        Assert.Equal(results.Select(result => result.Score).OrderDescending(), results.Select(result => result.Score));
        Assert.Equal([0, 1, 2, 3, 4], results.Select(result => result.Index).Order());
        Assert.All(results, result => Assert.Equal(expected[result.Index], result.Score, 1e-3));
        Assert.True(results.Select(result => result.Score).Distinct().Count() > 1);
        Assert.False(answer.GetProperty("results")[0].TryGetProperty("document", out _));
        Assert.Equal(Documents.Sum(document => document.Length + "which animal?".Length), answer.GetProperty("usage").GetProperty("total_tokens").GetInt32());
    }

    [Fact]
    public async Task Only_the_best_are_sent_with_their_texts_where_asked_for()
    {
        JsonElement all = await RankAsync(), best = await RankAsync(",\"top_n\":2,\"return_documents\":true");
        Assert.Equal(2, best.GetProperty("results").GetArrayLength());
        int first = best.GetProperty("results")[0].GetProperty("index").GetInt32();
        Assert.Equal(all.GetProperty("results")[0].GetProperty("index").GetInt32(), first);
        Assert.Equal(Documents[first], best.GetProperty("results")[0].GetProperty("document").GetProperty("text").GetString());
    }

    [Fact]
    public async Task The_one_ranking_model_need_not_be_named_and_documents_may_be_objects()
    {
        JsonElement answer = await server.Host.PostJsonAsync(Route, """{"query":"q","documents":[{"text":"a"},"b"]}""");
        Assert.Equal((server.Model.Id, 2), (answer.GetProperty("model").GetString(), answer.GetProperty("results").GetArrayLength()));
    }

    [Theory]
    [InlineData("\"documents\":[\"a\"]", "query")]
    [InlineData("\"query\":\"q\"", "documents")]
    [InlineData("\"query\":\"q\",\"documents\":[]", "documents")]
    [InlineData("\"query\":\"q\",\"documents\":[\"a\",7]", "documents[1]")]
    [InlineData("\"query\":\"q\",\"documents\":[{}]", "documents[0].text")]
    [InlineData("\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":0", "top_n")]
    [InlineData("\"query\":\"q\",\"documents\":[\"a\",\"LONG\"]", "documents[1]")]
    [InlineData("\"query\":\"q\",\"documents\":[\"a\"],\"model\":\"CHAT\"", "model")]
    public async Task What_cannot_be_ranked_is_refused_by_name(string fields, string param)
    {
        string body = $"{{{fields.Replace("CHAT", server.ChatId, StringComparison.Ordinal).Replace("LONG", new string('x', 256), StringComparison.Ordinal)}}}";
        using HttpResponseMessage answer = await server.Host.PostAsync(Route, body);
        Assert.Equal((400, param), ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("param").GetString()));
    }

    [Fact]
    public async Task A_ranking_model_gives_no_embeddings()
    {
        using HttpResponseMessage answer = await server.Host.PostAsync("/v1/embeddings", $$"""{"model":"{{server.Model.Id}}","input":"a"}""");
        Assert.Equal(400, (int)answer.StatusCode);
        Assert.Contains("/v1/rerank", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_pair_is_put_together_as_the_file_says()
    {
        static string Text(int[] tokens) => ScriptedVocabulary.Instance.Text(tokens);
        RankingPrompt special = new(null, false, [ScriptedVocabulary.Bos], [ScriptedVocabulary.End], [ScriptedVocabulary.End]);
        Assert.Equal("<s>{document}<|im_end|>doc<|im_end|>", Text(special.Tokens(ScriptedVocabulary.Instance, "{document}", "doc")));
        RankingPrompt template = new("<s>Q: {query} D: {document}", true, [], [], []);
        Assert.Equal("<s>Q: {document} D: {query}", Text(template.Tokens(ScriptedVocabulary.Instance, "{document}", "{query}")));
        Assert.Equal((0.25, 0.5), (template.Score([0.25f, 0.75f]), special.Score([0])));
    }
}
