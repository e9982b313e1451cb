using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using static InferenceServer.Tests.Engine.ScriptedDecoder;

namespace InferenceServer.Tests.Engine.Scheduling;

/// <summary>A step computes one set of adapters (the scripted decoder asserts it); sets share the steps, and nothing in the cache.</summary>
public sealed class AdapterTurnsTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("adapter-turns-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Requests_of_one_set_run_together_and_sets_in_turns(bool computesAhead)
    {
        using SchedulerDriver driver = Start(computesAhead, speculation: false);
        AdapterSet first = Adapters("first"), second = Adapters("second");
        List<Generation> all = [];
        for (int i = 0; i < 2; i++)
            foreach (AdapterSet set in (AdapterSet[])[AdapterSet.None, first, second])
                all.Add(driver.Submit(LongPrompt(20, 60, set, all.Count), 60, r => r with { Adapters = set }));
        int together = 0, longest = 0;
        Dictionary<AdapterSet, int> waited = new() { [AdapterSet.None] = 0, [first] = 0, [second] = 0 };
        while (driver.Scheduler.HasWork)
        {
            StepPlan plan = driver.Step();
            if (plan.Rows.Count == 0)
                continue;
            together += plan.Slices.Count == 2 ? 1 : 0;
            foreach (AdapterSet set in waited.Keys)
                longest = Math.Max(longest, waited[set] = set.Equals(plan.Adapters) || !driver.Scheduler.Running.Any(s => s.Adapters.Equals(set)) ? 0 : waited[set] + 1);
        }
        all.ForEach(driver.AssertReply);
        Assert.True(together > 100, $"{together} steps of both requests of a set");
        Assert.InRange(longest, AdapterTurns.StepsPerTurn, 2 * AdapterTurns.StepsPerTurn);
        // A change costs about a step, so it must not come with each.
        Assert.InRange(driver.Scheduler.Counters.AdapterChanges, 3, driver.Scheduler.Counters.Steps / 4);
    }

    [Fact]
    public void Ever_new_sets_do_not_keep_an_old_one_waiting()
    {
        using SchedulerDriver driver = Start();
        Generation old = driver.Submit(Prompt(20, 40), 40);
        int steps = 0;
        for (int i = 0; driver.ResultOf(old) is null; i++, steps++)
        {
            driver.Submit(Prompt(20, 30, i), 30, r => r with { Adapters = Adapters($"adapter {i}") });
            driver.Step();
            Assert.True(steps < 3000, "the first request is never served");
        }
        driver.AssertReply(old);
    }

    [Fact]
    public void A_turn_of_long_steps_ends_earlier()
    {
        using SchedulerDriver driver = Start(speculation: false);
        driver.StepTime = TimeSpan.FromMilliseconds(60);
        AdapterSet[] sets = [AdapterSet.None, Adapters("first")];
        foreach (AdapterSet set in sets)
            driver.Submit(LongPrompt(20, 40, set), 40, r => r with { Adapters = set });
        AdapterSet? last = null;
        int row = 0;
        for (int step = 0; step < 40; step++)
        {
            StepPlan plan = driver.Step();
            row = plan.Adapters.Equals(last) ? row + 1 : 1;
            last = plan.Adapters;
            Assert.InRange(row, 1, 2);
        }
    }

    [Fact]
    public void Without_adapters_nothing_takes_turns()
    {
        using SchedulerDriver driver = Start();
        Generation[] all = [.. Enumerable.Range(0, 5).Select(i => driver.Submit(Prompt(20, 30, i), 30))];
        driver.RunToEnd();
        Assert.All(all, driver.AssertReply);
        Assert.Equal(0, driver.Scheduler.Counters.AdapterChanges);
    }

    [Fact]
    public void Where_a_step_computes_for_one_sequence_sets_take_turns_as_well()
    {
        using SchedulerDriver driver = new(limits: new(Cells: 8192, ContextLength: 4096, SequenceIds: 16, BatchSize: 128, MaxOutputs: 48, SharesCells: false, StateBytesPerToken: 16, ComputesAlone: true));
        Generation[] all = [.. Enumerable.Range(0, 6).Select(i => driver.Submit(Prompt(200, 30, i), 30, r => r with { Adapters = i % 2 == 0 ? AdapterSet.None : Adapters("first") }))];
        driver.RunToEnd();
        Assert.All(all, driver.AssertReply);
    }

    [Fact]
    public void A_pool_that_is_too_small_for_all_sets_is_passed_on()
    {
        using SchedulerDriver driver = new(limits: new(Cells: 150, ContextLength: 150, SequenceIds: 17, BatchSize: 128, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16));
        Generation[] all = [.. Enumerable.Range(0, 4).Select(i => driver.Submit(Prompt(70, 60, i), 60, r => r with { Adapters = Adapters($"adapter {i}") }))];
        driver.RunToEnd();
        Assert.All(all, driver.AssertReply);
        Assert.True(driver.Scheduler.Counters.Preemptions > 0, "nobody had to make room");
    }

    [Fact]
    public void Guesses_are_verified_with_their_requests_own_adapters()
    {
        using SchedulerDriver driver = Start();
        int[] prompt = Prompt(40, 40);
        AdapterSet[] sets = [AdapterSet.None, Adapters("first")];
        Generation[] all = [.. sets.Select(set => driver.Submit(prompt, 40, r => r with { Adapters = set, PredictedTokens = Reply(prompt, 40, adapters: set) }))];
        driver.RunToEnd();
        Assert.All(all, driver.AssertReply);
        Assert.True(driver.Scheduler.Counters.DraftsAccepted > 20, $"{driver.Scheduler.Counters.DraftsAccepted} guesses came true");
    }

    [Fact]
    public void What_is_cached_serves_the_same_file_and_scale_only()
    {
        using SchedulerDriver driver = Start();
        int[] prompt = Prompt(200);
        Assert.Equal(0, Cached(AdapterSet.None));
        Assert.Equal(0, Cached(Adapters("first")));
        Assert.Equal(0, Cached(Adapters("first", 0.5f)));
        Assert.Equal(0, Cached(AdapterSet.Of([(Adapter("first"), 1), (Adapter("second"), 1)])));
        Assert.Equal(199, Cached(AdapterSet.None));
        // The same files in another order and loaded again, as after a restart, with one that does not count.
        Assert.Equal(199, Cached(AdapterSet.Of([(Adapter("second"), 1), (Adapter("first"), 1), (Adapter("third"), 0)])));
        Assert.Equal(199, Cached(Adapters("first", 0.5f)));

        int Cached(AdapterSet set)
        {
            Generation generation = driver.Submit(prompt, 4, r => r with { Adapters = set });
            driver.RunToEnd();
            driver.AssertReply(generation);
            return driver.ResultOf(generation)!.CachedTokens;
        }
    }

    [Fact]
    public void A_prefix_that_another_set_computes_just_now_is_not_waited_for()
    {
        using SchedulerDriver driver = Start();
        int[] system = Prompt(400);
        AdapterSet[] sets = [AdapterSet.None, Adapters("first")];
        Generation[] all = [.. sets.Select((set, i) => driver.Submit(Prompt(440, stem: system, salt: i), 4, r => r with { Adapters = set }))];
        driver.RunToEnd();
        Assert.All(all, driver.AssertReply);
        Assert.Equal(880, driver.Scheduler.Counters.PromptComputed);
    }

    [Fact]
    public void A_salt_cannot_be_made_to_stand_for_an_adapter()
    {
        Assert.Equal(PrefixTree.NamespaceKey("salt"), PrefixTree.NamespaceKey("salt", AdapterSet.None.Key));
        string[] keys = [PrefixTree.NamespaceKey("salt"), PrefixTree.NamespaceKey("salt", "first*1"), PrefixTree.NamespaceKey("salt\0first*1"), PrefixTree.NamespaceKey("first*1\0salt"), PrefixTree.NamespaceKey(" of first*1\0salt")];
        Assert.Equal(keys.Length, keys.Distinct().Count());
        Assert.True(PrefixTree.AreOfOneNamespace(keys[0], keys[1]));
        Assert.All(keys[2..], key => Assert.False(PrefixTree.AreOfOneNamespace(keys[1], key)));
    }

    [Fact]
    public void Dropping_a_session_forgets_its_turns_with_every_set_and_nobody_elses()
    {
        EngineOptions options = new() { HostCacheBytes = 1 << 20, DiskCacheDirectory = _folder.FullName, DiskCacheBytes = 1 << 20 };
        using (SchedulerDriver driver = new(options))
        {
            foreach (string tenant in (string[])["mine", "yours"])
                foreach (AdapterSet set in (AdapterSet[])[AdapterSet.None, Adapters("first")])
                    driver.Submit(Prompt(100), 4, r => r with { Adapters = set, SessionId = "talk", CacheNamespace = tenant });
            driver.RunToEnd();
            Assert.Equal(2, driver.Scheduler.Cache.ListSessions("mine").Count);
            driver.Flush();
        }

        // After a restart, too.
        using SchedulerDriver next = new(options);
        next.RunDisk(1);
        while (next.Scheduler.Cache.SettleDiskTier())
        {
        }
        Assert.Equal(2, next.Scheduler.Cache.ListSessions("mine").Count);
        Assert.True(next.Scheduler.Cache.DropSession("mine", "talk"));
        Assert.Empty(next.Scheduler.Cache.ListSessions("mine"));
        Assert.Equal(2, next.Scheduler.Cache.ListSessions("yours").Count);
        Assert.Equal(0, next.Scheduler.Cache.Match(PrefixTree.NamespaceKey("mine", Adapters("first").Key), Prompt(100)).TotalTokens);
        Generation generation = next.Submit(Prompt(100), 4, r => r with { Adapters = Adapters("first"), CacheNamespace = "yours" });
        next.RunToEnd();
        next.AssertReply(generation);
        Assert.Equal(99, next.ResultOf(generation)!.CachedTokens);
    }

    /// <summary>One whose reply with these adapters is so long.</summary>
    private static int[] LongPrompt(int length, int replyTokens, AdapterSet adapters, int salt = 0)
    {
        int[] prompt;
        do
            prompt = ScriptedDecoder.Prompt(length, 1, salt += 100);
        while (Reply(prompt, replyTokens, adapters: adapters).Length < replyTokens);
        return prompt;
    }

    private static SchedulerDriver Start(bool computesAhead = false, bool speculation = true) => new(new EngineOptions { Speculation = speculation }, new DecoderLimits(
        Cells: 4096, ContextLength: 4096, SequenceIds: 65, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16,
        Profile: DeviceProfile.TwoCores with { ComputesAhead = computesAhead }));
}
