using System.Text.Json.Serialization.Metadata;
using InferenceServer.Api.Adapters;
using InferenceServer.Api.Anthropic;
using InferenceServer.Api.Embeddings;
using InferenceServer.Api.Feedback;
using InferenceServer.Api.Library;
using InferenceServer.Api.LlamaServer;
using InferenceServer.Api.Moderation;
using InferenceServer.Api.Ollama;
using InferenceServer.Api.OpenAI;
using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Completions;
using InferenceServer.Api.OpenAI.Conversations;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Api.Replay;
using InferenceServer.Api.Tokens;
using InferenceServer.Operations;
using InferenceServer.Web;
using Scalar.AspNetCore;

namespace InferenceServer.Api;

/// <summary>Every route, with what the OpenAPI document says of it. The handlers write their own answers.</summary>
internal static class ApiRoutes
{
    /// <summary>The last is for whatever no other claims.</summary>
    public static ErrorShape[] ErrorShapes { get; } = [AnthropicErrors.Shape, OllamaErrors.Shape, LlamaServerErrors.Shape, ResponseErrors.Shape, ErrorResponse.Shape];

    /// <summary>What all endpoints send and take.</summary>
    public static IReadOnlyList<IJsonTypeInfoResolver> Contracts { get; } =
    [
        OpenAIJson.Default, ChatJson.Default, CompletionJson.Default, ResponsesJson.Default, AnthropicJson.Default, OllamaJson.Default, OllamaEmbedJson.Default, LlamaServerJson.Default,
        ModerationJson.Default, EmbeddingJson.Default, FeedbackJson.Default, LibraryJson.Default, AdapterJson.Default, TokenJson.Default, ServerJson.Default,
    ];

    public static void AddServices(IServiceCollection services) =>
        services.AddSingleton<ChatCompletionEndpoint>().AddSingleton<CompletionEndpoint>().AddSingleton<ModelEndpoints>().AddSingleton<SessionEndpoints>().AddSingleton<HealthEndpoints>().AddSingleton<RequestEndpoints>();

