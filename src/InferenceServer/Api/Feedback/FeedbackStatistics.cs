using InferenceServer.Store;

namespace InferenceServer.Api.Feedback;

/// <summary>What feedback says of models, and how sure that is.</summary>
internal static class FeedbackStatistics
{
    // Of the normal distribution: 95% lie within so many standard deviations.
    private const double Deviations = 1.959963984540054;

    public static FeedbackSummary Summarise(FeedbackCounts counts)
    {
        Dictionary<(string, string), long> wins = counts.Comparisons.ToDictionary(row => (row.Model, row.Opponent), row => row.Wins);
        // Each pair from both sides. A model against itself tells nothing of models.
        IEnumerable<(string Model, string Opponent)> pairs = wins.Keys.Concat(wins.Keys.Select(pair => (pair.Item2, pair.Item1))).Distinct().Where(pair => pair.Item1 != pair.Item2);
        return new FeedbackSummary("feedback.summary",
            [.. counts.Models.Select(row => new ModelRatings(row.Model, row.Up, row.Down, row.Edits) { Rate = row.Up + row.Down > 0 ? Interval(row.Up, row.Up + row.Down) : null })],
            [.. pairs.OrderBy(pair => pair.Model, StringComparer.Ordinal).ThenBy(pair => pair.Opponent, StringComparer.Ordinal).Select(pair =>
            {
                (long won, long lost) = (wins.GetValueOrDefault(pair), wins.GetValueOrDefault((pair.Opponent, pair.Model)));
                Share share = Interval(won, won + lost);
                return new WinRate(pair.Model, pair.Opponent, won, lost, share.Rate, share.Low, share.High);
            })]);
    }

    /// <summary>Wilson's interval of a share: unlike the plain one it stays within 0 and 1 and is honest about few trials.</summary>
    /// <param name="trials">At least one.</param>
    public static Share Interval(long successes, long trials)
    {
        double rate = (double)successes / trials, square = Deviations * Deviations;
        double middle = rate + (square / (2 * trials)), scale = 1 + (square / trials);
        double reach = Deviations * Math.Sqrt((rate * (1 - rate) / trials) + (square / (4.0 * trials * trials)));
        return new Share(Round(rate), Round((middle - reach) / scale), Round((middle + reach) / scale));

        static double Round(double share) => Math.Round(Math.Clamp(share, 0, 1), 6);
    }
}
