using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Moderation;

namespace InferenceServer.InProcess;

/// <summary>What is told of a reply beside its content. Belongs to one call.</summary>
internal sealed class TurnNotes(TimeProvider clock) : ITurnObserver
{
    /// <summary>Seconds from the call to its first token, a <see cref="double"/>.</summary>
    public const string FirstTokenKey = "first_token_seconds";

    /// <summary>Categories that moderation flagged, an array of strings in order.</summary>
    public const string FlaggedKey = "flagged";

    private readonly long _started = clock.GetTimestamp();
    private readonly SortedSet<string> _flagged = new(StringComparer.Ordinal);
    private double? _firstTokenSeconds;
    private bool _moderated;

    /// <summary>What is known by now; what does not apply is not there.</summary>
    public AdditionalPropertiesDictionary ToProperties()
    {
        AdditionalPropertiesDictionary properties = [];
        if (_firstTokenSeconds is { } seconds)
            properties[FirstTokenKey] = seconds;
        if (_moderated)
            properties[FlaggedKey] = _flagged.ToArray();
        return properties;
    }

    public void Token(int choice) => _firstTokenSeconds ??= clock.GetElapsedTime(_started).TotalSeconds;

    public void Moderated(ModerationRules rules, ModerationVerdict verdict, string part, bool refused)
    {
        _moderated = true;
        _flagged.UnionWith(rules.FlaggedCategories(verdict));
    }

    public void Accepted(string model, IReadOnlyList<GenerationRequest> requests)
    {
        // The app knows what it asked.
    }

    public void Submitted(GenerationSet generations)
    {
        // Nobody looks at a call that waits.
    }

    public void Finished(IReadOnlyList<GenerationResult> results)
    {
        // The end of the reply says the same.
    }

    public void Unjudged(string part)
    {
        // The call fails with it.
    }
}
