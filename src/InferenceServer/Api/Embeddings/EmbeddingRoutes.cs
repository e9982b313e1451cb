using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Embeddings;

internal static class EmbeddingRoutes
{
    public static void Map(WebApplication app)
    {
        (ModelCatalogue models, TimeProvider clock) = (app.Services.GetRequiredService<ModelCatalogue>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/v1/embeddings", (Delegate)new EmbeddingEndpoint(models, clock).HandleAsync).WithName("createEmbedding").WithTags("Embeddings").WithMetadata(ModelRoute.Marker)
            .WithSummary("Turn texts into vectors.").Accepts<EmbeddingRequest>("application/json").Produces<EmbeddingList>().ProducesErrors();
        app.MapPost("/v1/rerank", (Delegate)new RerankEndpoint(models, clock).HandleAsync).WithName("rerank").WithTags("Embeddings").WithMetadata(ModelRoute.Marker)
            .WithSummary("Order documents by what they have to do with a query.").Accepts<RerankRequest>("application/json").Produces<RerankAnswer>().ProducesErrors();
    }
}
