using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Engine.Text;
using InferenceServer.Models;

namespace InferenceServer.Chat;

/// <summary>A chat request to engine requests: render, tokenize, check the length.</summary>
internal static class ChatPrompt
{
    /// <param name="rendered">The conversation's text, as <see cref="Render"/> makes it.</param>
    /// <param name="isSplit">Whether the replies will be taken apart, so that control tokens in markers must come as text.</param>
    /// <returns>One request each choice.</returns>
    public static IReadOnlyList<GenerationRequest> Requests(ChatRequest request, ServedModel model, RenderedPrompt rendered, TokenConstraint? constraint, bool isSplit)
    {
        int[] tokens = Tokenize(rendered, model);
        List<GenerationRequest> requests = [];
        GenerationRequests.Add(requests, model, request.Options, nameof(ChatRequest.Messages), new GenerationRequest
        {
            PromptTokens = tokens,
            MaxTokens = 0,
            PredictedTokens = Predicted(request, model),
            Constraint = constraint,
            Thinking = Thinking(request, model, rendered.Text),
            BeforeAnswer = isSplit ? BeforeAnswer(model.Replies.Format, rendered.Text) : null,
            ControlTokensInText = isSplit ? model.Replies.ControlTokensInText : null,
            MessageBoundaries = model.Engine.TakesCheckpoints ? MessageBoundaries.Of(model, Conversation(request, model), rendered.Text, tokens) : [],
        });
        return requests;
    }

    /// <summary>The text that the model is given. Where no thinking is left over, what the template has opened is closed again.</summary>
    /// <param name="adaptations">Takes what had to be done to the conversation.</param>
    public static RenderedPrompt Render(ChatRequest request, ServedModel model, ICollection<string>? adaptations = null)
    {
        RenderedPrompt rendered = RenderedPrompt.Of(model.Chat(Conversation(request, model) with { Adaptations = adaptations }));
        return request.ReasoningBudget == 0 && model.Replies.Format is { Reasoning: { } markers } format && format.OpeningOf(rendered.Text) == ReplyOpening.Reasoning
            ? rendered.With(EndOfThinking(format, markers))
            : rendered;
    }

    /// <summary>Its tokens.</summary>
    /// <param name="adaptations">Takes what had to be done to the conversation.</param>
    public static int[] Tokenize(ChatRequest request, ServedModel model, ICollection<string>? adaptations = null) => Tokenize(Render(request, model, adaptations), model);

    private static int[] Tokenize(RenderedPrompt rendered, ServedModel model)
    {
        GenerationRequests.CheckTextLength(model, rendered.Text, nameof(ChatRequest.Messages));
        return model.Vocabulary.TokenizeChat(rendered);
    }

    private static ChatConversation Conversation(ChatRequest request, ServedModel model) => new()
    {
        Messages = model.Settings().System is { } system && !request.Messages.Any(message => message.Role.Instructs())
            ? [new ChatMessage { Role = ChatRole.System, Text = system }, .. request.Messages]
            : request.Messages,
        Tools = request.ToolChoice.Mode == ToolMode.None ? [] : request.Tools,
        ReasoningEffort = request.ReasoningEffort,
        TemplateArguments = request.TemplateArguments,
        AddGenerationPrompt = request.AddGenerationPrompt,
        ContinuesFinalMessage = request.ContinuesFinalMessage,
    };

    /// <summary>The limit on what is thought in the open, in terms of the model's markers.</summary>
    private static ThinkingLimit? Thinking(ChatRequest request, ServedModel model, string rendered)
    {
        if (request.ReasoningBudget is not { } budget || budget < 0)
            return null;
        ReplyFormat format = model.Replies.Format;
        // Who does not think in the open keeps any limit.
        if (format.Reasoning is not { } markers || format.IsReasoningOver(rendered))
            return null;
        int[] tokens = model.Vocabulary.Tokenize(EndOfThinking(format, markers), false, true);
        if (tokens.Length > ThinkingLimit.MaxCloseTokens)
            throw RequestProblem.Unsupported(nameof(ChatRequest.ReasoningBudget), $"what ends this model's reasoning takes {tokens.Length} tokens, more than {ThinkingLimit.MaxCloseTokens}.");
        return new ThinkingLimit(budget, markers.Open.Trim(), markers.Close.Trim(), format.OpeningOf(rendered) == ReplyOpening.Reasoning, tokens);
    }

    /// <summary>What is told apart from the answer: stop strings are the answer's.</summary>
    private static AnswerFrame? BeforeAnswer(ReplyFormat format, string rendered) => format.Reasoning is { } markers && !format.IsReasoningOver(rendered)
        ? new AnswerFrame(markers.Open.Trim(), markers.Close.Trim(), format.OpeningOf(rendered) == ReplyOpening.Reasoning,
            [.. format.Skipped.Append(format.AfterReasoning).Append(format.ContentOpen).Select(text => text.Trim()).Where(text => text.Length > 0).Distinct()])
        : null;

    private static string EndOfThinking(ReplyFormat format, ReasoningMarkers markers) =>
        format.AfterReasoning.Length > 0 ? markers.Close.Trim() + format.AfterReasoning : $"\n{markers.Close.Trim()}\n\n";

    private static ReadOnlyMemory<int> Predicted(ChatRequest request, ServedModel model)
    {
        if (request.Prediction is not { Length: > 0 } prediction)
            return default;
        GenerationRequests.CheckTextLength(model, prediction, nameof(ChatRequest.Prediction));
        return model.Vocabulary.Tokenize(prediction, false, false);
    }
}
