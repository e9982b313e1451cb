using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Tests.Engine.Scheduling;

public sealed class SchedulerDraftsTests
{
    private static readonly DecoderLimits Tiled = new(
        Cells: 4096, ContextLength: 4096, SequenceIds: 65, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16, AttentionTileRows: 64, RowTile: 4);

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(8)]
    [InlineData(13)]
    public void A_step_that_would_leave_a_tile_of_rows_half_empty_is_filled(int streams)
    {
        using SchedulerDriver driver = new(limits: Tiled);
        List<Generation> replies = [.. Enumerable.Range(0, streams).Select(i => driver.Submit(Prompt(8, 30, i), 30))];
        while (replies.Exists(reply => driver.TokensOf(reply).Length < 2))
            driver.Step();
        StepPlan plan = driver.Step();
        Assert.Equal(0, plan.PrefillRows);
        Assert.True(plan.Rows.Count <= 4 || plan.Rows.Count % 4 == 0, $"{plan.Rows.Count} rows");
        Assert.InRange(plan.FillRows, 0, streams <= 4 ? 0 : 3);
        driver.RunToEnd();
        // Blind guesses came true by chance at most, and the replies are what they would have been without.
        replies.ForEach(driver.AssertReply);
        Assert.True(driver.Scheduler.Counters.DraftsAccepted <= driver.Scheduler.Counters.Drafted);
    }

    [Fact]
    public void Fill_is_not_counted_as_replies_rows()
    {
        using SchedulerDriver driver = new(limits: Tiled);
        List<Generation> replies = [.. Enumerable.Range(0, 5).Select(i => driver.Submit(Prompt(8, 30, i), 30))];
        int filled = 0, decoded = 0;
        while (replies.Exists(reply => driver.ResultOf(reply) is null))
        {
            StepPlan plan = driver.Step();
            (filled, decoded) = (filled + plan.FillRows, decoded + plan.Rows.Count - plan.PrefillRows);
        }
        Assert.True(filled > 0, "nothing was filled");
        Assert.Equal(decoded - filled, driver.Scheduler.Counters.DecodeRows);
    }

    [Fact]
    public void Beside_prompts_their_rows_fill_the_tile()
    {
        using SchedulerDriver driver = new(limits: Tiled);
        List<Generation> replies = [.. Enumerable.Range(0, 6).Select(i => driver.Submit(Prompt(8, 60, i), 60))];
        while (replies.Exists(reply => driver.TokensOf(reply).Length < 20))
            driver.Step();
        Generation arrival = driver.Submit(Prompt(150, 4, 9), 4);
        int mixed = 0;
        while (driver.ResultOf(arrival) is null)
        {
            StepPlan plan = driver.Step();
            if (plan.PrefillRows == 0 || plan.Rows.Count == plan.PrefillRows)
                continue;
            mixed++;
            Assert.Equal(0, plan.Rows.Count(row => row.WantsLogits) % 4);
            Assert.Equal(0, plan.FillRows);
        }
        Assert.True(mixed > 0, "no step held both");
        driver.RunToEnd();
        driver.AssertReply(arrival);
        replies.ForEach(driver.AssertReply);
    }

    [Fact]
    public void Without_speculation_nothing_is_guessed()
    {
        using SchedulerDriver driver = new(new EngineOptions { Speculation = false }, Tiled);
        List<Generation> replies = [.. Enumerable.Range(0, 5).Select(i => driver.Submit(Prompt(8, 30, i), 30))];
        while (replies.Exists(reply => driver.TokensOf(reply).Length < 2))
            driver.Step();
        Assert.Equal(5, driver.Step().Rows.Count);
    }

    [Fact]
    public void Small_prompts_do_not_take_turns_with_replies()
    {
        using SchedulerDriver driver = new(limits: Tiled);
        List<Generation> replies = [.. Enumerable.Range(0, 10).Select(i => driver.Submit(Prompt(8, 60, i), 60))];
        while (replies.Exists(reply => driver.TokensOf(reply).Length < 2))
            driver.Step();
        List<Generation> arrivals = [.. Enumerable.Range(20, 5).Select(i => driver.Submit(Prompt(16, 4, i), 4))];
        while (arrivals.Exists(arrival => driver.TokensOf(arrival).Length == 0))
        {
            StepPlan plan = driver.Step();
            Assert.True(plan.Rows.Count < 64, $"{plan.Rows.Count} rows are computed in tiles of attention");
            Assert.True(replies.TrueForAll(reply => plan.Slices.Exists(slice => slice.Sequence.Generation == reply)), "a reply waits for a small prompt");
        }
        driver.RunToEnd();
        arrivals.ForEach(driver.AssertReply);
        replies.ForEach(driver.AssertReply);
    }

    /// <summary>One whose reply is at least so long.</summary>
    private static int[] Prompt(int length, int replyTokens, int salt)
    {
        for (int attempt = 0; ; attempt++)
        {
            Random random = new((length * 1_000_003) + (salt * 10_007) + attempt);
            int[] prompt = [.. Enumerable.Range(0, length).Select(_ => random.Next(1, ScriptedDecoder.VocabularySize))];
            if (ScriptedDecoder.Reply(prompt, replyTokens).Length == replyTokens)
                return prompt;
        }
    }
}
