using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI.Completions;

/// <summary>A prompt that is said again before its continuation.</summary>
/// <param name="Text">As it was sent; of tokens, what they read.</param>
/// <param name="Tokens">What was computed.</param>
/// <param name="Added">Tokens at the beginning that are no part of the text.</param>
internal sealed record CompletionEcho(string Text, int[] Tokens, int Added)
{
    public void AddTo(CompletionLogprobBuilder logprobs, ServedVocabulary vocabulary, IReadOnlyList<TokenLogprobs?> known)
    {
        for (int i = Added; i < Tokens.Length; i++)
            if (known[i] is { } token)
                logprobs.Add(vocabulary, token);
            else
                logprobs.AddFirst(vocabulary, Tokens[i]);
    }
}
