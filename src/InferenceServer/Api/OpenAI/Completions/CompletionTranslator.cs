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
        long choices = (long)request.Prompt.Count * request.Generated;
        if (choices > MaxChoices)
            throw ApiException.InvalidValue($"{request.Prompt.Count} prompts with {request.Generated} choices each are {choices}; at most {MaxChoices} are allowed.",
                request.BestOf is null ? "n" : "best_of", "out_of_range");
        List<GenerationRequest> requests = [];
        for (int i = 0; i < request.Prompt.Count; i++)
        {
            string param = request.Prompt.Count == 1 ? "prompt" : $"prompt[{i}]";
            int[] tokens = request.Suffix is { } suffix ? FillInMiddle(request.Prompt[i], suffix, model, param) : Tokens(request.Prompt[i], model, param);
            PromptTokens prompt = new(tokens, param)
            {
                Constraint = constraint,
                PromptLogprobs = request.Echo ? request.Logprobs : null,
            };
            // Which choices are best is told by the log probabilities of their tokens.
            GenerationTranslator.AddRequests(requests, model, request with { N = request.Generated }, hints, prompt, request.MaxTokens,
                request.Logprobs ?? (request.Generated > request.N ? 0 : null));
        }

        return requests;
    }

    /// <summary>What <c>echo</c> puts before a choice.</summary>
    public static CompletionEcho? Echo(CompletionRequest request, ServedModel model, GenerationRequest generation, int prompt)
    {
        if (!request.Echo)
            return null;
        CompletionPrompt asked = request.Prompt[prompt];
        int[] tokens = generation.PromptTokens.ToArray();
        // What the tokenizer put before a text is no part of it.
        int added = asked.Text is { } text && tokens[0] == model.Vocabulary.Bos && !text.StartsWith(model.Vocabulary.Text(tokens[0]), StringComparison.Ordinal) ? 1 : 0;
        return new CompletionEcho(asked.Text ?? model.Vocabulary.Text(asked.Tokens!), tokens, added);
    }

    private static int[] Tokens(CompletionPrompt prompt, ServedModel model, string param)
    {
        if (prompt.Text is { } text)
        {
            GenerationTranslator.CheckTextLength(model, text, param);
            return model.Vocabulary.Tokenize(text, true, true);
        }

        model.Vocabulary.Check(prompt.Tokens!, param);
        return [.. prompt.Tokens!];
    }

    /// <summary>The prompt from which a model writes what belongs between two texts. The texts are what somebody is editing: no control token is read in them.</summary>
    /// <exception cref="ApiException">400: the model has no tokens for it.</exception>
    public static int[] FillInMiddle(CompletionPrompt prompt, string suffix, ServedModel model, string param)
    {
        ServedVocabulary vocabulary = model.Vocabulary;
        if (vocabulary.Middle is not { } middle)
            throw ApiException.Unsupported("suffix", "the model has no tokens for filling in the middle.");
        GenerationTranslator.CheckTextLength(model, suffix, "suffix");
        if (prompt.Text is { } text)
            GenerationTranslator.CheckTextLength(model, text, param);
        else
            vocabulary.Check(prompt.Tokens!, param);
        IReadOnlyList<int> before = prompt.Tokens ?? vocabulary.Tokenize(prompt.Text!, false, false);
        int[] after = vocabulary.Tokenize(suffix, false, false);
        int[] start = vocabulary is { AddBos: true, Bos: { } bos } ? [bos] : [];
        return [.. start, middle.BeforePrefix, .. before, middle.BeforeSuffix, .. after, middle.BeforeMiddle];
    }
}
