using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Embeddings;

internal static class EmbeddingRoutes
{
    public static void Map(WebApplication app)
    {
        (ModelCatalogue models, TimeProvider clock) = (app.Services.GetRequiredService<ModelCatalogue>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/v1/embeddings", (Delegate)new EmbeddingEndpoint(models, clock).HandleAsync).WithName("createEmbedding").WithTags("Embeddings").WithMetadata(ModelRoute.Marker)
            .WithSummary("Turn texts into vectors.").Takes<EmbeddingRequest>("""{"model":"$embedder","input":["The sky is blue.","Bread is baked."]}""").Produces<EmbeddingList>().ProducesErrors();
        app.MapPost("/v1/rerank", (Delegate)new RerankEndpoint(models, clock).HandleAsync).WithName("rerank").WithTags("Embeddings").WithMetadata(ModelRoute.Marker)
            .WithSummary("Order documents by what they have to do with a query.").Takes<RerankRequest>("""{"model":"$ranker","query":"What colour is the sky?","documents":["Bread is baked in an oven.","The sky is blue by day."]}""").Produces<RerankAnswer>().ProducesErrors();
    }
}
