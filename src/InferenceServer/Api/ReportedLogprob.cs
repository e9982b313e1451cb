using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Api;

/// <summary>How likely a token was, as OpenAI writes it and others after it.</summary>
/// <param name="Bytes">The token's bytes; a character may be spread over several tokens.</param>
[SchemaName("ChatTokenLogprob")]
public sealed record ReportedLogprob(string Token, float Logprob, IReadOnlyList<int> Bytes, IReadOnlyList<ReportedTopLogprob> TopLogprobs)
{
    // JSON has no infinities: a token that a mask or a bias ruled out reads as this, OpenAI's own floor.
    private const float Floor = -9999;

    internal static ReportedLogprob Of(ServedVocabulary vocabulary, TokenLogprobs logprobs)
    {
        ReportedTopLogprob[] top = new ReportedTopLogprob[logprobs.Top.Count];
        for (int i = 0; i < top.Length; i++)
            top[i] = new(vocabulary.Text(logprobs.Top[i].Token), Finite(logprobs.Top[i].Logprob), BytesOf(vocabulary, logprobs.Top[i].Token));
        return new(vocabulary.Text(logprobs.Token), Finite(logprobs.Logprob), BytesOf(vocabulary, logprobs.Token), top);
    }

    internal static float Finite(float logprob) => float.IsFinite(logprob) ? logprob : Floor;

    private static int[] BytesOf(ServedVocabulary vocabulary, int token)
    {
        ReadOnlySpan<byte> bytes = vocabulary.Bytes(token, true);
        int[] numbers = new int[bytes.Length];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = bytes[i];
        return numbers;
    }
}

[SchemaName("ChatTopLogprob")]
public sealed record ReportedTopLogprob(string Token, float Logprob, IReadOnlyList<int> Bytes);
