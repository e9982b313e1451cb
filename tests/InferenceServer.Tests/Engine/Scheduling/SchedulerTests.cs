using InferenceServer.Engine;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Text;
using static InferenceServer.Tests.Engine.ScriptedDecoder;

namespace InferenceServer.Tests.Engine.Scheduling;

public sealed class SchedulerTests
{
    [Fact]
    public void A_new_request_joins_the_running_batch_at_the_next_step()
    {
        SchedulerDriver driver = new();
        Generation first = driver.Submit(Prompt(10), 20);
        driver.Step();
        Assert.Single(driver.TokensOf(first));
        Generation second = driver.Submit(Prompt(10, salt: 1), 20);
        StepPlan plan = driver.Step();
        Assert.Equal(2, plan.Slices.Count);
        Assert.Single(driver.TokensOf(second));
        driver.RunToEnd();
        driver.AssertReply(first);
        driver.AssertReply(second);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Where_results_depend_on_the_batch_a_step_computes_for_one_and_all_have_their_turn(bool computesAhead)
    {
        SchedulerDriver driver = new(limits: new(Cells: 8192, ContextLength: 4096, SequenceIds: 16, BatchSize: 128, MaxOutputs: 48, SharesCells: false, StateBytesPerToken: 16, ComputesAlone: true,
            Profile: DeviceProfile.TwoCores with { ComputesAhead = computesAhead }));
        int[] prompt = Prompt(300, 20);
        List<Generation> all = [driver.Submit(prompt, 20), driver.Submit(Prompt(90, 20, 1), 20), driver.Submit(prompt, 20)];
        Dictionary<Generation, List<int>> shapes = all.ToDictionary(g => g, _ => new List<int>());
        int most = 0;
        for (int step = 0; step < 400 && all.Exists(g => driver.ResultOf(g) is null); step++)
        {
            StepPlan plan = driver.Step();
            Assert.True(plan.Slices.Count <= 1);
            foreach (PlanSlice slice in plan.Slices)
                shapes[slice.Sequence.Generation].Add(slice.RowCount);
            int[] written = [.. all.Select(g => driver.TokensOf(g).Length)];
            most = Math.Max(most, written[0] - written[2]);
        }
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.Equal([128, 128, 44], shapes[all[0]][..3]);
        Assert.Equal(shapes[all[0]], shapes[all[2]]);
        Assert.All(all, g => Assert.Equal(0, driver.ResultOf(g)!.CachedTokens));
        Assert.InRange(most, 0, 4);
    }

    [Fact]
    public void Requests_that_arrive_together_compute_a_shared_prefix_once()
    {
        SchedulerDriver driver = new();
        int[] system = Prompt(900);
        List<Generation> all = [.. Enumerable.Range(0, 16).Select(i => driver.Submit(Prompt(920, 8, i, system)))];
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.InRange(driver.Scheduler.Counters.PromptComputed, 900, 900 + (16 * 20));
        Assert.Equal(15, all.Count(g => driver.ResultOf(g)!.CachedTokens >= 900));
    }

    [Fact]
    public void A_follower_waits_only_for_the_part_it_shares()
    {
        SchedulerDriver driver = new();
        int[] system = Prompt(100);
        Generation leader = driver.Submit(Prompt(2000, 8, 1, system));
        driver.Step();
        Generation follower = driver.Submit(Prompt(110, 8, 2, system));
        while (driver.ResultOf(follower) is null)
            driver.Step();
        Assert.Null(driver.ResultOf(leader));
        Assert.True(driver.ResultOf(follower)!.CachedTokens >= 100);
        driver.RunToEnd();
        driver.AssertReply(leader);
    }

    [Fact]
    public void A_request_reuses_what_a_request_that_still_runs_has_computed()
    {
        SchedulerDriver driver = new();
        int[] prompt = Prompt(200);
        driver.Submit(prompt, 40);
        while (driver.Scheduler.Running.Count == 0 || driver.Scheduler.Running[0].Computed < 205)
            driver.Step();
        Generation second = driver.Submit(prompt, 4);
        driver.RunToEnd();
        Assert.Equal(199, driver.ResultOf(second)!.CachedTokens);
        driver.AssertReply(second);
    }

    [Fact]
    public void Several_prompts_prefill_side_by_side()
    {
        SchedulerDriver driver = new();
        driver.Submit(Prompt(1000, salt: 1));
        driver.Submit(Prompt(1000, salt: 2));
        driver.Step(); // The first chunk, from which the step model learns that many rows fit.
        StepPlan plan = driver.Step();
        Assert.Equal(2, plan.Slices.Count);
        Assert.Equal(plan.Slices[0].RowCount, plan.Slices[1].RowCount);
    }

    [Fact]
    public void A_long_prompt_moves_while_shorter_ones_keep_arriving()
    {
        // A step has room for one slice, and there is always a shorter prompt than the long one.
        SchedulerDriver driver = new(limits: new(Cells: 65_536, ContextLength: 4096, SequenceIds: 129, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16));
        Generation longest = driver.Submit(Prompt(1000, 1), 1);
        for (int i = 0; driver.ResultOf(longest) is null; i++)
        {
            Assert.True(i < 400, "the long prompt starves");
            driver.Submit(Prompt(128, 1, i + 1), 1);
            driver.Step();
        }
    }

    [Fact]
    public void Where_rows_mix_badly_replies_and_prompts_are_computed_in_turn()
    {
        SchedulerDriver driver = new(new EngineOptions { TargetInterTokenSeconds = 0.05 }, new(Cells: 8192, ContextLength: 4096, SequenceIds: 129, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16, AttentionTileRows: 64));
        Generation stream = driver.Submit(Prompt(500, 200), 200);
        while (driver.TokensOf(stream).Length < 20)
            driver.Step();
        Generation arrival = driver.Submit(Prompt(3000, 4, 9), 4);
        int longestPause = 0, pause = 0;
        while (driver.ResultOf(arrival) is null)
        {
            StepPlan plan = driver.Step();
            Assert.True(plan.Rows.Count < 64 || plan.Slices.Count == 1, $"{plan.Slices.Count} sequences share a step of {plan.Rows.Count} rows");
            pause = plan.Slices.Any(s => s.Sequence.Generation == stream) ? 0 : pause + 1;
            longestPause = Math.Max(longestPause, pause);
        }
        Assert.Equal(1, longestPause);
        driver.RunToEnd();
        driver.AssertReply(stream);
        driver.AssertReply(arrival);
    }

    [Fact]
    public void Saved_entries_that_no_arrival_continues_leave_the_pool_when_work_begins()
    {
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 });
        int[] kept = Prompt(900, salt: 1), other = Prompt(900, salt: 2);
        driver.Submit(kept, 4);
        driver.Submit(other, 4);
        driver.RunToEnd();
        while (driver.Scheduler.PlanIdleWork())
            driver.Step();
        Generation again = driver.Submit(kept, 4);
        driver.Step();
        Assert.InRange(driver.Scheduler.Cache.Ledger.Total - driver.Scheduler.Cache.Ledger.Free, 900, 1000);
        driver.RunToEnd();
        Assert.Equal(899, driver.ResultOf(again)!.CachedTokens);
        Assert.Equal(0, driver.ResultOf(again)!.Cache.HostTokens);
        Generation restored = driver.Submit(other, 4);
        driver.RunToEnd();
        Assert.True(driver.ResultOf(restored)!.Cache.HostTokens > 800);
        driver.AssertReply(restored);
    }

    [Fact]
    public void A_long_prompt_does_not_stall_the_steady_streams()
    {
        SchedulerDriver driver = new();
        List<Generation> streams = [.. Enumerable.Range(0, 4).Select(i => driver.Submit(Prompt(8, 200, i), 200))];
        for (int i = 0; i < 20; i++)
            driver.Step();
        Generation arrival = driver.Submit(Prompt(3000, 4, 9), 4);
        // What the step model learnt above: 10 ms a step whatever is in it, so a chunk may take as long again.
        while (driver.ResultOf(arrival) is null)
        {
            StepPlan plan = driver.Step();
            Assert.True(plan.Slices.Count(s => s.RowCount == 1) >= 4, "every steady stream has its row in every step");
        }
        driver.RunToEnd();
        streams.ForEach(driver.AssertReply);
    }

    [Fact]
    public void A_cancel_inside_a_prefill_frees_its_cells_and_touches_no_one_else()
    {
        SchedulerDriver driver = new();
        Generation kept = driver.Submit(Prompt(50, salt: 1), 30);
        Generation cancelled = driver.Submit(Prompt(3000, salt: 2), 30);
        driver.Step();
        driver.Step();
        cancelled.Cancel();
        driver.Step();
        Assert.Equal(FinishReason.Cancelled, driver.ResultOf(cancelled)!.FinishReason);
        driver.RunToEnd();
        driver.AssertReply(kept);
        Assert.Equal(driver.Limits.Cells, driver.Scheduler.Cache.Ledger.Free + driver.Scheduler.Cache.Ledger.Cached);
    }

    [Fact]
    public void Six_long_requests_in_a_pool_for_four_all_finish()
    {
        DecoderLimits limits = new(Cells: 1600, ContextLength: 1600, SequenceIds: 33, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, limits);
        List<Generation> all = [.. Enumerable.Range(0, 6).Select(i => driver.Submit(Prompt(20, 380, i), 380))];
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.True(driver.Scheduler.Counters.Preemptions > 0);
        Assert.True(driver.Scheduler.Counters.Preemptions < 60, $"{driver.Scheduler.Counters.Preemptions} preemptions: the pool thrashes");
    }

    [Fact]
    public void The_youngest_of_the_lowest_class_is_preempted()
    {
        DecoderLimits limits = new(Cells: 300, ContextLength: 300, SequenceIds: 9, BatchSize: 64, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);
        SchedulerDriver driver = new(new EngineOptions(), limits);
        Generation flex = driver.Submit(Prompt(40, 100, 1), 100, r => r with { Priority = RequestPriority.Flex });
        Generation normal = driver.Submit(Prompt(40, 150, 2), 150);
        Generation priority = driver.Submit(Prompt(40, 150, 3), 150, r => r with { Priority = RequestPriority.Priority });
        driver.RunToEnd();
        Assert.True(driver.Scheduler.Counters.Preemptions > 0);
        foreach (Generation generation in new[] { flex, normal, priority })
            driver.AssertReply(generation);
        Assert.True(driver.ResultOf(flex)!.Timing.DecodeSeconds > driver.ResultOf(priority)!.Timing.DecodeSeconds);
    }

    [Fact]
    public void Ageing_lets_a_flex_request_overtake_fresh_priority_requests()
    {
        SchedulerDriver driver = new(new EngineOptions { MaxSequences = 1 });
        Generation flex = driver.Submit(Prompt(10, salt: 1), 4, r => r with { Priority = RequestPriority.Flex });
        int served = 0;
        for (; driver.ResultOf(flex) is null && served < 10_000; served++)
        {
            driver.Submit(Prompt(10, salt: served % 50), 4, r => r with { Priority = RequestPriority.Priority });
            for (int i = 0; i < 4; i++)
                driver.Step();
        }
        Assert.NotNull(driver.ResultOf(flex));
        Assert.True(served > 100, "and not before it has waited");
    }

    [Fact]
    public void A_key_with_many_requests_does_not_crowd_out_another()
    {
        SchedulerDriver driver = new(new EngineOptions { MaxSequences = 1 });
        for (int i = 0; i < 20; i++)
            driver.Submit(Prompt(10, salt: i), 4, r => r with { FairnessKey = "busy" });
        Generation other = driver.Submit(Prompt(10, salt: 99), 4, r => r with { FairnessKey = "other" });
        while (driver.ResultOf(other) is null)
            driver.Step();
        Assert.True(driver.Scheduler.Counters.Finished <= 3, $"{driver.Scheduler.Counters.Finished} requests went first");
    }

    [Fact]
    public void No_entry_crosses_a_namespace()
    {
        SchedulerDriver driver = new();
        int[] prompt = Prompt(100);
        driver.Submit(prompt, 4, r => r with { CacheNamespace = "a" });
        driver.RunToEnd();
        Generation other = driver.Submit(prompt, 4, r => r with { CacheNamespace = "b" });
        driver.RunToEnd();
        Generation same = driver.Submit(prompt, 4, r => r with { CacheNamespace = "a" });
        driver.RunToEnd();
        Assert.Equal(0, driver.ResultOf(other)!.CachedTokens);
        Assert.Equal(99, driver.ResultOf(same)!.CachedTokens);
    }

    [Fact]
    public void What_was_evicted_comes_back_from_host_memory()
    {
        DecoderLimits limits = new(Cells: 300, ContextLength: 300, SequenceIds: 9, BatchSize: 64, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, limits);
        int[] prompt = Prompt(200);
        driver.Submit(prompt, 4);
        driver.RunToEnd();
        driver.Submit(Prompt(250, 8, 5), 4);
        driver.RunToEnd();
        Assert.True(driver.Scheduler.Cache.EvictedTokens > 0);
        Generation again = driver.Submit(prompt, 4);
        driver.RunToEnd();
        driver.AssertReply(again);
        Assert.Equal(199, driver.ResultOf(again)!.CachedTokens);
        Assert.True(driver.ResultOf(again)!.Cache.HostTokens > 0);
    }

    [Fact]
    public void The_cache_report_says_why_no_more_was_reused()
    {
        DecoderLimits limits = new(Cells: 300, ContextLength: 300, SequenceIds: 9, BatchSize: 64, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);
        using SchedulerDriver driver = new(new EngineOptions(), limits);
        int[] first = Prompt(100);
        (string?, int) Report(int[] prompt, string cacheNamespace = "")
        {
            Generation generation = driver.Submit(prompt, 4, r => r with { CacheNamespace = cacheNamespace });
            driver.RunToEnd();
            driver.AssertReply(generation);
            CacheReport report = driver.ResultOf(generation)!.Cache;
            return (report.Reason, report.DivergedAt);
        }
        Assert.Equal((CacheMissReasons.NothingCached, 0), Report(first));
        Assert.Equal((null, 99), Report(first));
        Assert.Equal((CacheMissReasons.Diverged, 60), Report([.. first[..60], .. Prompt(30, salt: 3)]));
        Assert.Equal((CacheMissReasons.EndOfEntry, 103), Report([.. first, .. ScriptedDecoder.Reply(first, 3), 9, 9, 9]));
        // What another namespace holds is never told.
        Assert.Equal((CacheMissReasons.NothingCached, 0), Report(first, "other"));
        Report(Prompt(280, 8, 5));
        Assert.Equal((CacheMissReasons.Evicted, 0), Report(first));
    }

    [Fact]
    public void Saves_that_fail_do_not_keep_an_idle_engine_busy()
    {
        using SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 });
        driver.Decoder.FailSaves = true;
        driver.Submit(Prompt(200), 4);
        driver.RunToEnd();
        int idleSteps = 0;
        while (driver.Scheduler.PlanIdleWork())
        {
            Assert.True(idleSteps++ < 5, "it tries again and again");
            driver.Step();
        }
        driver.Decoder.FailSaves = false;
        driver.Submit(Prompt(200), 4);
        driver.RunToEnd();
        while (driver.Scheduler.PlanIdleWork())
            driver.Step();
        Assert.True(driver.Scheduler.Cache.Host.UsedBytes > 0);
    }

    [Fact]
    public void A_deadline_counts_from_arrival_through_the_queue()
    {
        SchedulerDriver driver = new(new EngineOptions { MaxSequences = 1 });
        Generation running = driver.Submit(Prompt(10, 100), 100);
        driver.Step();
        Generation late = driver.Submit(Prompt(10, salt: 2), 4, r => r with { Timeout = TimeSpan.FromMilliseconds(45) });
        driver.RunToEnd();
        Assert.Equal(FinishReason.DeadlineExceeded, driver.ResultOf(late)!.FinishReason);
        Assert.Empty(driver.TokensOf(late));
        driver.AssertReply(running);
    }

    [Fact]
    public void A_deadline_while_decoding_keeps_the_partial_reply()
    {
        SchedulerDriver driver = new();
        Generation generation = driver.Submit(Prompt(10, 100), 100, r => r with { Timeout = TimeSpan.FromMilliseconds(105) });
        driver.RunToEnd();
        Assert.Equal(FinishReason.DeadlineExceeded, driver.ResultOf(generation)!.FinishReason);
        Assert.InRange(driver.TokensOf(generation).Length, 5, 11);
    }

    [Fact]
    public void Only_the_context_limit_ends_a_request_early_and_with_length()
    {
        DecoderLimits limits = new(Cells: 64, ContextLength: 50, SequenceIds: 9, BatchSize: 64, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16);
        SchedulerDriver driver = new(new EngineOptions(), limits);
        Generation generation = driver.Submit(Prompt(30, 100), 100);
        driver.RunToEnd();
        Assert.Equal(FinishReason.Length, driver.ResultOf(generation)!.FinishReason);
        Assert.Equal(20, driver.ResultOf(generation)!.CompletionTokens);
    }

    [Fact]
    public void Zero_tokens_compute_the_prompt_and_nothing_else()
    {
        SchedulerDriver driver = new();
        Generation generation = driver.Submit(Prompt(30), 0);
        driver.RunToEnd();
        Assert.Empty(driver.TokensOf(generation));
        Assert.Equal(FinishReason.Length, driver.ResultOf(generation)!.FinishReason);
        Assert.Equal(30, driver.Scheduler.Cache.Ledger.Cached);
    }

    [Fact]
    public void A_failed_step_is_computed_again_and_nobody_notices()
    {
        SchedulerDriver driver = new();
        List<Generation> all = [.. Enumerable.Range(0, 3).Select(i => driver.Submit(Prompt(20, 30, i), 30))];
        for (int i = 0; i < 10; i++)
            driver.Step();
        driver.Decoder.FailNext = "out of memory";
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.Equal(1, driver.Scheduler.Counters.FailedSteps);
    }

    [Fact]
    public void A_step_that_keeps_failing_ends_its_requests_with_the_cause()
    {
        SchedulerDriver driver = new();
        Generation generation = driver.Submit(Prompt(20), 30);
        for (int i = 0; i < 20 && driver.ResultOf(generation) is null; i++)
        {
            driver.Decoder.FailNext = "compute failed";
            driver.Step();
        }
        Assert.Equal(FinishReason.Failed, driver.ResultOf(generation)!.FinishReason);
        Assert.Contains("compute failed", driver.ResultOf(generation)!.Error);
        Assert.False(driver.Scheduler.HasWork);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_prediction_saves_steps_when_it_holds_and_never_changes_the_reply(bool holds)
    {
        SchedulerDriver driver = new();
        int[] prompt = Prompt(20, 60);
        int[] truth = ScriptedDecoder.Reply(prompt, 60);
        int[] predicted = holds ? truth : [.. truth.Select(t => (t % 60) + 1)];
        Generation generation = driver.Submit(prompt, 60, r => r with { PredictedTokens = predicted });
        int steps = driver.RunToEnd();
        driver.AssertReply(generation);
        GenerationResult result = driver.ResultOf(generation)!;
        Assert.Equal(60, result.CompletionTokens);
        if (holds)
            Assert.True(steps < 50 && result.AcceptedPredictionTokens > 10, $"{steps} steps, {result.AcceptedPredictionTokens} accepted");
        else
            Assert.True(steps >= 55 && result.AcceptedPredictionTokens <= 5, $"{steps} steps, {result.AcceptedPredictionTokens} accepted");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Drafts_that_come_true_do_not_think_past_the_limit(bool isOpen)
    {
        int[] prompt = Prompt(20, 60), truth = ScriptedDecoder.Reply(prompt, 40);
        int[] close = [1, 2, 1];
        string Text(params int[] tokens) => string.Concat(tokens.Select(token => (char)(token + 32)));
        long accepted = 0;
        for (int limit = 1; limit <= 30; limit++)
        {
            SchedulerDriver driver = new();
            Generation generation = driver.Submit(prompt, 60, r => r with
            {
                PredictedTokens = truth,
                Thinking = new ThinkingLimit(limit, Text(truth[0]), Text(close), isOpen, close),
            });
            driver.RunToEnd();
            int thought = limit + (isOpen ? 0 : 1);
            Assert.Equal([.. truth[..thought], .. close], driver.TokensOf(generation)[..(thought + close.Length)]);
            accepted += driver.Scheduler.Counters.DraftsAccepted;
        }

        Assert.True(accepted > 100, $"{accepted} drafted tokens came true");
    }

    [Fact]
    public void A_draft_past_the_end_of_the_reply_leaves_nothing_behind()
    {
        SchedulerDriver driver = new();
        int[] prompt = Prompt(20, 30);
        int[] truth = ScriptedDecoder.Reply(prompt, 30);
        Generation generation = driver.Submit(prompt, 30, r => r with { PredictedTokens = (int[])[.. truth, .. truth], StopTokens = [truth[^1]] });
        driver.RunToEnd();
        Assert.Equal(FinishReason.Stop, driver.ResultOf(generation)!.FinishReason);
        Assert.Equal(driver.Limits.Cells, driver.Scheduler.Cache.Ledger.Free + driver.Scheduler.Cache.Ledger.Cached);
    }

    [Fact]
    public void A_request_whose_token_cannot_be_drawn_ends_alone()
    {
        SchedulerDriver driver = new();
        Generation kept = driver.Submit(Prompt(20, 30, 1), 30);
        Generation broken = driver.Submit(Prompt(20, 30, 2), 30, r => r with { StopTokens = [999] });
        for (int i = 0; i < 5; i++)
            driver.Step();
        driver.Decoder.FailDrawsOfStopToken = 999;
        driver.RunToEnd();
        Assert.Equal(FinishReason.Failed, driver.ResultOf(broken)!.FinishReason);
        Assert.Contains("scripted draw failure", driver.ResultOf(broken)!.Error);
        driver.AssertReply(kept);
        Assert.Equal(0, driver.Scheduler.Counters.FailedSteps);
    }

    [Fact]
    public void Many_plain_requests_are_drawn_on_the_device_few_on_the_host_and_what_needs_logits_always_there()
    {
        DeviceProfile device = DeviceProfile.TwoCores with { ComputesAhead = true, IdleCellSeconds = 0, DrawnFrom = 8 };
        using SchedulerDriver driver = new(limits: new DecoderLimits(Cells: 4096, ContextLength: 4096, SequenceIds: 65, BatchSize: 512, MaxOutputs: 48, SharesCells: true,
            StateBytesPerToken: 16, DrawnIds: 16, Profile: device));
        Generation alone = driver.Submit(Prompt(20, 60), 60);
        Generation chosen = driver.Submit(Prompt(20, 40, 99), 40, request => request with { Sampling = new SamplingOptions { TopLogprobs = 1 } });
        for (int i = 0; i < 6; i++)
            driver.Step();
        Assert.Equal(0, driver.Scheduler.Counters.DeviceDraws);
        List<Generation> many = [.. Enumerable.Range(1, 12).Select(i => driver.Submit(Prompt(20, 10 + i, i), 10 + i))];
        for (int i = 0; i < 4; i++)
            driver.Step();
        Assert.True(driver.Scheduler.Running.All(sequence => driver.Scheduler.Cache.Ids.IsDrawn(sequence.KvId) == (sequence.Generation != chosen)));
        // Of the last few the host draws again, and verifies guesses.
        while (driver.Scheduler.Running.Count > 3)
            driver.Step();
        driver.Step();
        long drawn = driver.Scheduler.Counters.DeviceDraws;
        Assert.DoesNotContain(driver.Scheduler.Running, sequence => driver.Scheduler.Cache.Ids.IsDrawn(sequence.KvId));
        driver.RunToEnd();
        Assert.InRange(driver.Scheduler.Counters.DeviceDraws, drawn, drawn + 3);
        foreach (Generation generation in (Generation[])[alone, chosen, .. many])
            driver.AssertReply(generation);
    }
}
