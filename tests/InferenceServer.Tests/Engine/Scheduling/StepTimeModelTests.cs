using InferenceServer.Engine;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Tests.Engine.Scheduling;

public sealed class StepTimeModelTests
{
    [Fact]
    public void The_prefill_budget_keeps_a_step_within_the_target()
    {
        StepTimeModel Learn(double? target)
        {
            StepTimeModel model = new(target, DeviceProfile.TwoCores);
            for (int i = 0; i < 50; i++)
            {
                model.Observe(4, 0, 0.014);
                model.Observe(4, 20, 0.014 + (20 * 0.001));
            }
            return model;
        }
        Assert.InRange(Learn(null).PrefillRowsWithin(4), 26, 28); // 50 ms less a sixth, less the step's own 14.
        Assert.InRange(Learn(0.028).PrefillRowsWithin(4), 8, 10);
        Assert.InRange(Learn(0.028).PrefillRowsWithin(0), 70, 90);
        Assert.Equal(int.MaxValue, Learn(0).PrefillRowsWithin(4));
    }

    [Fact]
    public void Twice_a_slow_step_is_the_target_where_that_is_more_than_50_ms()
    {
        StepTimeModel model = new(null, DeviceProfile.TwoCores);
        for (int i = 0; i < 20; i++)
            model.Observe(4, 0, 0.2);
        Assert.Equal(0.4, model.TargetSeconds(4), 3);
    }

    [Fact]
    public void What_many_decode_rows_take_is_not_blamed_on_the_prompt_beside_them()
    {
        StepTimeModel model = new(0.06, DeviceProfile.TwoCores);
        for (int i = 0; i < 20; i++)
            model.Observe(16, 0, 0.030);
        for (int i = 0; i < 20; i++)
            model.Observe(2, 0, 0.008); // A batch that ends with few streams,
        model.Observe(16, 30, 0.030 + (30 * 0.0005)); // and a full one with a prompt beside it.
        Assert.InRange(model.PrefillSecondsPerRow, 0.0004, 0.0006);
        Assert.InRange(model.PrefillRowsWithin(16), 35, 45);
    }

    [Fact]
    public void The_fixed_cost_of_a_step_is_not_taken_for_the_rows()
    {
        DeviceProfile fast = new([(1, 0.0014), (512, 0.0055)], 0, 1e-6, 1e-6, ComputesAhead: true);
        StepTimeModel model = new(null, fast);
        for (int i = 0; i < 10; i++)
            model.Observe(0, 10, 0.0014 + (10 * 8e-6));
        Assert.InRange(model.PrefillSecondsPerRow, 7e-6, 80e-6); // 148 us with it.
        Assert.True(new StepTimeModel(null, fast).PrefillRowsWithin(16) > 4000, "before anything was learnt the profile holds");
    }

    [Fact]
    public void A_whole_tile_may_overrun_the_default_target_but_not_one_that_was_set()
    {
        StepTimeModel Learn(double? target, double rowSeconds)
        {
            StepTimeModel model = new(target, DeviceProfile.TwoCores, tileRows: 64);
            for (int i = 0; i < 20; i++)
            {
                model.Observe(4, 0, 0.014);
                model.Observe(4, 6, 0.014 + (6 * 0.0037)); // A row below a tile takes six times as long.
                model.Observe(0, 64, 0.0053 + (64 * rowSeconds));
            }
            return model;
        }
        Assert.Equal(64, Learn(null, 0.0008).PrefillRowsWithin(4));
        Assert.InRange(Learn(0.05, 0.0008).PrefillRowsWithin(4), 6, 8);
        Assert.InRange(Learn(null, 0.0025).PrefillRowsWithin(4), 6, 8); // 160 ms more are too long a gap.
    }
}
