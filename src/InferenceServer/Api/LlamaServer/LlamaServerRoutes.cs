using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.LlamaServer;

/// <summary>What clients of llama.cpp's own server ask for beside OpenAI's routes.</summary>
internal static class LlamaServerRoutes
{
    public static void Map(WebApplication app)
    {
        LlamaCompletionEndpoint completions = new(app.Services.GetRequiredService<ModelCatalogue>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/completion", (Delegate)completions.HandleAsync).WithName("llamaCompletion").WithTags("llama-server")
            .WithSummary("Continue a text, as llama-server's clients ask for it.").Takes<LlamaCompletionRequest>("""{"prompt":"Once upon a time","n_predict":60}""")
            .Produces<LlamaCompletion>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(LlamaCompletionPiece))).WithMetadata(ApiParameters.OfGeneration).ProducesLlamaErrors();
        app.MapGet("/props", (Delegate)new PropertiesEndpoint(app.Services.GetRequiredService<ModelCatalogue>()).HandleAsync).WithName("llamaProps").WithTags("llama-server").WithMetadata(QuietRoute.Marker)
            .WithSummary("What the model of the start is and takes.").Produces<LlamaProperties>().ProducesLlamaErrors();
    }

    private static void ProducesLlamaErrors(this RouteHandlerBuilder route)
    {
        foreach (int status in (ReadOnlySpan<int>)[400, 401, 403, 404, 413, 415, 429, 500, 503, 504])
            route.Produces<LlamaError>(status);
    }
}
