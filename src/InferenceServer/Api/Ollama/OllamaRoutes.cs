using InferenceServer.Api.Library;
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
        OllamaModelEndpoints models = new(catalogue, app.Services.GetRequiredService<LibraryAccess>());
        app.MapPost("/api/chat", (Delegate)replies.ChatAsync).WithName("ollamaChat").WithTags("Ollama")
            .WithSummary("Continue a conversation, as Ollama's clients ask for it.").Takes<OllamaChatRequest>("""{"model":"$model","messages":[{"role":"user","content":"Why is the sky blue?"}],"options":{"num_predict":100}}""")
            .Produces<OllamaChatAnswer>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(OllamaChatAnswer), Lines)).WithMetadata(ApiParameters.OfGeneration).ProducesOllamaErrors();
        app.MapPost("/api/generate", (Delegate)replies.GenerateAsync).WithName("ollamaGenerate").WithTags("Ollama")
            .WithSummary("Answer one prompt, or continue a text.").Takes<OllamaGenerateRequest>("""{"model":"$model","prompt":"Tell me a joke.","options":{"num_predict":100}}""")
            .Produces<OllamaGenerateAnswer>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(OllamaGenerateAnswer), Lines)).WithMetadata(ApiParameters.OfGeneration).ProducesOllamaErrors();
        app.MapGet("/api/tags", (Delegate)models.TagsAsync).WithName("ollamaTags").WithTags("Ollama")
            .WithSummary("The loaded models, then those of the library that are not loaded.").Produces<OllamaModelList>().ProducesOllamaErrors();
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
        OllamaLibraryEndpoints library = new(app.Services.GetRequiredService<LibraryAccess>(), app.Services.GetRequiredService<ModelPulls>(), app.Services.GetRequiredService<WebHostOptions>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/api/pull", (Delegate)library.PullAsync).WithName("ollamaPull").WithTags("Ollama")
            .WithSummary("Fetch a model into the library.").Takes<OllamaPullRequest>("""{"model":"hf:owner/model:Q4_K_M","stream":false}""")
            .Produces<OllamaStatus>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(OllamaStatus), Lines)).ProducesOllamaErrors().Produces<OllamaError>(507);
        app.MapPost("/api/create", (Delegate)library.CreateAsync).WithName("ollamaCreate").WithTags("Ollama")
            .WithSummary("Make a model of another.").Takes<OllamaCreateRequest>("""{"model":"my-model","from":"chat","system":"You are brief.","stream":false}""")
            .Produces<OllamaStatus>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(OllamaStatus), Lines)).ProducesOllamaErrors().Produces<OllamaError>(507);
        app.MapPost("/api/copy", (Delegate)library.CopyAsync).WithName("ollamaCopy").WithTags("Ollama")
            .WithSummary("Give a model a second name.").Takes<OllamaCopyRequest>("""{"source":"chat","destination":"my-copy"}""").Produces(200).ProducesOllamaErrors();
        app.MapDelete("/api/delete", (Delegate)library.DeleteAsync).WithName("ollamaDelete").WithTags("Ollama")
            .WithSummary("Delete a model from the library.").Takes<OllamaDeleteRequest>("""{"model":"my-copy"}""").Produces(200).ProducesOllamaErrors();
        app.MapGet("/api/blobs/{digest}", (Delegate)library.FindBlobAsync).WithName("ollamaFindBlob").WithTags("Ollama").WithMetadata(ApiParameters.Digest)
            .WithSummary("Whether a file is here; asked with HEAD.").Produces(200).ProducesOllamaErrors();
        app.MapPost("/api/blobs/{digest}", (Delegate)library.AddBlobAsync).WithName("ollamaAddBlob").WithTags("Ollama").WithMetadata(ApiParameters.Digest)
            .WithSummary("Upload a file, for a model that will be made of it.").Produces(201).ProducesOllamaErrors().Produces<OllamaError>(507);
        app.MapPost("/api/push", (Delegate)OllamaModelEndpoints.RefuseAsync).ExcludeFromDescription();
    }

    private static RouteHandlerBuilder ProducesOllamaErrors(this RouteHandlerBuilder route)
    {
        foreach (int status in (ReadOnlySpan<int>)[400, 401, 403, 404, 413, 415, 429, 500, 503, 504])
            route.Produces<OllamaError>(status);
        return route;
    }
}
