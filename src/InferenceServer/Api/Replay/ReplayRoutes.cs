using InferenceServer.Operations;

namespace InferenceServer.Api.Replay;

internal static class ReplayRoutes
{
    private static readonly ApiParameter Recorded = ApiParameters.Id("The part before the dot of the events' ids.", "00000000000000000000000000000000");

    public static void Map(WebApplication app)
    {
        RecordingStore store = app.Services.GetRequiredService<RecordingStore>();
        app.MapGet("/v1/streams/{id}", (Delegate)(async (HttpContext http) =>
            {
                StreamPosition? after = ReplayRequest.Of(http.Request)?.After;
                using RecordingReader reader = store.Open(ApiKey.Of(http).Id ?? "", Id(http), after);
                await RecordingAnswer.FollowAsync(http, reader, store.Clock, isReplay: true);
            })).WithName("resumeStream").WithTags("Streams")
            .WithSummary("Send a recorded answer again, from its beginning or after the event of the header Last-Event-ID.").WithMetadata(Recorded)
            .WithMetadata(new ApiParameter(ReplayRequest.LastEventHeader, "The last event that was received.", Microsoft.OpenApi.ParameterLocation.Header))
            .Produces<string>(contentType: "text/event-stream").ProducesErrors();
        app.MapDelete("/v1/streams/{id}", (Delegate)((HttpContext http) =>
            {
                store.Delete(ApiKey.Of(http).Id ?? "", Id(http));
                http.Response.StatusCode = StatusCodes.Status204NoContent;
                return Task.CompletedTask;
            })).WithName("deleteStream").WithTags("Streams")
            .WithSummary("Cancel a recorded answer that is being made, and forget it.").WithMetadata(Recorded).Produces(StatusCodes.Status204NoContent).ProducesErrors();
    }

    private static string Id(HttpContext http) => (string)http.Request.RouteValues["id"]!;
}
