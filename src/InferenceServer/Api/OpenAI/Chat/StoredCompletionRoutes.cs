using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Chat;

internal static class StoredCompletionRoutes
{
    private static readonly ApiParameter Stored = ApiParameters.Id("Id of a completion that was made with store.", "chatcmpl-00000000000000000000000000000000");

    public static void Map(WebApplication app)
    {
        StoredCompletionEndpoints stored = new(app.Services.GetRequiredService<ServerStore>());
        app.MapGet("/v1/chat/completions", (Delegate)stored.ListAsync).WithName("listChatCompletions").WithTags("Chat")
            .WithSummary("The stored completions.").WithMetadata(ApiParameters.OfPage("asc"))
            .WithMetadata(new ApiParameter("model", "Only those of this model."),
                new ApiParameter("metadata", "Only those whose metadata has all these pairs.", Type: Microsoft.OpenApi.JsonSchemaType.Object)).Produces<ChatCompletionList>().ProducesErrors();
        app.MapGet("/v1/chat/completions/{id}", (Delegate)stored.FindAsync).WithName("getChatCompletion").WithTags("Chat")
            .WithSummary("A stored completion.").WithMetadata(Stored).Produces<ChatCompletion>().ProducesErrors();
        app.MapGet("/v1/chat/completions/{id}/messages", (Delegate)stored.ListMessagesAsync).WithName("getChatCompletionMessages").WithTags("Chat")
            .WithSummary("The messages that a stored completion answered.").WithMetadata(Stored).WithMetadata(ApiParameters.OfPage("asc")).Produces<StoredMessageList>().ProducesErrors();
        app.MapPost("/v1/chat/completions/{id}", (Delegate)stored.UpdateAsync).WithName("updateChatCompletion").WithTags("Chat")
            .WithSummary("Replace a stored completion's metadata.").WithMetadata(Stored).Takes<MetadataUpdate>("""{"metadata":{"title":"The sky"}}""").Produces<ChatCompletion>().ProducesErrors();
        app.MapDelete("/v1/chat/completions/{id}", (Delegate)stored.DeleteAsync).WithName("deleteChatCompletion").WithTags("Chat")
            .WithSummary("Delete a stored completion.").WithMetadata(Stored).Produces<Deletion>().ProducesErrors();
    }
}
