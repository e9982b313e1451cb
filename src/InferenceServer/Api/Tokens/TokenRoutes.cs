using InferenceServer.Api.OpenAI.Chat;

namespace InferenceServer.Api.Tokens;

internal static class TokenRoutes
{
    public static void Map(WebApplication app)
    {
        TokenEndpoints tokens = new(app.Services.GetRequiredService<Models.ModelCatalogue>(), app.Services.GetRequiredService<Mcp.McpServers>());
        app.MapPost("/tokenize", (Delegate)tokens.TokenizeAsync).WithName("tokenize").WithTags("Tokens")
            .WithSummary("Take a text apart into tokens.").Takes<TokenizeRequest>("""{"content":"Why is the sky blue?","with_pieces":true}""").Produces<TokenizedText>().ProducesErrors();
        app.MapPost("/detokenize", (Delegate)tokens.DetokenizeAsync).WithName("detokenize").WithTags("Tokens")
            .WithSummary("Put tokens together into a text.").Takes<DetokenizeRequest>("""{"tokens":[0,1,2,3]}""").Produces<DetokenizedText>().ProducesErrors();
        app.MapPost("/apply-template", (Delegate)tokens.ApplyTemplateAsync).WithName("applyTemplate").WithTags("Tokens")
            .WithSummary("Show the prompt that a chat becomes.").Takes<ChatCompletionRequest>("""{"model":"$model","messages":[{"role":"user","content":"Why is the sky blue?"}]}""").Produces<RenderedPrompt>().ProducesErrors();
        app.MapPost("/v1/chat/completions/input_tokens", (Delegate)tokens.CountChatAsync).WithName("countChatTokens").WithTags("Tokens")
            .WithSummary("Count the tokens of the prompt that a chat becomes.").Takes<ChatCompletionRequest>("""{"model":"$model","messages":[{"role":"user","content":"Why is the sky blue?"}]}""")
            .Produces<InputTokenCount>().ProducesErrors();
    }
}
