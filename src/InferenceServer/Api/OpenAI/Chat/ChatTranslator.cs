using InferenceServer.Chat;
using InferenceServer.Chat.Replies;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Chat;

/// <summary>A chat request as the engine takes it.</summary>
/// <param name="Requests">One each choice.</param>
/// <param name="Split">How the replies are taken apart; null where they are content as they stand.</param>
internal sealed record ChatPrompt(IReadOnlyList<GenerationRequest> Requests, ReplySplitOptions? Split);

/// <summary>A checked chat request to engine requests: render, tokenize, check the length.</summary>
internal static class ChatTranslator
{
    public static ChatPrompt Translate(ChatCompletionRequest request, ServedModel model, RequestHints hints, TokenConstraint? constraint)
    {
        RefuseUnenforced(request);
        ChatConversation conversation = Conversation(request);
        string rendered = model.Chat(conversation);
        int[] tokens = Tokenize(rendered, model);
        ReplySplitOptions? split = Split(request, model, rendered, constraint);
        PromptTokens prompt = new(tokens, "messages")
        {
            Predicted = Predicted(request, model),
            Constraint = constraint,
            ControlTokensInText = split is null ? null : model.Replies.ControlTokensInText,
            Boundaries = model.Engine.TakesCheckpoints ? MessageBoundaries.Of(model, conversation, rendered, tokens) : [],
        };
        List<GenerationRequest> requests = [];
        GenerationTranslator.AddRequests(requests, model, request, hints, prompt,
            request.MaxCompletionTokens ?? request.MaxTokens,
            request.Logprobs ? request.TopLogprobs ?? 0 : null);
        return new(requests, split);
    }

    /// <summary>What would have to be enforced and is not: refused, never left to the model's good will.</summary>
    private static void RefuseUnenforced(ChatCompletionRequest request)
    {
        if (request.ToolSelection.Mode is ToolMode.Required or ToolMode.Named)
            throw ApiException.Unsupported("tool_choice", "calls are not enforced yet; only 'none' and 'auto' pass.");
        if (request.ToolSelection.Mode == ToolMode.None || request.Tools.Count == 0)
            return;
        if (request.Tools.FirstOrDefault(tool => tool.Function.Strict == true) is { } strict)
            throw ApiException.Unsupported(strict.ParametersPath.Replace(".parameters", ".strict", StringComparison.Ordinal), "arguments are not held to their schema yet.");
        if (!request.ParallelToolCalls)
            throw ApiException.Unsupported("parallel_tool_calls", "the number of calls is not enforced yet.");
        if (request.Constraint is { } constraint)
            throw ApiException.InvalidValue($"'tools' and '{constraint.Param}' cannot both be given yet: what obeys a constraint makes no calls.", constraint.Param, "invalid_value");
    }

    private static ReplySplitOptions? Split(ChatCompletionRequest request, ServedModel model, string rendered, TokenConstraint? constraint)
    {
        ReplyFormat format = model.Replies.Format;
        ToolSignature[] tools =
            [.. request.Tools.Where(tool => request.ToolSelection.Allows(tool.Function.Name)).Select(tool => new ToolSignature(tool.Function.Name, tool.Function.Parameters))];
        // What obeys a constraint is content from its first token on.
        if (constraint is not null || (tools.Length == 0 && !format.HasMarkers))
            return null;
        return new ReplySplitOptions { Tools = tools, Opening = format.OpeningOf(rendered) };
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
