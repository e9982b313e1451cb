using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Engine.Text;
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
            Thinking = Thinking(request, model, rendered),
            ControlTokensInText = isSplit ? model.Replies.ControlTokensInText : null,
            Boundaries = model.Engine.TakesCheckpoints ? MessageBoundaries.Of(model, Conversation(request), rendered, tokens) : [],
        };
        List<GenerationRequest> requests = [];
        GenerationTranslator.AddRequests(requests, model, request, hints, prompt,
            request.MaxCompletionTokens ?? request.MaxTokens,
            request.Logprobs ? request.TopLogprobs ?? 0 : null);
        return requests;
    }

    /// <summary>The limit on what is thought in the open, in terms of the model's markers.</summary>
    private static ThinkingLimit? Thinking(ChatCompletionRequest request, ServedModel model, string rendered)
    {
        if (request.ReasoningBudget is not { } budget || budget < 0)
            return null;
        ReplyFormat format = model.Replies.Format;
        // Who does not think in the open keeps any limit.
        if (format.Reasoning is not { } markers || format.IsReasoningOver(rendered))
            return null;
        int[] tokens = model.Vocabulary.Tokenize(EndOfThinking(format, markers), false, true);
        if (tokens.Length > ThinkingLimit.MaxCloseTokens)
            throw ApiException.Unsupported("reasoning_budget", $"what ends this model's reasoning takes {tokens.Length} tokens, more than {ThinkingLimit.MaxCloseTokens}.");
        return new ThinkingLimit(budget, markers.Open.Trim(), markers.Close.Trim(), format.OpeningOf(rendered) == ReplyOpening.Reasoning, tokens);
    }

    /// <summary>The text that the model is given. Where no thinking is left over, what the template has opened is closed again.</summary>
    public static string Render(ChatCompletionRequest request, ServedModel model)
    {
        string rendered = model.Chat(Conversation(request));
        return request.ReasoningBudget == 0 && model.Replies.Format is { Reasoning: { } markers } format && format.OpeningOf(rendered) == ReplyOpening.Reasoning
            ? rendered + EndOfThinking(format, markers)
            : rendered;
    }

    private static string EndOfThinking(ReplyFormat format, ReasoningMarkers markers) =>
        format.AfterReasoning.Length > 0 ? markers.Close.Trim() + format.AfterReasoning : $"\n{markers.Close.Trim()}\n\n";

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