    public static void Map(WebApplication app)
    {
        IServiceProvider services = app.Services;
        ChatCompletionEndpoint chat = services.GetRequiredService<ChatCompletionEndpoint>();
        CompletionEndpoint completions = services.GetRequiredService<CompletionEndpoint>();
        ModelEndpoints models = services.GetRequiredService<ModelEndpoints>();
        SessionEndpoints sessions = services.GetRequiredService<SessionEndpoints>();
        HealthEndpoints health = services.GetRequiredService<HealthEndpoints>();
        ServerMetrics metrics = services.GetRequiredService<ServerMetrics>();

        app.MapPost("/v1/chat/completions", (Delegate)chat.HandleAsync).WithName("createChatCompletion").WithTags("Chat")
            .WithSummary("Continue a conversation.")
            .Takes<ChatCompletionRequest>("""{"model":"$model","messages":[{"role":"user","content":"Why is the sky blue?"}],"max_completion_tokens":100}""")
            .Produces<ChatCompletion>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(ChatCompletionChunk))).WithMetadata(ApiParameters.OfGeneration).ProducesErrors().Produces<ErrorResponse>(502);
        app.MapPost("/v1/completions", (Delegate)completions.HandleAsync).WithName("createCompletion").WithTags("Completions")
            .WithSummary("Continue a text.")
            .Takes<CompletionRequest>("""{"model":"$model","prompt":"Once upon a time","max_tokens":60}""")
            .Produces<Completion>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(CompletionChunk))).WithMetadata(ApiParameters.OfGeneration).ProducesErrors();
        app.MapGet("/v1/models", (Delegate)models.ListAsync).WithName("listModels").WithTags("Available models").WithMetadata(QuietRoute.Marker)
            .WithSummary("The loaded models, then those of the library that are not loaded.").WithMetadata(AnthropicModels.Page).Produces<ModelList>().ProducesErrors();
        app.MapGet("/v1/models/{id}", (Delegate)models.FindAsync).WithName("retrieveModel").WithTags("Available models").WithMetadata(QuietRoute.Marker)
            .WithSummary("One model.").WithMetadata(ApiParameters.ModelId).Produces<ModelDescription>().ProducesErrors();
        // Names may have an owner, and clients write the stroke as it is.
        app.MapGet("/v1/models/{owner}/{id}", (Delegate)models.FindAsync).WithMetadata(QuietRoute.Marker).ExcludeFromDescription();

        LibraryRoutes.Map(app);
        AdapterRoutes.Map(app);
        StoredCompletionRoutes.Map(app);
        ResponseRoutes.Map(app);
        ConversationRoutes.Map(app);
        TokenRoutes.Map(app);
        ReplayRoutes.Map(app);
        MessagesRoutes.Map(app);
        OllamaRoutes.Map(app);
        LlamaServerRoutes.Map(app);
        ModerationRoutes.Map(app);
        EmbeddingRoutes.Map(app);
        FeedbackRoutes.Map(app);
        PageRoutes.Map(app);

        app.MapGet("/v1/sessions", (Delegate)sessions.ListAsync).WithName("listSessions").WithTags("Sessions")
            .WithSummary("The cached conversations of one namespace; the header X-Cache-Salt says which.").WithMetadata(SessionEndpoints.Salt).Produces<SessionList>().ProducesErrors();
        app.MapDelete("/v1/sessions/{id}", (Delegate)sessions.DropAsync).WithName("deleteSession").WithTags("Sessions")
            .WithSummary("Drop a cached conversation from memory and disk.").WithMetadata(SessionEndpoints.Salt, ApiParameters.Id("The name that requests gave the session.", "my-session")).Produces<SessionDeletion>().ProducesErrors();

        RequestEndpoints requests = services.GetRequiredService<RequestEndpoints>();
        app.MapGet("/v1/requests", (Delegate)requests.ListAsync).WithName("listRequests").WithTags("Requests").WithMetadata(QuietRoute.Marker)
            .WithSummary("What this key's latest requests to models took and came to, the newest first; those that run, too.")
            .WithMetadata(new ApiParameter("limit", $"Most entries: 1 to {RecentRequests.Kept}, 20 if absent.", Type: Microsoft.OpenApi.JsonSchemaType.Integer)).Produces<RequestList>().ProducesErrors();

        app.MapGet("/health/live", (Delegate)health.LiveAsync).WithName("live").WithTags("Health").WithMetadata(QuietRoute.Marker).AllowAnonymous()
            .WithSummary("200 while the process can work.").Produces<HealthReport>().Produces<HealthReport>(503);
        app.MapGet("/health/ready", (Delegate)health.ReadyAsync).WithName("ready").WithTags("Health").WithMetadata(QuietRoute.Marker).AllowAnonymous()
            .WithSummary("200 while a token can be decoded.").Produces<HealthReport>().Produces<HealthReport>(503);
        app.MapGet("/health", (Delegate)health.ReportAsync).WithName("health").WithTags("Health").WithMetadata(QuietRoute.Marker).AllowAnonymous()
            .WithSummary("How the server is.").Produces<HealthReport>().Produces<HealthReport>(503);
        app.MapGet("/metrics", (Delegate)metrics.WriteAsync).WithName("metrics").WithTags("Health")
            .WithSummary("Metrics in Prometheus' text format.").WithMetadata(QuietRoute.Marker).Produces<string>(contentType: "text/plain").ProducesErrors();

        // What the API is, is no secret, and a browser opens the page without a key.
        app.MapOpenApi("/openapi/{documentName}.json").AllowAnonymous();
        app.MapScalarApiReference("/docs", scalar => scalar.WithTitle("InferenceServer").DisableDefaultFonts().DisableTelemetry().DisableAgent().DisableMcp().HideDeveloperTools())
            .AllowAnonymous();
    }

    public static RouteHandlerBuilder ProducesErrors(this RouteHandlerBuilder route)
    {
        foreach (int status in (ReadOnlySpan<int>)[400, 401, 403, 404, 413, 415, 422, 429, 500, 503, 504])
            route.Produces<ErrorResponse>(status);
        return route;
    }
}
