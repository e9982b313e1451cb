using InferenceServer.Engine;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Decoding;
using static InferenceServer.Tests.Engine.ScriptedDecoder;

namespace InferenceServer.Tests.Engine.Cache;

public sealed class ResidencyTests
{
    private static readonly DeviceProfile Card = DeviceProfile.TwoCores with { IdleCellSeconds = 0, ComputesAhead = true };

    private static DecoderLimits Limits(DeviceProfile device, int cells = 4096) =>
        new(cells, ContextLength: 4096, SequenceIds: 129, BatchSize: 512, MaxOutputs: 48, SharesCells: true, StateBytesPerToken: 16, Profile: device);

    [Fact]
    public void An_entry_that_costs_time_leaves_after_some_times_the_cost_of_moving_it()
    {
        PayingResidency policy = new(DeviceProfile.TwoCores);
        Assert.Equal(64, policy.RowsUntilLeaving(isSaved: true, canSave: true));
        Assert.Equal(96, policy.RowsUntilLeaving(isSaved: false, canSave: true));
        Assert.InRange(policy.RowsUntilLeaving(isSaved: false, canSave: false), 7000, 9000);
        PayingResidency slowCopies = new(DeviceProfile.TwoCores with { RestoreSecondsPerToken = 64e-6 });
        Assert.Equal(640, slowCopies.RowsUntilLeaving(isSaved: true, canSave: true));
    }

    [Fact]
    public void On_a_device_nothing_leaves_the_pool_while_cells_are_free()
    {
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, Limits(Card, cells: 16_384));
        for (int i = 0; i < 20; i++)
        {
            driver.Submit(Prompt(300, 60, i), 60);
            driver.RunToEnd();
        }
        Assert.Equal(0, driver.Scheduler.Cache.EvictedTokens);
        Assert.True(driver.Scheduler.Cache.Ledger.Cached > 6000);
    }

    [Fact]
    public void When_cells_are_needed_the_least_recently_used_goes_first_and_in_small_pieces()
    {
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, Limits(Card with { SaveSecondsPerToken = 10e-6, RestoreSecondsPerToken = 9e-6 }, cells: 2048));
        int[] old = Prompt(900, salt: 1), recent = Prompt(900, salt: 2);
        driver.Submit(old, 4);
        driver.RunToEnd();
        driver.Submit(recent, 4);
        driver.RunToEnd();
        driver.Submit(Prompt(300, salt: 3), 4);
        while (driver.Scheduler.HasWork)
            foreach (KvOp op in driver.Step().Ops)
                Assert.True(op.Kind is not KvOpKind.Save || op.End - op.Start <= 128, $"{op.End - op.Start} tokens are saved at once");
        Assert.InRange(driver.Scheduler.Cache.EvictedTokens, 1, 899);
        Generation again = driver.Submit(recent, 4);
        driver.RunToEnd();
        Assert.Equal(0, driver.ResultOf(again)!.Cache.HostTokens);
        Assert.Equal(899, driver.ResultOf(again)!.CachedTokens);
    }

    [Fact]
    public void What_is_computed_faster_than_it_is_moved_is_not_saved()
    {
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, Limits(Card with { RestoreSecondsPerToken = 0.01 }, cells: 1024));
        for (int i = 0; i < 4; i++)
        {
            driver.Submit(Prompt(700, salt: i), 4);
            driver.RunToEnd();
        }
        Assert.True(driver.Scheduler.Cache.EvictedTokens > 0);
        Assert.Equal(0, driver.Scheduler.Cache.Host.UsedBytes);
    }

    [Fact]
    public void A_long_restore_comes_in_parts_and_streams_go_on_beside_it()
    {
        DeviceProfile slowCopies = Card with { RestoreSecondsPerToken = 100e-6, SaveSecondsPerToken = 1e-6 };
        SchedulerDriver driver = new(new EngineOptions { HostCacheBytes = 1 << 20 }, Limits(slowCopies, cells: 3072));
        int[] prompt = Prompt(2000, salt: 1);
        driver.Submit(prompt, 4);
        driver.RunToEnd();
        driver.Submit(Prompt(2900, salt: 2), 4);
        driver.RunToEnd();
        Generation stream = driver.Submit(Prompt(20, 200, 3), 200);
        for (int i = 0; i < 10; i++)
            driver.Step();
        Generation restored = driver.Submit(prompt, 4);
        int parts = 0;
        while (driver.ResultOf(restored) is null)
        {
            int tokens = 0, before = driver.TokensOf(stream).Length;
            foreach (KvOp op in driver.Step().Ops)
                tokens += op.Kind is KvOpKind.Restore ? op.End - op.Start : 0;
            Assert.True(tokens <= 264, $"{tokens} tokens are restored in one step");
            Assert.True(driver.TokensOf(stream).Length > before, "the stream waits");
            parts += tokens > 0 ? 1 : 0;
        }
        Assert.True(parts >= 5, $"{parts} parts");
        Assert.True(driver.ResultOf(restored)!.Cache.HostTokens > 1000);
        Assert.Equal(1999, driver.ResultOf(restored)!.CachedTokens);
        driver.AssertReply(restored);
        driver.RunToEnd();
        driver.AssertReply(stream);
    }
}
