namespace InferenceServer.Engine.Sampling;

/// <summary>What <see cref="Sampler.Sample"/> drew.</summary>
/// <param name="Token">The token.</param>
/// <param name="Logprobs">Set when the request asked for log probabilities.</param>
public readonly record struct SampledToken(int Token, TokenLogprobs? Logprobs);

/// <summary>No token of a row can be drawn: every logit is negative infinity or NaN, or the mask forbids all that are not.</summary>
public sealed class NoTokenToSampleException : Exception
{
    public NoTokenToSampleException(string message) : base(message)
    {
    }
}
