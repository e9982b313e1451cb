using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;

namespace InferenceServer.Tests.Engine.Cache;

/// <summary>Sharing through checkpoints over the naive model, whose states go forward only: where they are taken, and what it costs when they cannot be.</summary>
public sealed class CheckpointTests
{
    private const int Bytes = 1000;

    private static SchedulerDriver Start(long hostBytes = 1 << 20, int cells = 2000, int maxSequences = 8) => new(
        new EngineOptions { HostCacheBytes = hostBytes, MaxSequences = maxSequences },
        new DecoderLimits(cells, ContextLength: cells, SequenceIds: 17, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16, Bytes));

    private static int[] Prompt(int length, int salt) => [.. Enumerable.Range(0, length).Select(i => 1 + ((i * (7 + (2 * salt)) + salt) % 60))];

    private static (int Cached, string? Reason) Run(SchedulerDriver driver, int[] prompt, params int[] boundaries)
    {
        Generation generation = driver.Submit(prompt, 4, request => request with { MessageBoundaries = boundaries });
        driver.RunToEnd();
        driver.AssertReply(generation);
        GenerationResult result = driver.ResultOf(generation)!;
        return (result.CachedTokens, result.Cache.Reason);
    }

    [Fact]
    public void Stops_are_message_ends_regular_distances_and_the_last_token_but_one()
    {
        static List<int> All(CheckpointStops stops)
        {
            List<int> all = [];
            for (int stop = stops.NextAfter(0); stop < int.MaxValue; stop = stops.NextAfter(stop))
                all.Add(stop);
            return all;
        }
        Assert.Equal([512, 1024, 1199], All(new CheckpointStops(1200, [], 512)));
        // Too close to the start or to the one before; the last is met exactly all the same, and serves for the end.
        Assert.Equal([100, 290, 300], All(new CheckpointStops(310, [5, 100, 120, 290, 300], 512)));
        Assert.Empty(All(new CheckpointStops(20, [10], 512)));

        CheckpointStops stops = new(1200, [], 512);
        Assert.Equal(512, stops.Add(530, 0));
        Assert.Equal(530, stops.Add(530, 512));
        Assert.Equal(700, stops.Add(700, 0));
        Assert.Equal([512, 530, 700, 1024, 1199], All(stops));
    }

    [Fact]
    public void A_hit_lands_on_the_last_checkpoint_and_where_two_prompts_parted_there_is_one_from_then_on()
    {
        using SchedulerDriver driver = Start();
        int[] first = Prompt(300, 1);
        Assert.Equal((0, CacheMissReasons.NothingCached), Run(driver, first, 100, 290));
        Assert.Equal((290, CacheMissReasons.LastCheckpoint), Run(driver, first, 100, 290));
        Assert.Equal((100, CacheMissReasons.LastCheckpoint), Run(driver, [.. first[..200], .. Prompt(50, 2)]));
        Assert.Equal((200, CacheMissReasons.Diverged), Run(driver, [.. first[..200], .. Prompt(50, 3)]));
        // The reply's end is a checkpoint too.
        int[] next = [.. first, .. ScriptedDecoder.Reply(first, 3), 9, 9, 9];
        Assert.Equal((303, CacheMissReasons.EndOfEntry), Run(driver, next));
    }

    [Fact]
    public void Followers_wait_for_a_checkpoint_where_they_part_from_the_leader()
    {
        using SchedulerDriver driver = Start();
        int[] system = Prompt(600, 1);
        List<Generation> all = [.. Enumerable.Range(0, 8).Select(i => driver.Submit([.. system, 60 - i, .. Prompt(20, i)], 4))];
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.InRange(driver.Scheduler.Counters.PromptComputed, 600, 600 + (8 * 21) + 8);
    }

    [Fact]
    public void A_preempted_request_goes_on_where_it_was()
    {
        using SchedulerDriver driver = Start(cells: 300);
        int[][] talkative = [.. Enumerable.Range(0, 1000).Select(i => Prompt(50, i)).Where(prompt => ScriptedDecoder.Reply(prompt, 100).Length == 100).Take(4)];
        List<Generation> all = [.. talkative.Select(prompt => driver.Submit(prompt, 100))];
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.True(driver.Scheduler.Counters.Preemptions > 0, "nothing was preempted");
        Assert.Equal(0, driver.Scheduler.Counters.Recomputed);
    }

    [Fact]
    public void Checkpoints_keep_within_the_budget_and_the_newest_serves()
    {
        using SchedulerDriver driver = Start(hostBytes: 12 * Bytes);
        int[] history = Prompt(100, 1);
        for (int turn = 0; turn < 12; turn++)
        {
            history = [.. history, .. Prompt(60, turn)];
            (int cached, _) = Run(driver, history);
            Assert.True(turn == 0 || cached >= history.Length - 60 - 32, $"{cached} of {history.Length}");
            Assert.True(driver.Scheduler.Cache.Host.UsedBytes <= 12 * Bytes);
            history = [.. history, .. ScriptedDecoder.Reply(history, 4)];
        }
        // Regular ones of a long prompt take a quarter of the budget at most.
        long taken = driver.Scheduler.Cache.CheckpointsTaken;
        Run(driver, Prompt(1900, 2));
        Assert.InRange(driver.Scheduler.Cache.CheckpointsTaken - taken, 3, 5);
    }

    [Fact]
    public void Where_none_fits_nothing_is_shared_or_kept()
    {
        using SchedulerDriver driver = Start(hostBytes: Bytes - 1);
        int[] prompt = Prompt(300, 1);
        for (int i = 0; i < 2; i++)
            Assert.Equal((0, CacheMissReasons.NotShareable), Run(driver, prompt, 100));
        List<Generation> all = [.. Enumerable.Range(0, 4).Select(_ => driver.Submit(prompt, 4))];
        driver.Step();
        Assert.Equal(4, driver.Scheduler.Running.Count);
        driver.RunToEnd();
        all.ForEach(driver.AssertReply);
        Assert.Equal(driver.Limits.Cells, driver.Scheduler.Cache.Ledger.Free);
    }

    [Fact]
    public void Checkpoints_that_cannot_be_saved_cost_hits_and_one_step()
    {
        using SchedulerDriver driver = Start();
        int[] system = Prompt(200, 1);
        Run(driver, [.. system, .. Prompt(50, 2)], 200);
        driver.Decoder.FailSaves = true;
        for (int i = 3; i < 9; i++)
            Run(driver, [.. system[..120], .. Prompt(300, i)], 160, 220, 300);
        Assert.True(driver.Scheduler.Counters.FailedSteps <= 1, $"{driver.Scheduler.Counters.FailedSteps} failed steps");
        driver.Decoder.FailSaves = false;
        // The first that ends notes that saving works again.
        Run(driver, Prompt(100, 10));
        int[] prompt = Prompt(300, 9);
        Run(driver, prompt);
        Assert.Equal(299, Run(driver, [.. prompt, 9, 9]).Cached);
    }
}
