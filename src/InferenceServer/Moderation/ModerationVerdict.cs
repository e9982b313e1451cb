namespace InferenceServer.Moderation;

/// <summary>What is done about a text that the rules flag; a later one is stricter.</summary>
internal enum ModerationMode
{
    /// <summary>Nothing is looked at.</summary>
    Off,

    /// <summary>It is reported and passes.</summary>
    Flag,

    /// <summary>It is answered with a refusal, or cut off by one.</summary>
    Refuse,
}

/// <summary>What the rules say of one text: a score from 0 to 1 for each category, in the order of <see cref="ModerationRules.Categories"/>.</summary>
internal sealed class ModerationVerdict(double[] scores, double threshold)
{
    public IReadOnlyList<double> Scores => scores;

    public bool IsFlagged => Array.Exists(scores, score => score >= threshold);

    public bool Flags(int category) => scores[category] >= threshold;

    /// <summary>Of two parts of one text: each category by its higher score.</summary>
    public ModerationVerdict With(ModerationVerdict other)
    {
        double[] higher = new double[scores.Length];
        for (int i = 0; i < higher.Length; i++)
            higher[i] = Math.Max(scores[i], other.Scores[i]);
        return new(higher, threshold);
    }
}

/// <summary>How the operator set up moderation: the rules, and what is done about chats without their asking.</summary>
internal sealed record ModerationGate(ModerationRules Rules, ModerationMode Mode)
{
    /// <summary>The built-in rules, for those who ask only.</summary>
    public static ModerationGate Off { get; } = new(ModerationRules.BuiltIn, ModerationMode.Off);

    /// <summary>Whether a request that names this moderation model means these rules: by their own name, or by OpenAI's for its newest.</summary>
    public bool Answers(string model) => model == Rules.Id
        || model is "omni-moderation-latest" or "omni-moderation-2024-09-26" or "text-moderation-latest" or "text-moderation-stable";
}
