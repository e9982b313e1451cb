using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Text;
using static InferenceServer.Tests.Engine.ScriptedDecoder;

namespace InferenceServer.Tests.Engine.Scheduling;

/// <summary>One step computes while the next is planned: what arrives late costs a row at most, never a wrong token.</summary>
public sealed class StepInFlightTests
{
    private static readonly DeviceProfile Device = DeviceProfile.TwoCores with { ComputesAhead = true, IdleCellSeconds = 0 };

    private static DecoderLimits Limits(int cells = 4096) =>
        new(cells, Math.Min(cells, 4096), SequenceIds: 33, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16, Profile: Device);

    [Fact]
    public void Every_stream_has_a_row_in_every_step()
    {
        using SchedulerDriver driver = new(new EngineOptions { Speculation = false }, Limits());
        List<Generation> all = [.. Enumerable.Range(0, 8).Select(i => driver.Submit(Prompt(20, 60, i), 60))];
        int steps = driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.InRange(steps, 61, 63);
        Assert.Equal(8 * (20 + 59), driver.Decoder.ComputedRows);
    }

    [Fact]
    public void A_reply_that_ends_by_its_length_costs_no_row_too_many()
    {
        using SchedulerDriver driver = new(new EngineOptions { Speculation = false }, Limits(cells: 64));
        Generation byContext = driver.Submit(Prompt(30, 100), 100);
        driver.RunToEnd();
        Assert.Equal(FinishReason.Length, driver.ResultOf(byContext)!.FinishReason);
        Assert.Equal(63, driver.Decoder.ComputedRows);
    }

    [Fact]
    public void An_end_token_takes_its_planned_row_back()
    {
        using SchedulerDriver driver = new(new EngineOptions { Speculation = false }, Limits());
        int[] prompt = Prompt(20, 30);
        int[] truth = Reply(prompt, 30);
        Generation generation = driver.Submit(prompt, 100, r => r with { StopTokens = [truth[^1]] });
        driver.RunToEnd();
        Assert.Equal(FinishReason.Stop, driver.ResultOf(generation)!.FinishReason);
        Assert.Equal(20 + Array.IndexOf(truth, truth[^1]), driver.Decoder.ComputedRows);
    }

    [Fact]
    public void A_stop_string_found_late_costs_one_row_and_no_token_is_told()
    {
        using SchedulerDriver driver = new(limits: Limits());
        int[] prompt = Prompt(20, 30);
        int[] truth = Reply(prompt, 30);
        string stop = string.Concat(truth[10..13].Select(token => (char)(token + 32)));
        Generation generation = driver.Submit(prompt, 100, r => r with { StopStrings = [stop] });
        Generation other = driver.Submit(Prompt(20, 40, 2), 40);
        driver.RunToEnd();
        driver.AssertReply(other);
        Assert.Equal(stop, driver.ResultOf(generation)!.StopString);
        Assert.Equal(truth[..13], driver.TokensOf(generation));
        Assert.Equal(13, driver.ResultOf(generation)!.CompletionTokens);
    }

    [Fact]
    public void A_cancel_while_its_token_is_on_the_way_frees_everything()
    {
        using SchedulerDriver driver = new(limits: Limits());
        Generation kept = driver.Submit(Prompt(50, 60, 1), 60), cancelled = driver.Submit(Prompt(50, 60, 2), 60);
        for (int i = 0; i < 10; i++)
            driver.Step();
        cancelled.Cancel();
        driver.Step();
        int told = driver.TokensOf(cancelled).Length;
        Assert.Equal(FinishReason.Cancelled, driver.ResultOf(cancelled)!.FinishReason);
        Assert.Equal(told, driver.ResultOf(cancelled)!.CompletionTokens);
        driver.RunToEnd();
        driver.AssertReply(kept);
        Assert.Equal(driver.Limits.Cells, driver.Scheduler.Cache.Ledger.Free + driver.Scheduler.Cache.Ledger.Cached);
    }

    [Fact]
    public void A_preempted_sequence_gets_the_token_that_was_on_its_way()
    {
        using SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, Limits(cells: 1600));
        List<Generation> all = [.. Enumerable.Range(0, 6).Select(i => driver.Submit(Prompt(20, 380, i), 380))];
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.InRange(driver.Scheduler.Counters.Preemptions, 1, 60);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_failure_loses_no_token_that_was_taken_and_repeats_none(bool atLaunch)
    {
        using SchedulerDriver driver = new(limits: Limits());
        List<Generation> all = [.. Enumerable.Range(0, 3).Select(i => driver.Submit(Prompt(20, 60, i), 60))];
        for (int i = 0; i < 10; i++)
            driver.Step();
        if (atLaunch)
            driver.Decoder.FailNext = "out of memory";
        else
            driver.Decoder.FailNextCollect = "device lost";
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.Equal(1, driver.Scheduler.Counters.FailedSteps);
    }

    [Fact]
    public void Steps_that_keep_failing_when_collected_end_their_requests_with_the_cause()
    {
        using SchedulerDriver driver = new(limits: Limits());
        Generation generation = driver.Submit(Prompt(20), 30);
        for (int i = 0; i < 20 && driver.ResultOf(generation) is null; i++)
        {
            driver.Decoder.FailNextCollect = "device lost";
            driver.Step();
        }
        Assert.Contains("device lost", driver.ResultOf(generation)!.Error);
        Assert.False(driver.Scheduler.HasWork);
    }

    [Fact]
    public void Draining_ends_with_every_token_told()
    {
        using SchedulerDriver driver = new(limits: Limits());
        Generation generation = driver.Submit(Prompt(20, 60), 60);
        for (int i = 0; i < 10; i++)
            driver.Step();
        driver.Scheduler.FinishAll(FinishReason.Cancelled, driver.Time.GetTimestamp(), null);
        (_, GenerationEvent last) = Assert.Single(driver.Scheduler.Outbox);
        Assert.Equal(driver.TokensOf(generation).Length, last.Result!.CompletionTokens);
    }

    [Fact]
    public void Predictions_are_verified_and_change_nothing()
    {
        using SchedulerDriver driver = new(limits: Limits());
        int[] prompt = Prompt(20, 60), truth = Reply(prompt, 60);
        Generation predicted = driver.Submit(prompt, 60, r => r with { PredictedTokens = truth });
        Generation other = driver.Submit(Prompt(20, 60, 2), 60);
        driver.RunToEnd();
        driver.AssertReply(predicted);
        driver.AssertReply(other);
        Assert.True(driver.Scheduler.Counters.DraftsAccepted > 10, $"{driver.Scheduler.Counters.DraftsAccepted} drafted tokens came true");
    }

    [Fact]
    public void A_limit_on_thinking_is_kept_to_the_token()
    {
        int[] prompt = Prompt(20, 60), truth = Reply(prompt, 40), close = [1, 2, 1];
        using SchedulerDriver driver = new(limits: Limits());
        Generation generation = driver.Submit(prompt, 60, r => r with
        {
            Thinking = new ThinkingLimit(7, "", string.Concat(close.Select(token => (char)(token + 32))), true, close),
        });
        driver.RunToEnd();
        Assert.Equal([.. truth[..7], .. close], driver.TokensOf(generation)[..10]);
    }

    [Fact]
    public void An_arrival_joins_the_step_that_is_planned_next()
    {
        using SchedulerDriver driver = new(limits: Limits());
        driver.Submit(Prompt(10, 60), 60);
        driver.Step();
        driver.Submit(Prompt(10, 20, 1), 20);
        StepPlan plan = driver.Step();
        Assert.Equal(2, plan.Slices.Count);
    }
}
