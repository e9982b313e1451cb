using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Chat;

/// <summary>A text request to engine requests: the choices of the first prompt, then those of the next.</summary>
internal static class TextPrompts
{
    // As many as one client may have waiting at once, whatever mix of prompts and choices they are.
    private const int MaxChoices = 2048;

    public static IReadOnlyList<GenerationRequest> Requests(TextRequest request, ServedModel model, TokenConstraint? constraint)
    {
        long choices = (long)request.Prompts.Count * request.Options.Choices;
        if (choices > MaxChoices)
            throw RequestProblem.Invalid($"{request.Prompts.Count} prompts with {request.Options.Choices} choices each are {choices}; at most {MaxChoices} are allowed.", nameof(GenerationOptions.Choices), "out_of_range");
        List<GenerationRequest> requests = [];
        for (int i = 0; i < request.Prompts.Count; i++)
        {
            string where = request.Prompts.Count == 1 ? nameof(TextRequest.Prompts) : $"{nameof(TextRequest.Prompts)}[{i}]";
            int[] tokens = request.Suffix is { } suffix ? FillInMiddle(request.Prompts[i], suffix, model, where) : Tokens(request.Prompts[i], request.ParsesSpecial, model, where);
            GenerationRequests.Add(requests, model, request.Options, where,
                new GenerationRequest { PromptTokens = tokens, MaxTokens = 0, Constraint = constraint, PromptLogprobs = request.PromptLogprobs });
        }

        return requests;
    }

    private static int[] Tokens(TextPrompt prompt, bool parsesSpecial, ServedModel model, string where)
    {
        if (prompt.Text is { } text)
        {
            GenerationRequests.CheckTextLength(model, text, where);
            int[] tokens = model.Vocabulary.Tokenize(text, true, parsesSpecial);
            // The tokenizer puts one before a text that begins with one, too.
            return parsesSpecial && model.Vocabulary.AddBos && tokens is [var first, var second, ..] && first == model.Vocabulary.Bos && second == first ? tokens[1..] : tokens;
        }

        model.Vocabulary.Check(prompt.Tokens!, where);
        return [.. prompt.Tokens!];
    }

    /// <summary>The prompt from which a model writes what belongs between two texts. The texts are what somebody is editing: no control token is read in them.</summary>
    /// <exception cref="RequestProblem">The model has no tokens for it.</exception>
    public static int[] FillInMiddle(TextPrompt prompt, string suffix, ServedModel model, string where)
    {
        ServedVocabulary vocabulary = model.Vocabulary;
        if (vocabulary.Middle is not { } middle)
            throw RequestProblem.Unsupported(nameof(TextRequest.Suffix), "the model has no tokens for filling in the middle.");
        GenerationRequests.CheckTextLength(model, suffix, nameof(TextRequest.Suffix));
        if (prompt.Text is { } text)
            GenerationRequests.CheckTextLength(model, text, where);
        else
            vocabulary.Check(prompt.Tokens!, where);
        IReadOnlyList<int> before = prompt.Tokens ?? vocabulary.Tokenize(prompt.Text!, false, false);
        int[] after = vocabulary.Tokenize(suffix, false, false);
        int[] start = vocabulary is { AddBos: true, Bos: { } bos } ? [bos] : [];
        return [.. start, middle.BeforePrefix, .. before, middle.BeforeSuffix, .. after, middle.BeforeMiddle];
    }
}
