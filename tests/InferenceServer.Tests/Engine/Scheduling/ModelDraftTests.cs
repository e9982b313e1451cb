using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Tests.Engine.Scheduling;

/// <summary>Guards drafts by a second model: replies stay what they are, it is kept in step with them, and it is asked where that pays and not where it does not.</summary>
public sealed class ModelDraftTests
{
    private static readonly DecoderLimits Ahead = new(Cells: 4096, ContextLength: 4096, SequenceIds: 65, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16,
        Profile: new DeviceProfile([(1, 0.010), (8, 0.010), (64, 0.011)], 0, 0, 0, ComputesAhead: true));

    private static readonly DecoderLimits Plain = Ahead with { Profile = Ahead.Device with { ComputesAhead = false } };

    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 1)]
    [InlineData(false, 6)]
    [InlineData(true, 6)]
    public void True_guesses_make_replies_of_fewer_steps(bool ahead, int streams)
    {
        using SchedulerDriver driver = new(limits: ahead ? Ahead : Plain, draft: ScriptedDraftContext.Create);
        List<Generation> replies = Submit(driver, streams, 120);
        int steps = RunToEnd(driver, replies);
        SchedulerCounters counters = driver.Scheduler.Counters;
        Assert.InRange(steps, 120 / 5, 60);
        Assert.Equal(counters.ModelDrafted, counters.Drafted);
        Assert.True(counters.ModelDraftsAccepted >= counters.ModelDrafted * 0.95, $"{counters.ModelDraftsAccepted} of {counters.ModelDrafted}");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void All_sequences_are_guessed_for_in_one_call_a_token(bool ahead)
    {
        using SchedulerDriver driver = new(limits: ahead ? Ahead : Plain, draft: ScriptedDraftContext.Create);
        List<Generation> replies = Submit(driver, 6, 120);
        while (replies.Exists(reply => driver.TokensOf(reply).Length < 20))
            driver.Step();
        int calls = driver.Drafts!.Calls.Count;
        driver.Step();
        Assert.InRange(driver.Drafts.Calls.Count - calls, 1, 4);
        Assert.All(driver.Drafts.Calls[calls..], rows => Assert.InRange(rows, 6, 12));
        RunToEnd(driver, replies);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    public void False_guesses_turn_it_off_and_finding_out_stays_cheap(int streams)
    {
        using SchedulerDriver driver = new(limits: Plain, draft: ScriptedDraftContext.Create);
        driver.Drafts!.IsTrue = _ => false;
        int steps = RunToEnd(driver, Submit(driver, streams, 2000 / streams));
        Assert.InRange(driver.Scheduler.Drafter!.Seconds, 0.001, (steps * 0.01 * 0.02) + 0.15);
        Assert.Equal(0, driver.Scheduler.Counters.ModelDraftsAccepted);
    }

    [Fact]
    public void Guesses_that_cost_as_much_as_a_step_are_not_made()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: time => new(time, ScriptedDraftContext.DefaultLimits with { Device = Plain.Device }));
        driver.Drafts!.Cost = _ => TimeSpan.FromMilliseconds(10);
        int steps = RunToEnd(driver, Submit(driver, 1, 1500));
        Assert.InRange(driver.Scheduler.Drafter!.Seconds, 0, (steps * 0.01 * 0.02) + 0.15);
    }

    [Fact]
    public void What_becomes_predictable_is_guessed_again()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: ScriptedDraftContext.Create);
        driver.Drafts!.IsTrue = position => position > 1000;
        List<Generation> replies = Submit(driver, 1, 2500);
        int before = 0;
        while (driver.TokensOf(replies[0]).Length < 2200)
        {
            driver.Step();
            before += driver.TokensOf(replies[0]).Length < 1000 ? 1 : 0;
        }
        Assert.True(before > 900, $"{before} steps for a thousand unpredictable tokens");
        Assert.True(driver.Scheduler.Counters.ModelDraftsAccepted > 400, $"{driver.Scheduler.Counters.ModelDraftsAccepted} accepted");
        RunToEnd(driver, replies);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Guesses_that_are_true_now_and_then_leave_replies_as_they_are(bool ahead)
    {
        using SchedulerDriver driver = new(limits: ahead ? Ahead : Plain, draft: ScriptedDraftContext.Create);
        driver.Drafts!.IsTrue = position => position % 3 != 0;
        RunToEnd(driver, Submit(driver, 5, 150));
        SchedulerCounters counters = driver.Scheduler.Counters;
        Assert.InRange(counters.ModelDraftsAccepted, 20, counters.ModelDrafted - 1);
    }

    [Fact]
    public void A_guess_that_the_model_is_unsure_of_ends_the_draft()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: ScriptedDraftContext.Create);
        // It is right where it is sure.
        driver.Drafts!.IsTrue = position => position % 4 != 0;
        driver.Drafts.Probability = position => position % 4 != 0 ? 0.9f : 0.1f;
        RunToEnd(driver, Submit(driver, 1, 400));
        SchedulerCounters counters = driver.Scheduler.Counters;
        Assert.True(counters.ModelDrafted > 50);
        Assert.Equal(counters.ModelDrafted, counters.ModelDraftsAccepted);
    }

    [Fact]
    public void A_long_prompt_is_computed_in_parts_and_only_for_a_reply_that_has_gone_on()
    {
        DeviceProfile device = new([(1, 0.001), (64, 0.005)], 0, 0, 0, ComputesAhead: false);
        using SchedulerDriver driver = new(limits: Plain, draft: time => new(time, ScriptedDraftContext.DefaultLimits with { Device = device }));
        driver.Drafts!.Cost = rows => TimeSpan.FromMilliseconds(1 + (rows / 16.0));
        Generation reply = driver.Submit(ScriptedDecoder.Prompt(1500, 300), 300);
        while (driver.TokensOf(reply).Length < 8)
            driver.Step();
        Assert.Equal(0, driver.Drafts.ComputedRows);
        RunToEnd(driver, [reply]);
        Assert.True(driver.Scheduler.Counters.ModelDraftsAccepted > 30, $"{driver.Scheduler.Counters.ModelDraftsAccepted} accepted");
        // As long as a step at most, but for the smallest part.
        Assert.InRange(driver.Drafts.Calls.Max(), 32, 200);
    }

    [Fact]
    public void Those_that_end_are_cancelled_or_make_room_are_forgotten()
    {
        DecoderLimits small = Plain with { Cells = 700 };
        using SchedulerDriver driver = new(new EngineOptions { MaxSequences = 6 }, small, time => new(time, ScriptedDraftContext.DefaultLimits with { Sequences = 6, Cells = 700 }));
        driver.Drafts!.IsTrue = position => position % 5 != 0;
        List<Generation> replies = Submit(driver, 12, 150);
        for (int round = 0; replies.Exists(reply => driver.ResultOf(reply) is null); round++)
        {
            driver.Step();
            if (round == 60)
                replies[1].Cancel();
        }
        Assert.True(driver.Scheduler.Counters.Preemptions > 0, "nobody had to make room");
        foreach (Generation reply in replies.Where(reply => reply != replies[1]))
            driver.AssertReply(reply);
        // The next one finds a free slot and an empty memory.
        Generation last = driver.Submit(ScriptedDecoder.Prompt(8, 60, 99), 60);
        RunToEnd(driver, [last]);
        Assert.InRange(driver.Drafts.UsedCells, 1, 8 + 60);
    }

    [Fact]
    public void The_context_ends_where_it_ends()
    {
        using SchedulerDriver driver = new(limits: Plain with { ContextLength = 100 }, draft: time => new(time, ScriptedDraftContext.DefaultLimits with { ContextLength = 80 }));
        Generation reply = driver.Submit(ScriptedDecoder.Prompt(8, 92), 200);
        driver.RunToEnd();
        Assert.Equal(92, driver.TokensOf(reply).Length);
        driver.AssertReply(reply);
    }

    [Fact]
    public void A_step_that_fails_and_a_draft_that_fails_cost_nothing_but_time()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: ScriptedDraftContext.Create);
        List<Generation> replies = Submit(driver, 3, 100);
        for (int round = 0; replies.Exists(reply => driver.ResultOf(reply) is null); round++)
        {
            if (round is 10 or 14)
                driver.Decoder.FailNext = "scripted failure";
            if (round == 12)
                driver.Drafts!.Failures = 1;
            driver.Step();
        }
        replies.ForEach(driver.AssertReply);
        Assert.True(driver.Scheduler.Counters.ModelDraftsAccepted > 20);
        Assert.False(driver.Scheduler.Drafter!.IsOff);
    }

    [Fact]
    public void A_draft_model_that_only_fails_is_not_asked_again()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: ScriptedDraftContext.Create);
        driver.Drafts!.Failures = int.MaxValue;
        RunToEnd(driver, Submit(driver, 2, 100));
        Assert.True(driver.Scheduler.Drafter!.IsOff);
        Assert.Equal(3, driver.Drafts.Calls.Count);
    }

    [Fact]
    public void Tokens_that_the_model_does_not_know_are_not_shown_to_it()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: time => new(time, ScriptedDraftContext.DefaultLimits with { Tokens = 10 }));
        RunToEnd(driver, Submit(driver, 2, 100));
        Assert.Equal(0, driver.Scheduler.Counters.ModelDrafted);
    }

    [Fact]
    public void What_the_text_tells_as_well_is_taken_from_it()
    {
        using SchedulerDriver driver = new(limits: Plain, draft: ScriptedDraftContext.Create);
        driver.Drafts!.IsTrue = _ => false;
        int[] prompt = ScriptedDecoder.Prompt(8, 200);
        Generation reply = driver.Submit(prompt, 200, request => request with { PredictedTokens = ScriptedDecoder.Reply(prompt, 200) });
        driver.RunToEnd();
        driver.AssertReply(reply);
        SchedulerCounters counters = driver.Scheduler.Counters;
        Assert.True(counters.DraftsAccepted > 50, $"{counters.DraftsAccepted} accepted");
        Assert.True(counters.ModelDrafted < 20, $"{counters.ModelDrafted} guessed by the model");
    }

    private static List<Generation> Submit(SchedulerDriver driver, int count, int tokens) =>
        [.. Enumerable.Range(0, count).Select(i => driver.Submit(LongReply(tokens, i), tokens, request => request with { IgnoreEndOfGeneration = true }))];

    /// <summary>The scripted vocabulary has an end token, which long replies meet; a prompt alone decides when.</summary>
    private static int[] LongReply(int tokens, int salt) => tokens <= 150 ? ScriptedDecoder.Prompt(8, tokens, salt) : [.. Enumerable.Range(1, 8).Select(i => (i * 7) + salt)];

    private static int RunToEnd(SchedulerDriver driver, List<Generation> replies)
    {
        int steps = 0;
        while (replies.Exists(reply => driver.ResultOf(reply) is null))
        {
            driver.Step();
            steps++;
        }
        foreach (Generation reply in replies.Where(reply => driver.TokensOf(reply).Length <= 150))
            driver.AssertReply(reply);
        return steps;
    }
}
