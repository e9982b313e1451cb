using System.ComponentModel;
using InferenceServer.Engine;

namespace InferenceServer.Api;

/// <summary><c>x_cache</c>: what was reused of the prompt, and why not more. Of several choices, the one that reused least: it computed for the others.</summary>
public sealed record CacheUse(
    [property: Description("Prompt tokens that a cache held.")] int CachedTokens,
    [property: Description("Of these, tokens that came back from host memory.")] int HostTokens,
    [property: Description("Of these, tokens that came back from disk.")] int DiskTokens,
    [property: Description("Why no more: diverged, end_of_entry, nothing_cached, evicted, not_restored, last_checkpoint or not_shareable; null when all but the last token was reused.")]
    string? Reason,
    [property: Description("The first prompt token that was not reused; null when all but the last was.")] int? DivergedAt)
{
    /// <summary>Null unless the request asked for it.</summary>
    public static CacheUse? Of(bool asked, ReadOnlySpan<GenerationResult> results)
    {
        if (!asked)
            return null;
        GenerationResult least = results[0];
        foreach (GenerationResult result in results)
            if (result.CachedTokens < least.CachedTokens)
                least = result;
        return new CacheUse(least.CachedTokens, least.Cache.HostTokens, least.Cache.DiskTokens, least.Cache.Reason,
            least.Cache.Reason is null ? null : least.Cache.DivergedAt);
    }
}
