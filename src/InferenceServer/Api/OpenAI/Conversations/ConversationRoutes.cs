using InferenceServer.Api.OpenAI.Responses;
using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api.OpenAI.Conversations;

internal static class ConversationRoutes
{
    private static readonly ApiParameter Stored = ApiParameters.Id("Id of a conversation.", "conv_00000000000000000000000000000000");
    private static readonly ApiParameter Item = ApiParameters.Id("Id of an item.", "msg_00000000000000000000000000000000") with { Name = "item" };

    public static void Map(WebApplication app)
    {
        ConversationEndpoints conversations = new(app.Services.GetRequiredService<ServerStore>(), app.Services.GetRequiredService<ResponseRuns>(),
            app.Services.GetRequiredService<ConversationLocks>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/v1/conversations", (Delegate)conversations.CreateAsync).WithName("createConversation").WithTags("Conversations")
            .WithSummary("Begin a conversation.").Takes<ConversationRequest>("""{"metadata":{"title":"The sky"},"items":[{"type":"message","role":"user","content":"Why is the sky blue?"}]}""").Produces<Conversation>().ProducesErrors();
        app.MapGet("/v1/conversations", (Delegate)conversations.ListAsync).WithName("listConversations").WithTags("Conversations")
            .WithSummary("The conversations, by when something was last said in them.").WithMetadata(ApiParameters.OfPage("desc"))
            .WithMetadata(new ApiParameter("query", "Only those whose title (metadata.title) or one of whose messages has all these words, the last one perhaps only begun; match says where."))
            .Produces<ConversationList>().ProducesErrors();
        app.MapGet("/v1/conversations/{id}", (Delegate)conversations.RetrieveAsync).WithName("getConversation").WithTags("Conversations")
            .WithSummary("A conversation, without its items.").WithMetadata(Stored).Produces<Conversation>().ProducesErrors();
        app.MapPost("/v1/conversations/{id}", (Delegate)conversations.UpdateAsync).WithName("updateConversation").WithTags("Conversations")
            .WithSummary("Replace a conversation's metadata.").WithMetadata(Stored).Takes<MetadataUpdate>("""{"metadata":{"title":"The sky"}}""").Produces<Conversation>().ProducesErrors();
        app.MapDelete("/v1/conversations/{id}", (Delegate)conversations.DeleteAsync).WithName("deleteConversation").WithTags("Conversations")
            .WithSummary("Delete a conversation, its items and the responses that were made in it.").WithMetadata(Stored).Produces<Deletion>().ProducesErrors();
        app.MapPost("/v1/conversations/{id}/items", (Delegate)conversations.CreateItemsAsync).WithName("createConversationItems").WithTags("Conversations")
            .WithSummary("Add items.").WithMetadata(Stored).WithMetadata(ApiParameters.Include).Takes<ConversationItemsRequest>("""{"items":[{"type":"message","role":"user","content":"And at night?"}]}""").Produces<ConversationItemList>().ProducesErrors();
        app.MapGet("/v1/conversations/{id}/items", (Delegate)conversations.ListItemsAsync).WithName("listConversationItems").WithTags("Conversations")
            .WithSummary("A conversation's items.").WithMetadata(Stored).WithMetadata(ApiParameters.OfPage("desc")).WithMetadata(ApiParameters.Include).Produces<ConversationItemList>().ProducesErrors();
        app.MapGet("/v1/conversations/{id}/items/{item}", (Delegate)conversations.RetrieveItemAsync).WithName("getConversationItem").WithTags("Conversations")
            .WithSummary("One item.").WithMetadata(Stored, Item).WithMetadata(ApiParameters.Include).Produces<ConversationItem>().ProducesErrors();
        app.MapDelete("/v1/conversations/{id}/items/{item}", (Delegate)conversations.DeleteItemAsync).WithName("deleteConversationItem").WithTags("Conversations")
            .WithSummary("Delete one item; those that hang below it move up to its parent.").WithMetadata(Stored, Item).Produces<Conversation>().ProducesErrors();
    }
}
