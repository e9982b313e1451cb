// Mirostat: how many tokens may be drawn is steered so that the reply's surprise stays near a target. One sequence's; owned by its Sampler.
// The definitions are llama.cpp's, and so those of the paper (Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity").

namespace InferenceServer.Engine.Sampling;

/// <summary>What one sequence's surprise has been steered to so far. Changed by <see cref="Accept"/> alone.</summary>
/// <param name="version">1 estimates how the probabilities fall off, and keeps the k most likely tokens; 2 keeps those whose surprise is small enough.</param>
/// <param name="target">The surprise that a reply is to have, in bits a token.</param>
/// <param name="rate">How much of a token's distance from the target is corrected at once.</param>
internal sealed class Mirostat(int version, float target, float rate, int vocabularySize)
{
    /// <summary>The exponent of the falling off is estimated from so many of the most likely tokens: llama.cpp's m.</summary>
    public const int Estimated = 100;

    private double _limit = 2 * target;
    private (int Token, double Surprise)? _drawn;

    /// <summary>Null without Mirostat.</summary>
    public static Mirostat? Create(SamplingOptions options, int vocabularySize) =>
        options.Mirostat == 0 ? null : new Mirostat(options.Mirostat, options.MirostatTau, options.MirostatEta, vocabularySize);

    /// <summary>Whether <see cref="MostTokens"/> says what to keep; else <see cref="LeastLogWeight"/> does.</summary>
    public bool Counts => version == 1;

    /// <summary>How many of the most likely tokens to keep.</summary>
    /// <param name="best">The most likely tokens' logits, best first, by which the others' are estimated.</param>
    /// <param name="scale">1 / temperature.</param>
    public int MostTokens(ReadOnlySpan<(int Token, float Logit)> best, float scale)
    {
        double products = 0, squares = 0;
        for (int i = 0; i + 1 < best.Length; i++)
        {
            double t = Math.Log((i + 2.0) / (i + 1));
            products += t * (best[i].Logit - best[i + 1].Logit) * scale;
            squares += t * t;
        }
        double exponent = products / squares, above = exponent - 1;
        double most = Math.Pow(above * Math.Pow(2, _limit) / (1 - Math.Pow(vocabularySize, -above)), 1 / exponent);
        // One token alone, and an exponent of exactly 1, give no number.
        return most >= 1 ? (int)Math.Min(most, vocabularySize) : 1;
    }

    /// <summary>The logarithm of the least weight that is kept, of <paramref name="total"/>.</summary>
    public double LeastLogWeight(double total) => Math.Log(total) - (_limit * Math.Log(2));

    /// <summary>A token was drawn that has this share of the weight of those that could have been.</summary>
    public void Drew(int token, double share) => _drawn = (token, -Math.Log2(share));

    /// <summary>A token joined the reply. One that was not drawn, as a grammar's, tells nothing of the model's surprise.</summary>
    public void Accept(int token)
    {
        if (_drawn is { } drawn && drawn.Token == token)
            _limit -= rate * (drawn.Surprise - target);
        _drawn = null;
    }
}
