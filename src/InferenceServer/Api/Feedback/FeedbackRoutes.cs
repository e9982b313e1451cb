using InferenceServer.Api.OpenAI;
using InferenceServer.Operations;

namespace InferenceServer.Api.Feedback;

internal static class FeedbackRoutes
{
    private static readonly ApiParameter Given = ApiParameters.Id("Id of a piece of feedback.", "fb_00000000000000000000000000000000");

    public static void AddServices(IServiceCollection services) => services.AddSingleton<FeedbackSubjects>().AddSingleton<FeedbackEndpoints>();

    public static void Map(WebApplication app)
    {
        FeedbackEndpoints feedback = app.Services.GetRequiredService<FeedbackEndpoints>();
        app.MapPost("/v1/feedback", (Delegate)feedback.CreateAsync).WithName("createFeedback").WithTags("Feedback")
            .WithSummary("Say what you think of a reply: rate it, choose it over another one, or write a better one.").Takes<FeedbackRequest>("""{"kind":"rating","rating":"up","response_id":"resp_00000000000000000000000000000000"}""").Produces<FeedbackRecord>()
            .ProducesErrors().Produces<ErrorResponse>(StatusCodes.Status507InsufficientStorage);
        app.MapGet("/v1/feedback", (Delegate)feedback.ListAsync).WithName("listFeedback").WithTags("Feedback")
            .WithSummary("The feedback that was given.").WithMetadata(ApiParameters.OfPage("desc"))
            .WithMetadata(new ApiParameter("kind", "Only of this kind.") { Allowed = [FeedbackRecord.RatingKind, FeedbackRecord.ComparisonKind, FeedbackRecord.EditKind] },
                new ApiParameter("model", "Only about replies of this model."))
            .Produces<FeedbackList>().ProducesErrors();
        app.MapDelete("/v1/feedback", (Delegate)feedback.DeleteAllAsync).WithName("deleteAllFeedback").WithTags("Feedback")
            .WithSummary("Delete all feedback that was given with this key.").Produces<FeedbackDeletion>().ProducesErrors();
        app.MapGet("/v1/feedback/summary", (Delegate)feedback.SummariseAsync).WithName("summariseFeedback").WithTags("Feedback")
            .WithSummary("Ratings by model, and how often each model's replies were chosen over another's.").Produces<FeedbackSummary>().ProducesErrors();
        app.MapGet("/v1/feedback/export", (Delegate)feedback.ExportAsync).WithName("exportFeedback").WithTags("Feedback")
            .WithSummary("Feedback as JSON lines to train on, without what calls functions.")
            .WithMetadata(new ApiParameter("format", "sft: dialogues to imitate. dpo: prompt, chosen, rejected. reward: the same as the project's trainer keeps it.")
            { Allowed = [FeedbackExport.Sft, FeedbackExport.Dpo, FeedbackExport.Reward] })
            .Produces<string>(contentType: "application/jsonl").ProducesErrors();
        app.MapGet("/v1/feedback/{id}", (Delegate)feedback.RetrieveAsync).WithName("getFeedback").WithTags("Feedback")
            .WithSummary("One of them.").WithMetadata(Given).Produces<FeedbackRecord>().ProducesErrors();
        app.MapDelete("/v1/feedback/{id}", (Delegate)feedback.DeleteAsync).WithName("deleteFeedback").WithTags("Feedback")
            .WithSummary("Delete one of them.").WithMetadata(Given).Produces<Deletion>().ProducesErrors();
    }
}
