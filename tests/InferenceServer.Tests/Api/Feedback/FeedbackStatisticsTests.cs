using InferenceServer.Api.Feedback;
using InferenceServer.Store;

namespace InferenceServer.Tests.Api.Feedback;

public sealed class FeedbackStatisticsTests
{
    [Theory]
    // By hand, with z = 1.96: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    [InlineData(0, 1, 0, 0, 0.793451)]
    [InlineData(1, 1, 1, 0.206549, 1)]
    [InlineData(8, 10, 0.8, 0.490162, 0.943318)]
    [InlineData(50, 100, 0.5, 0.403832, 0.596168)]
    [InlineData(0, 1000, 0, 0, 0.003827)]
    public void Intervals_are_Wilsons(long successes, long trials, double rate, double low, double high)
    {
        Share share = FeedbackStatistics.Interval(successes, trials);
        Assert.Equal((rate, low, high), (share.Rate, Math.Round(share.Low, 6), Math.Round(share.High, 6)));
    }

    [Fact]
    public void A_pair_of_models_is_there_from_both_sides_and_a_model_never_meets_itself()
    {
        FeedbackSummary summary = FeedbackStatistics.Summarise(new FeedbackCounts([("a", 3, 1, 2), ("b", 0, 0, 1)], [("a", "b", 3), ("b", "a", 1), ("a", "a", 9), ("c", "a", 2)]));
        Assert.Equal(["a-b 3:1 0.75", "a-c 0:2 0", "b-a 1:3 0.25", "c-a 2:0 1"], summary.Comparisons.Select(row => FormattableString.Invariant($"{row.Model}-{row.Opponent} {row.Wins}:{row.Losses} {row.Rate}")));
        Assert.Equal((0.75, null), (summary.Models[0].Rate!.Rate, summary.Models[1].Rate));
    }
}
