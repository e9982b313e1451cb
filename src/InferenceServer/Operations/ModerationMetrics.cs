using InferenceServer.Moderation;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>How much is judged, and what was flagged for what.</summary>
internal sealed class ModerationMetrics(MetricFactory factory)
{
    private readonly Counter _judged = factory.CreateCounter("inference_moderated_texts_total",
        "Texts judged by the moderation rules: inputs and outputs of chats, and those of /v1/moderations (request).", "part");

    private readonly Counter _flagged = factory.CreateCounter("inference_moderation_flags_total",
        "Categories that texts were flagged for, and what was done: reported, or refused.", "category", "part", "action");

    private readonly Counter _failed = factory.CreateCounter("inference_moderation_failures_total",
        "Texts that the moderation model could not judge, or not in time: none of them passed.", "part");

    public void Failed(string part) => _failed.WithLabels(part).Inc();

    public void Judged(ModerationRules rules, ModerationVerdict verdict, string part, string action)
    {
        _judged.WithLabels(part).Inc();
        foreach (string category in rules.FlaggedCategories(verdict))
            _flagged.WithLabels(category, part, action).Inc();
    }
}
