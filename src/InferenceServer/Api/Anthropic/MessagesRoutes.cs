using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api.Anthropic;

internal static class MessagesRoutes
{
    // The beta side of their SDKs sends it; its fields are read one by one.
    private static readonly ApiParameter Beta = new("beta", "Accepted: which fields are known does not depend on it.", Type: Microsoft.OpenApi.JsonSchemaType.Boolean);

    public static void Map(WebApplication app)
    {
        MessagesEndpoint messages = new(app.Services.GetRequiredService<ModelCatalogue>(), app.Services.GetRequiredService<TimeProvider>());
        app.MapPost("/v1/messages", (Delegate)messages.CreateAsync).WithName("createMessage").WithTags("Messages")
            .WithSummary("Continue a conversation, as Anthropic's clients ask for it.").WithMetadata(Beta).WithMetadata(ApiParameters.OfGeneration).Takes<MessagesRequest>("""{"model":"$model","max_tokens":100,"messages":[{"role":"user","content":"Why is the sky blue?"}]}""")
            .Produces<Message>().WithMetadata(new OpenApiDocument.StreamedAnswer(typeof(MessageStreamEvent))).ProducesAnthropicErrors();
        app.MapPost("/v1/messages/count_tokens", (Delegate)messages.CountTokensAsync).WithName("countMessageTokens").WithTags("Messages")
            .WithSummary("Count the tokens of the prompt that messages become.").WithMetadata(Beta).Takes<CountTokensRequest>("""{"model":"$model","messages":[{"role":"user","content":"Why is the sky blue?"}]}""")
            .Produces<MessageTokenCount>().ProducesAnthropicErrors();
    }

    private static RouteHandlerBuilder ProducesAnthropicErrors(this RouteHandlerBuilder route)
    {
        foreach (int status in (ReadOnlySpan<int>)[400, 401, 404, 413, 415, 429, 500, 504, 529])
            route.Produces<AnthropicErrorResponse>(status);
        return route;
    }
}
