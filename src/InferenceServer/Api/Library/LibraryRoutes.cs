using InferenceServer.Api.OpenAI;

namespace InferenceServer.Api.Library;

internal static class LibraryRoutes
{
    public static void AddServices(IServiceCollection services) => services.AddSingleton<LibraryAccess>().AddSingleton<ModelPulls>().AddSingleton<LibraryEndpoints>();

    public static void Map(WebApplication app)
    {
        LibraryEndpoints library = app.Services.GetRequiredService<LibraryEndpoints>();
        app.MapPost("/v1/models/pull", (Delegate)library.PullAsync).WithName("pullModel").WithTags("Available models")
            .WithSummary("Fetch a model into the library. A pull that ends early goes on where it ended.").Takes<ModelPullRequest>("""{"model":"hf:owner/model:Q4_K_M"}""")
            .Produces<LibraryModel>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(ModelPullEvent))).ProducesErrors().Produces<ErrorResponse>(StatusCodes.Status507InsufficientStorage);
        app.MapPost("/v1/models/verify", (Delegate)library.VerifyAsync).WithName("verifyModels").WithTags("Available models")
            .WithSummary("Read files of the library and compare their hashes. What is damaged is set aside.").Takes<ModelVerifyRequest>("""{"model":"chat"}""").Produces<ModelVerification>().ProducesErrors();
        app.MapDelete("/v1/models/{id}", (Delegate)library.DeleteAsync).WithName("deleteModel").WithTags("Available models")
            .WithSummary("Delete a model from the library. What is loaded stays loaded.").WithMetadata(ApiParameters.ModelId).Produces<Deletion>().ProducesErrors();
        // Names may have an owner, and clients write the stroke as it is.
        app.MapDelete("/v1/models/{owner}/{id}", (Delegate)library.DeleteAsync).ExcludeFromDescription();
    }
}
