using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Conversations;

internal static class ConversationRoutes
{
    public static void Map(WebApplication app)
    {
        ConversationEndpoints conversations = new(app.Services.GetRequiredService<ServerStore>(), app.Services.GetRequiredService<ConversationLocks>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/v1/conversations", (Delegate)conversations.CreateAsync).WithName("createConversation").WithTags("Conversations")
            .WithSummary("Begin a conversation.").Accepts<ConversationRequest>("application/json").Produces<Conversation>().ProducesErrors();
        app.MapGet("/v1/conversations/{id}", (Delegate)conversations.RetrieveAsync).WithName("getConversation").WithTags("Conversations")
            .WithSummary("A conversation, without its items.").Produces<Conversation>().ProducesErrors();
        app.MapPost("/v1/conversations/{id}", (Delegate)conversations.UpdateAsync).WithName("updateConversation").WithTags("Conversations")
            .WithSummary("Replace a conversation's metadata.").Accepts<MetadataUpdate>("application/json").Produces<Conversation>().ProducesErrors();
        app.MapDelete("/v1/conversations/{id}", (Delegate)conversations.DeleteAsync).WithName("deleteConversation").WithTags("Conversations")
            .WithSummary("Delete a conversation and its items.").Produces<Deletion>().ProducesErrors();
        app.MapPost("/v1/conversations/{id}/items", (Delegate)conversations.CreateItemsAsync).WithName("createConversationItems").WithTags("Conversations")
            .WithSummary("Add items.").WithMetadata(ApiParameters.Include).Accepts<ConversationItemsRequest>("application/json").Produces<ResponseItemList>().ProducesErrors();
        app.MapGet("/v1/conversations/{id}/items", (Delegate)conversations.ListItemsAsync).WithName("listConversationItems").WithTags("Conversations")
            .WithSummary("A conversation's items.").WithMetadata(ApiParameters.OfPage("desc")).WithMetadata(ApiParameters.Include).Produces<ResponseItemList>().ProducesErrors();
        app.MapGet("/v1/conversations/{id}/items/{item}", (Delegate)conversations.RetrieveItemAsync).WithName("getConversationItem").WithTags("Conversations")
            .WithSummary("One item.").WithMetadata(ApiParameters.Include).Produces<ResponseItem>().ProducesErrors();
        app.MapDelete("/v1/conversations/{id}/items/{item}", (Delegate)conversations.DeleteItemAsync).WithName("deleteConversationItem").WithTags("Conversations")
            .WithSummary("Delete one item.").Produces<Conversation>().ProducesErrors();
    }
}
