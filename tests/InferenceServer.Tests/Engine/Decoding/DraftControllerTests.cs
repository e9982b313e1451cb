using InferenceServer.Engine.Decoding;

namespace InferenceServer.Tests.Engine.Decoding;

public sealed class DraftControllerTests
{
    [Fact]
    public void Nearly_free_rows_and_true_drafts_give_the_longest_draft()
    {
        DraftController controller = new(8);
        StepTimes times = Linear(baseSeconds: 0.010, perRow: 0.0001);
        for (int i = 0; i < 10; i++)
            controller.Report(8, 8);
        Assert.Equal(8, controller.NextLength(1, times));
    }

    [Fact]
    public void Rows_that_cost_as_much_as_a_step_turn_even_good_drafts_off()
    {
        DraftController controller = new(8);
        StepTimes times = Linear(baseSeconds: 0.0001, perRow: 0.010);
        for (int i = 0; i < 10; i++)
            controller.Report(8, 7);
        Assert.Equal(0, controller.NextLength(4, times));
    }

    [Fact]
    public void False_drafts_turn_it_off_and_trials_grow_rare()
    {
        DraftController controller = new(8);
        StepTimes times = Linear(0.004, 0.001);
        int[] drafts = new int[1000];
        for (int i = 0; i < drafts.Length; i++)
        {
            drafts[i] = controller.NextLength(1, times);
            controller.Report(drafts[i], 0);
        }
        Assert.InRange(drafts.Skip(100).Count(length => length > 0), 1, 15);
        Assert.True(drafts.Skip(20).All(length => length <= 2), "a trial is short");
    }

    [Fact]
    public void Text_that_becomes_predictable_turns_it_on_again()
    {
        DraftController controller = new(8);
        StepTimes times = Linear(0.010, 0.001);
        for (int i = 0; i < 300; i++)
            controller.Report(controller.NextLength(1, times), 0);
        int longest = 0;
        for (int i = 0; i < 300; i++)
        {
            int length = controller.NextLength(1, times);
            longest = Math.Max(longest, length);
            controller.Report(length, length);
        }
        Assert.Equal(8, longest);
    }

    [Fact]
    public void The_length_stops_before_the_row_at_which_the_backend_turns_slow()
    {
        DraftController controller = new(16);
        StepTimes times = new();
        for (int rows = 1; rows <= 32; rows++)
            times.Observe(rows, rows <= 8 ? 0.010 : 0.100);
        for (int i = 0; i < 20; i++)
            controller.Report(16, 16);
        Assert.Equal(7, controller.NextLength(1, times));
        Assert.Equal(3, controller.NextLength(5, times));
    }

    [Fact]
    public void A_steadily_drafting_sequence_still_takes_plain_steps_to_compare_with()
    {
        DraftController controller = new(4);
        StepTimes times = Linear(0.010, 0.0001);
        int plain = 0;
        for (int i = 0; i < 640; i++)
        {
            int length = controller.NextLength(1, times);
            plain += length == 0 ? 1 : 0;
            controller.Report(length, length);
        }
        Assert.Equal(10, plain);
    }

    [Fact]
    public void Limits_are_kept()
    {
        StepTimes times = Linear(0.010, 0.0001);
        Assert.Equal(0, new DraftController(0).NextLength(1, times));
        Assert.Equal(0, new DraftController(8).NextLength(times.MostRows, times));
        Assert.InRange(new DraftController(8).NextLength(times.MostRows - 1, times), 0, 1);
        Assert.InRange(new DraftController(8).NextLength(1, new StepTimes()), 1, 2);
        Assert.Throws<ArgumentOutOfRangeException>(() => new DraftController(8).Report(2, 3));
        DraftController untouched = new(8);
        untouched.Report(0, 0);
        Assert.Equal(0.5, untouched.FirstRate);
    }

    /// <summary>A whole reply in simulated time, against the best fixed length known in hindsight.</summary>
    [Theory]
    [InlineData(0.9, 0.0003)]
    [InlineData(0.9, 0.0013)]
    [InlineData(0.6, 0.0003)]
    [InlineData(0.6, 0.0013)]
    [InlineData(0.3, 0.0013)]
    [InlineData(0.1, 0.0003)]
    [InlineData(0.0, 0.0013)]
    public void It_comes_near_the_best_fixed_length_without_knowing_the_odds(double chance, double perRow)
    {
        double best = double.MaxValue;
        for (int length = 0; length <= 8; length++)
        {
            int fixedLength = length;
            best = Math.Min(best, Simulate(_ => fixedLength, (_, _) => { }, _ => { }));
        }
        DraftController controller = new(8);
        StepTimes times = new();
        double adaptive = Simulate(
            rows => controller.NextLength(rows, times),
            controller.Report,
            step => times.Observe(step.Rows, step.Seconds));
        Assert.True(adaptive <= best * 1.08, $"{adaptive:F3} s against {best:F3} s with the best fixed length");

        double Simulate(Func<int, int> nextLength, Action<int, int> report, Action<(int Rows, double Seconds)> observe)
        {
            Random random = new(5);
            double seconds = 0;
            for (int tokens = 0; tokens < 2000;)
            {
                int drafted = nextLength(1), accepted = 0;
                while (accepted < drafted && random.NextDouble() < chance)
                    accepted++;
                double step = 0.0032 + perRow * (1 + drafted);
                seconds += step;
                observe((1 + drafted, step));
                report(drafted, accepted);
                tokens += accepted + 1;
            }
            return seconds;
        }
    }

    [Fact]
    public void Step_times_are_interpolated_and_shrug_off_one_slow_step()
    {
        StepTimes times = new(64);
        Assert.Null(times.Seconds(1));
        times.Observe(1, 0.010);
        Assert.Null(times.Seconds(2));
        times.Observe(11, 0.020);
        Assert.Equal(0.015, times.Seconds(6)!.Value, 9);
        Assert.Equal(0.030, times.Seconds(21)!.Value, 9);
        times.Observe(1, 5);
        Assert.InRange(times.Seconds(1)!.Value, 0.010, 0.012);
        times.Observe(65, 1);
        Assert.Null(times.Seconds(65));
        Assert.Throws<ArgumentOutOfRangeException>(() => times.Observe(1, double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => times.Observe(0, 1));
    }

    private static StepTimes Linear(double baseSeconds, double perRow)
    {
        StepTimes times = new();
        for (int rows = 1; rows <= 32; rows++)
            times.Observe(rows, baseSeconds + perRow * rows);
        return times;
    }
}
