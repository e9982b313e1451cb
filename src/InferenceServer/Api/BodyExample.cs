using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Nodes;
using InferenceServer.Models;

namespace InferenceServer.Api;

/// <summary>A body that its route answers as it stands; /docs and the playground begin with it.</summary>
/// <param name="Json">The names of the loaded models stand for <c>$model</c>, <c>$embedder</c> and <c>$ranker</c>.</param>
internal sealed record BodyExample([StringSyntax(StringSyntaxAttribute.Json)] string Json)
{
    public JsonNode For(ModelCatalogue models) => JsonNode.Parse(Json
        .Replace("$model", models.Models.Count > 0 ? models.Models[0].Id : "model", StringComparison.Ordinal)
        .Replace("$embedder", models.Embedders.FirstOrDefault(model => model.Ranking is null)?.Id ?? "embedding-model", StringComparison.Ordinal)
        .Replace("$ranker", models.Embedders.FirstOrDefault(model => model.Ranking is not null)?.Id ?? "ranking-model", StringComparison.Ordinal))!;
}

internal static class BodyExampleRoutes
{
    /// <summary>Says that the route reads such a body. An example belongs to it: what a browser offers to send is this.</summary>
    public static RouteHandlerBuilder Takes<T>(this RouteHandlerBuilder route, [StringSyntax(StringSyntaxAttribute.Json)] string example)
        where T : notnull => route.Accepts<T>("application/json").WithMetadata(new BodyExample(example));
}
