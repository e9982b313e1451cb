using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>A checked completion request to engine requests: the choices of the first prompt, then those of the next.</summary>
internal static class CompletionTranslator
{
    // As many as one client may have waiting at once, whatever mix of prompts and choices they are.
    private const int MaxChoices = 2048;

    public static List<GenerationRequest> Translate(CompletionRequest request, ServedModel model, RequestHints hints, TokenConstraint? constraint)
    {
        long choices = (long)request.Prompt.Count * request.N;
        if (choices > MaxChoices)
            throw ApiException.InvalidValue($"{request.Prompt.Count} prompts with n {request.N} are {choices} choices; at most {MaxChoices} are allowed.", "n", "out_of_range");
        List<GenerationRequest> requests = [];
        for (int i = 0; i < request.Prompt.Count; i++)
        {
            string param = request.Prompt.Count == 1 ? "prompt" : $"prompt[{i}]";
            PromptTokens prompt = new(Tokens(request.Prompt[i], model, param), param) { Constraint = constraint };
            GenerationTranslator.AddRequests(requests, model, request, hints, prompt, request.MaxTokens, request.Logprobs);
        }

        return requests;
    }

    private static int[] Tokens(CompletionPrompt prompt, ServedModel model, string param)
    {
        if (prompt.Text is { } text)
        {
            GenerationTranslator.CheckTextLength(model, text, param);
            return model.Vocabulary.Tokenize(text, true, true);
        }

        int[] tokens = [.. prompt.Tokens!];
        int wrong = Array.FindIndex(tokens, token => token >= model.Vocabulary.Count);
        return wrong < 0
            ? tokens
            : throw ApiException.InvalidValue($"'{param}[{wrong}]' is token {tokens[wrong]}; the model has {model.Vocabulary.Count}.", $"{param}[{wrong}]", "out_of_range");
    }
}
