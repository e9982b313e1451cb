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
/// <param name="thresholds">From which score on each category is flagged.</param>
internal sealed class ModerationVerdict(double[] scores, double[] thresholds)
{
    public IReadOnlyList<double> Scores => scores;

    public bool IsFlagged => scores.Where((score, category) => score >= thresholds[category]).Any();

    public bool Flags(int category) => scores[category] >= thresholds[category];

    /// <summary>Of two parts of one text: each category by its higher score.</summary>
    public ModerationVerdict With(ModerationVerdict other)
    {
        double[] higher = new double[scores.Length];
        for (int i = 0; i < higher.Length; i++)
            higher[i] = Math.Max(scores[i], other.Scores[i]);
        return new(higher, thresholds);
    }
}

/// <summary>How the operator set up moderation: the rules, what is done about chats without their asking, and a model that judges beside the rules.</summary>
internal sealed record ModerationGate(ModerationRules Rules, ModerationMode Mode, ModerationClassifier? Classifier = null)
{
    /// <summary>The built-in rules, for those who ask only.</summary>
    public static ModerationGate Off { get; } = new(ModerationRules.BuiltIn, ModerationMode.Off);

    /// <summary>Under which name answers report what judged a text.</summary>
    public string Id => Classifier is null ? Rules.Id : $"{Rules.Id}+{Classifier.Id}";

    /// <summary>Each category by the higher score, of the rules and of the model.</summary>
    public async Task<ModerationVerdict> CheckAsync(string text, CancellationToken cancellation)
    {
        ModerationVerdict verdict = Rules.Check(text, cancellation);
        return Classifier is null ? verdict : verdict.With(await Classifier.CheckAsync(text, cancellation));
    }

    /// <exception cref="RequestProblem">There is no such moderation model.</exception>
    public void Require(string model, string where)
    {
        if (!Answers(model))
            throw new RequestProblem(ProblemKind.NotFound,
                $"The moderation model '{(model.Length <= 100 ? model : model[..100] + "...")}' does not exist; there is '{Id}', which OpenAI's names mean too.", where, "model_not_found");
    }

    /// <summary>Whether a request that names this moderation model means these rules: by their own name, or by OpenAI's for its newest.</summary>
    private bool Answers(string model) => model == Id || model == Rules.Id
        || model is "omni-moderation-latest" or "omni-moderation-2024-09-26" or "text-moderation-latest" or "text-moderation-stable";
}
