using InferenceServer.Api.OpenAI.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api.OpenAI;

/// <summary>The engine's log probabilities as OpenAI writes them.</summary>
internal static class LogprobFormatter
{
    // JSON has no infinities: a token that a mask or a bias ruled out reads as this, OpenAI's own floor.
    private const float Floor = -9999;

    public static ChatTokenLogprob Chat(ServedVocabulary vocabulary, TokenLogprobs logprobs)
    {
        ChatTopLogprob[] top = new ChatTopLogprob[logprobs.Top.Count];
        for (int i = 0; i < top.Length; i++)
            top[i] = new(vocabulary.Text(logprobs.Top[i].Token), Finite(logprobs.Top[i].Logprob), Bytes(vocabulary, logprobs.Top[i].Token));
        return new(vocabulary.Text(logprobs.Token), Finite(logprobs.Logprob), Bytes(vocabulary, logprobs.Token), top);
    }

    public static float Finite(float logprob) => float.IsFinite(logprob) ? logprob : Floor;

    private static int[] Bytes(ServedVocabulary vocabulary, int token)
    {
        ReadOnlySpan<byte> bytes = vocabulary.Bytes(token, true);
        int[] numbers = new int[bytes.Length];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = bytes[i];
        return numbers;
    }
}
