using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Ollama;

internal static class OllamaRoutes
{
    private const string Lines = "application/x-ndjson";

    public static void Map(WebApplication app)
    {
        ModelCatalogue catalogue = app.Services.GetRequiredService<ModelCatalogue>();
        OllamaChatEndpoints replies = new(catalogue, app.Services.GetRequiredService<TimeProvider>());
        OllamaModelEndpoints models = new(catalogue);
        app.MapPost("/api/chat", (Delegate)replies.ChatAsync).WithName("ollamaChat").WithTags("Ollama")
            .WithSummary("Continue a conversation, as Ollama's clients ask for it.").Takes<OllamaChatRequest>("""{"model":"$model","messages":[{"role":"user","content":"Why is the sky blue?"}],"options":{"num_predict":100}}""")
            .Produces<OllamaChatAnswer>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(OllamaChatAnswer), Lines)).WithMetadata(ApiParameters.OfGeneration).ProducesOllamaErrors();
        app.MapPost("/api/generate", (Delegate)replies.GenerateAsync).WithName("ollamaGenerate").WithTags("Ollama")
            .WithSummary("Answer one prompt, or continue a text.").Takes<OllamaGenerateRequest>("""{"model":"$model","prompt":"Tell me a joke.","options":{"num_predict":100}}""")
            .Produces<OllamaGenerateAnswer>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(OllamaGenerateAnswer), Lines)).WithMetadata(ApiParameters.OfGeneration).ProducesOllamaErrors();
        app.MapGet("/api/tags", (Delegate)models.TagsAsync).WithName("ollamaTags").WithTags("Ollama")
            .WithSummary("The loaded models.").Produces<OllamaModelList>().ProducesOllamaErrors();
        app.MapGet("/api/ps", (Delegate)models.RunningAsync).WithName("ollamaPs").WithTags("Ollama")
            .WithSummary("The loaded models and where they lie.").Produces<OllamaRunningList>().ProducesOllamaErrors();
        app.MapPost("/api/show", (Delegate)models.ShowAsync).WithName("ollamaShow").WithTags("Ollama")
            .WithSummary("What a model's file says of itself.").Takes<OllamaShowRequest>("""{"model":"$model"}""").Produces<OllamaModelInformation>().ProducesOllamaErrors();
        OllamaEmbedEndpoints embeddings = new(catalogue, app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/api/embed", (Delegate)embeddings.EmbedAsync).WithName("ollamaEmbed").WithTags("Ollama").WithMetadata(ModelRoute.Marker)
            .WithSummary("Turn texts into vectors.").Takes<OllamaEmbedRequest>("""{"model":"$embedder","input":["The sky is blue.","Bread is baked."]}""").Produces<OllamaEmbedAnswer>().ProducesOllamaErrors();
        app.MapPost("/api/embeddings", (Delegate)embeddings.EmbedOneAsync).WithName("ollamaEmbeddings").WithTags("Ollama").WithMetadata(ModelRoute.Marker)
            .WithSummary("Turn one text into a vector, as it was asked for before /api/embed.").Takes<OllamaEmbeddingRequest>("""{"model":"$embedder","prompt":"The sky is blue."}""")
            .Produces<OllamaEmbeddingAnswer>().ProducesOllamaErrors();
        app.MapGet("/api/version", (Delegate)models.VersionAsync).WithName("ollamaVersion").WithTags("Ollama")
            .WithSummary("Which Ollama this server speaks as.").Produces<OllamaVersion>().ProducesOllamaErrors();
        foreach (string path in (ReadOnlySpan<string>)["/api/pull", "/api/push", "/api/create", "/api/copy"])
            app.MapPost(path, (Delegate)OllamaModelEndpoints.RefuseAsync).ExcludeFromDescription();
        app.MapDelete("/api/delete", (Delegate)OllamaModelEndpoints.RefuseAsync).ExcludeFromDescription();
        app.MapMethods("/api/blobs/{digest}", ["GET", "POST"], (Delegate)OllamaModelEndpoints.RefuseAsync).ExcludeFromDescription();
    }

    private static RouteHandlerBuilder ProducesOllamaErrors(this RouteHandlerBuilder route)
    {
        foreach (int status in (ReadOnlySpan<int>)[400, 401, 404, 413, 415, 429, 500, 503, 504])
            route.Produces<OllamaError>(status);
        return route;
    }
}
