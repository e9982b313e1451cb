using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>A checked chat request to engine requests: render, tokenize, check the length.</summary>
internal static class ChatTranslator
{
    public static List<GenerationRequest> Translate(ChatCompletionRequest request, ServedModel model, RequestHints hints, TokenConstraint? constraint)
    {
        string rendered = model.Chat(new ChatConversation
        {
            Messages = request.Messages,
            ReasoningEffort = request.ReasoningEffort,
            Kwargs = request.ChatTemplateKwargs,
        });
        GenerationTranslator.CheckTextLength(model, rendered, "messages");
        PromptTokens prompt = new(model.Vocabulary.TokenizeChat(rendered), "messages") { Predicted = Predicted(request, model), Constraint = constraint };
        List<GenerationRequest> requests = [];
        GenerationTranslator.AddRequests(requests, model, request, hints, prompt,
            request.MaxCompletionTokens ?? request.MaxTokens,
            request.Logprobs ? request.TopLogprobs ?? 0 : null);
        return requests;
    }

    private static ReadOnlyMemory<int> Predicted(ChatCompletionRequest request, ServedModel model)
    {
        if (request.Prediction is not { Content.Length: > 0 } prediction)
            return default;
        GenerationTranslator.CheckTextLength(model, prediction.Content, "prediction.content");
        return model.Vocabulary.Tokenize(prediction.Content, false, false);
    }
}
