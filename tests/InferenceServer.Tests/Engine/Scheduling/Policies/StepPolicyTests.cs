using InferenceServer.Engine;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Scheduling.Policies;

namespace InferenceServer.Tests.Engine.Scheduling.Policies;

public sealed class StepPolicyTests
{
    private static readonly DeviceProfile Card = new([(1, 0.0014), (64, 0.0058), (512, 0.0055)], 0, 5e-6, 5e-6, ComputesAhead: true);

    private static TiledSteps Tiled() => new(new StepTimeModel(null, DeviceProfile.TwoCores, tileRows: 64), tileRows: 64, batchSize: 2048);

    private static MixedSteps Mixed(double? target = null) => new(new StepTimeModel(target, Card), batchSize: 2048);

    [Theory]
    [InlineData(4, true, 3000, true)] // A long prompt beside replies.
    [InlineData(4, true, 100, false)] // It is done beside them in two steps.
    [InlineData(0, false, 3000, false)] // Nobody to take turns with.
    [InlineData(16, false, 1800, true)] // Replies that have just begun wait for the prompts that came with them.
    public void In_tiles_prompts_and_replies_take_turns_where_mixing_costs_more(int decoding, bool steady, int prefill, bool turns) =>
        Assert.Equal(turns, Tiled().TakesTurns(new StepLoad(decoding, steady, prefill, PrefillCells: prefill * (prefill / 2L))));

    [Fact]
    public void Few_rows_that_read_many_cells_take_turns_too() =>
        Assert.True(Tiled().TakesTurns(new StepLoad(4, true, PrefillRows: 100, PrefillCells: 100 * 3000)));

    [Fact]
    public void Beside_replies_a_step_stays_below_a_tile_and_in_its_turn_a_prompt_fills_one()
    {
        StepLoad load = new(4, true, 3000, 3000 * 1500);
        Assert.InRange(Tiled().PrefillBudget(load, rowsBeside: 4), 1, 59);
        Assert.True(Tiled().PrefillBudget(load, rowsBeside: 0) >= 64);
    }

    [Fact]
    public void In_tiles_a_reply_is_steady_from_some_tokens_on_or_when_it_has_waited_long_enough()
    {
        Assert.False(Tiled().IsSteady(3, 0.2));
        Assert.True(Tiled().IsSteady(16, 0));
        Assert.True(Tiled().IsSteady(3, 1));
    }

    [Fact]
    public void On_a_device_rows_mix_and_a_long_prompt_takes_a_few_large_steps()
    {
        StepLoad load = new(64, true, 3000, 3000 * 1500);
        Assert.False(Mixed().TakesTurns(load));
        Assert.InRange(Mixed().PrefillBudget(load, rowsBeside: 64), 1500, 2048 - 64);
    }

    [Fact]
    public void A_target_of_none_means_throughput() =>
        Assert.Equal(2048 - 16, Mixed(target: 0).PrefillBudget(new StepLoad(16, true, 100_000, 1), rowsBeside: 16));
}
