using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>A checked chat request to engine requests: render, tokenize, check the length.</summary>
internal static class ChatTranslator
{
    /// <param name="rendered">The conversation's text, as <see cref="Render"/> makes it.</param>
    /// <param name="isSplit">Whether the replies will be taken apart, so that control tokens in markers must come as text.</param>
    /// <returns>One request each choice.</returns>
    public static IReadOnlyList<GenerationRequest> Translate(
        ChatCompletionRequest request, ServedModel model, RequestHints hints, string rendered, TokenConstraint? constraint, bool isSplit)
    {
        int[] tokens = Tokenize(rendered, model);
        PromptTokens prompt = new(tokens, "messages")
        {
            Predicted = Predicted(request, model),
            Constraint = constraint,
            ControlTokensInText = isSplit ? model.Replies.ControlTokensInText : null,
            Boundaries = model.Engine.TakesCheckpoints ? MessageBoundaries.Of(model, Conversation(request), rendered, tokens) : [],
        };
        List<GenerationRequest> requests = [];
        GenerationTranslator.AddRequests(requests, model, request, hints, prompt,
            request.MaxCompletionTokens ?? request.MaxTokens,
            request.Logprobs ? request.TopLogprobs ?? 0 : null);
        return requests;
    }

    /// <summary>The text that the model would be given.</summary>
    public static string Render(ChatCompletionRequest request, ServedModel model) => model.Chat(Conversation(request));

    /// <summary>Its tokens.</summary>
    public static int[] Tokenize(ChatCompletionRequest request, ServedModel model) => Tokenize(Render(request, model), model);

    private static int[] Tokenize(string rendered, ServedModel model)
    {
        GenerationTranslator.CheckTextLength(model, rendered, "messages");
        return model.Vocabulary.TokenizeChat(rendered);
    }

    private static ChatConversation Conversation(ChatCompletionRequest request) => new()
    {
        Messages = request.Messages,
        Tools = request.ToolSelection.Mode == ToolMode.None ? [] : request.Tools,
        ReasoningEffort = request.ReasoningEffort,
        Kwargs = request.ChatTemplateKwargs,
    };

    private static ReadOnlyMemory<int> Predicted(ChatCompletionRequest request, ServedModel model)
    {
        if (request.Prediction is not { Content.Length: > 0 } prediction)
            return default;
        GenerationTranslator.CheckTextLength(model, prediction.Content, "prediction.content");
        return model.Vocabulary.Tokenize(prediction.Content, false, false);
    }
}
