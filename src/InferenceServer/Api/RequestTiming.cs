using System.ComponentModel;
using InferenceServer.Engine;

namespace InferenceServer.Api;

/// <summary><c>timing</c>: where the time of a request went, as the engine measured it. Of several choices, the times are those of the one that took longest.</summary>
public sealed record RequestTiming(
    [property: Description("Milliseconds from submission to the first step that worked on the request.")] double QueueMs,
    [property: Description("Milliseconds from there to the first token.")] double PrefillMs,
    [property: Description("Milliseconds from the first token to the end.")] double DecodeMs,
    [property: Description("Prompt tokens that had to be computed.")] int PromptTokensComputed,
    [property: Description("Prompt tokens that a cache held.")] int PromptTokensCached,
    [property: Description("How many sequences the steps that generated the reply computed together, on average; 0 where there was no such step.")] double MeanBatch)
{
    /// <summary>Null unless the request asked for it.</summary>
    public static RequestTiming? Of(bool asked, ReadOnlySpan<GenerationResult> results, int choicesPerPrompt)
    {
        if (!asked)
            return null;
        GenerationTiming longest = results[0].Timing;
        foreach (GenerationResult result in results)
            if (Total(result.Timing) > Total(longest))
                longest = result.Timing;
        Usage usage = Usage.Of(results, choicesPerPrompt);
        int cached = usage.PromptTokensDetails.CachedTokens;
        return new RequestTiming(Milliseconds(longest.QueueSeconds), Milliseconds(longest.PrefillSeconds), Milliseconds(longest.DecodeSeconds),
            usage.PromptTokens - cached, cached, Math.Round(longest.MeanBatch, 3));
    }

    private static double Total(GenerationTiming timing) => timing.QueueSeconds + timing.PrefillSeconds + timing.DecodeSeconds;

    private static double Milliseconds(double seconds) => Math.Round(seconds * 1000, 3);
}
