using InferenceServer.Api.OpenAI.Chat;

namespace InferenceServer.Api.Tokens;

internal static class TokenRoutes
{
    public static void Map(WebApplication app)
    {
        TokenEndpoints tokens = new(app.Services.GetRequiredService<Models.ModelCatalogue>());
        app.MapPost("/tokenize", (Delegate)tokens.TokenizeAsync).WithName("tokenize").WithTags("Tokens")
            .WithSummary("Take a text apart into tokens.").Accepts<TokenizeRequest>("application/json").Produces<TokenizedText>().ProducesErrors();
        app.MapPost("/detokenize", (Delegate)tokens.DetokenizeAsync).WithName("detokenize").WithTags("Tokens")
            .WithSummary("Put tokens together into a text.").Accepts<DetokenizeRequest>("application/json").Produces<DetokenizedText>().ProducesErrors();
        app.MapPost("/apply-template", (Delegate)tokens.ApplyTemplateAsync).WithName("applyTemplate").WithTags("Tokens")
            .WithSummary("Show the prompt that a chat becomes.").Accepts<ChatCompletionRequest>("application/json").Produces<RenderedPrompt>().ProducesErrors();
        app.MapPost("/v1/chat/completions/input_tokens", (Delegate)tokens.CountChatAsync).WithName("countChatTokens").WithTags("Tokens")
            .WithSummary("Count the tokens of the prompt that a chat becomes.").Accepts<ChatCompletionRequest>("application/json")
            .Produces<InputTokenCount>().ProducesErrors();
    }
}
