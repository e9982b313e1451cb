using System.ComponentModel;
using InferenceServer.Engine;

namespace InferenceServer.Api;

/// <summary>What a request cost, in tokens.</summary>
public sealed record Usage(int PromptTokens, int CompletionTokens, int TotalTokens, PromptTokensDetails PromptTokensDetails,
    CompletionTokensDetails CompletionTokensDetails)
{
    /// <summary>
    /// Adds up the results of all choices. A prompt counts once however many choices continue it, and so does what had to be computed of it:
    /// cached is the prompt less the tokens computed by all of its choices together.
    /// </summary>
    /// <param name="results">In choice order: the choices of the first prompt, then those of the next.</param>
    /// <param name="choicesPerPrompt">OpenAI's <c>n</c>.</param>
    /// <param name="reasoningTokens">Of all choices together.</param>
    public static Usage Of(ReadOnlySpan<GenerationResult> results, int choicesPerPrompt, int reasoningTokens = 0)
    {
        int prompt = 0, cached = 0, completion = 0, accepted = 0, rejected = 0;
        for (int first = 0; first < results.Length; first += choicesPerPrompt)
        {
            int computed = 0;
            foreach (GenerationResult result in results.Slice(first, choicesPerPrompt))
            {
                computed += result.PromptTokens - result.CachedTokens;
                completion += result.CompletionTokens;
                accepted += result.AcceptedPredictionTokens;
                rejected += result.RejectedPredictionTokens;
            }

            prompt += results[first].PromptTokens;
            cached += Math.Max(0, results[first].PromptTokens - computed);
        }

        return new Usage(prompt, completion, prompt + completion, new PromptTokensDetails(cached),
            new CompletionTokensDetails(reasoningTokens, accepted, rejected));
    }
}

public sealed record PromptTokensDetails(
    [property: Description("Prompt tokens that a cache held and nobody had to compute.")] int CachedTokens, int AudioTokens = 0);

public sealed record CompletionTokensDetails(
    [property: Description("Tokens of reasoning and of the markers around it.")] int ReasoningTokens, int AcceptedPredictionTokens, int RejectedPredictionTokens, int AudioTokens = 0);
