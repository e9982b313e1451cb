using InferenceServer.Engine.Embedding;
using InferenceServer.Models;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Moderation;

/// <summary>
/// A model that sorts texts into classes, beside the rules: a class counts for the category of its name. A text that is longer than the model reads is judged in
/// pieces that overlap, each category by its highest score. Safe from any thread.
/// </summary>
internal sealed partial class ModerationClassifier
{
    // Of a piece's tokens, how much of the one before comes again, so that no sentence is seen in halves only.
    private const int OverlapShare = 8;

    // Whoever waits for a verdict waits this long, and for a text of many pieces longer; then it counts as not judged.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan PieceLimit = TimeSpan.FromSeconds(2);

    private readonly ServedEmbedder _model;
    private readonly ModerationRules _rules;
    private readonly int[] _categories;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;

    private ModerationClassifier(ServedEmbedder model, ModerationRules rules, int[] categories, TimeProvider clock, ILogger log) =>
        (_model, _rules, _categories, _clock, _log) = (model, rules, categories, clock, log);

    public string Id => _model.Id;

    /// <param name="labels">What the model calls its classes, in their order.</param>
    /// <exception cref="ServerStartException">None of them is a category of the rules, or the model has no classes.</exception>
    public static ModerationClassifier For(ServedEmbedder model, IReadOnlyList<string> labels, ModerationRules rules, TimeProvider? clock = null, ILogger? log = null)
    {
        if (model.Ranking is null || labels.Count == 0)
            throw new ServerStartException($"--moderation-model {model.Id}: its file names no classes to sort texts into (classifier.output_labels); choose a text classification model");
        int[] categories = [.. labels.Select(label => rules.Categories.ToList().FindIndex(category => Fold(category) == Fold(label)))];
        return categories.Any(category => category >= 0)
            ? new(model, rules, categories, clock ?? TimeProvider.System, log ?? NullLogger.Instance)
            : throw new ServerStartException($"--moderation-model {model.Id}: none of its classes ({string.Join(", ", labels.Take(20))}) is a category; give some the same name in --moderation-rules");
    }

    /// <exception cref="RequestProblem">The model could not judge it, or not in time: what is not judged does not pass.</exception>
    public async Task<ModerationVerdict> CheckAsync(string text, CancellationToken cancellation)
    {
        int[][] pieces = Pieces(_model.Vocabulary.Tokenize(text, false, false));
        double[] scores = new double[_rules.Categories.Count];
        TimeSpan limit = Limit + (PieceLimit * pieces.Length);
        using CancellationTokenSource late = new(limit, _clock);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            foreach (float[] logits in await _model.Engine.EmbedAsync(pieces, either.Token).WaitAsync(either.Token))
                Take(logits, scores);
        }
        catch (EmbeddingFailedException failed)
        {
            throw Failed(failed.Message);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && late.IsCancellationRequested)
        {
            throw Failed($"it did not answer within {limit.TotalSeconds:0} seconds");
        }

        return _rules.Of(scores);
    }

    private RequestProblem Failed(string why)
    {
        LogFailed(_log, _model.Id, why);
        return new RequestProblem(ProblemKind.Failed, $"The moderation model failed: {why}", code: "moderation_failed");
    }

    private int[][] Pieces(int[] tokens)
    {
        (IReadOnlyList<int> before, IReadOnlyList<int> after) = (_model.Ranking!.Before, _model.Ranking.After);
        int room = Math.Max(1, _model.MaxInputTokens - before.Count - after.Count);
        List<int[]> pieces = [];
        for (int start = 0; start < tokens.Length; start += Math.Max(1, room - (room / OverlapShare)))
        {
            pieces.Add([.. before, .. tokens.AsSpan(start, Math.Min(room, tokens.Length - start)), .. after]);
            if (start + room >= tokens.Length)
                break;
        }

        return [.. pieces];
    }

    private void Take(float[] logits, double[] scores)
    {
        double highest = logits.Max(), sum = logits.Sum(logit => Math.Exp(logit - highest));
        for (int i = 0; i < Math.Min(logits.Length, _categories.Length); i++)
            if (_categories[i] is >= 0 and var category)
                scores[category] = Math.Max(scores[category], _rules.ClassesExclude ? Math.Exp(logits[i] - highest) / sum : 1 / (1 + Math.Exp(-logits[i])));
    }

    /// <summary>Self_Harm, self harm and self-harm are one name.</summary>
    private static string Fold(string name) => string.Concat(name.ToLowerInvariant().Where(c => char.IsAsciiLetterOrDigit(c) || c == '/'));

    [LoggerMessage(EventId = 150, Level = LogLevel.Warning, Message = "The moderation model {Model} failed to judge a text, which does not pass: {Why}")]
    private static partial void LogFailed(ILogger logger, string model, string why);
}
