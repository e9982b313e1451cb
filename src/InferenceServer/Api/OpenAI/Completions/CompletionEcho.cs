using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>A prompt that is said again before its continuation.</summary>
/// <param name="Text">As it was sent; of tokens, what they read.</param>
/// <param name="Tokens">What was computed.</param>
/// <param name="Added">Tokens at the beginning that are no part of the text.</param>
internal sealed record CompletionEcho(string Text, int[] Tokens, int Added)
{
    /// <summary>What is put before a choice; null for nothing.</summary>
    public static CompletionEcho? Of(CompletionCall call, ChatTurn turn, int choice)
    {
        if (!call.Echo)
            return null;
        ServedVocabulary vocabulary = turn.Model.Vocabulary;
        TextPrompt asked = call.Text.Prompts[choice / call.Generated];
        int[] tokens = turn.Requests[choice].PromptTokens.ToArray();
        // What the tokenizer put before a text is no part of it.
        int added = asked.Text is { } text && tokens[0] == vocabulary.Bos && !text.StartsWith(vocabulary.Text(tokens[0]), StringComparison.Ordinal) ? 1 : 0;
        return new CompletionEcho(asked.Text ?? vocabulary.Text(asked.Tokens!), tokens, added);
    }

    public void AddTo(CompletionLogprobBuilder logprobs, ServedVocabulary vocabulary, IReadOnlyList<TokenLogprobs?> known)
    {
        for (int i = Added; i < Tokens.Length; i++)
            if (known[i] is { } token)
                logprobs.Add(vocabulary, token);
            else
                logprobs.AddFirst(vocabulary, Tokens[i]);
    }
}
