using InferenceServer.Engine;

namespace InferenceServer.Tests.Engine;

public sealed class DeviceProfileTests
{
    /// <summary>An H200 with a model of 0.6B parameters.</summary>
    private static readonly DeviceProfile Card = new([(1, 0.0014), (8, 0.0024), (64, 0.0058), (512, 0.0055)], 25e-12, 5e-6, 5e-6, ComputesAhead: true);

    [Fact]
    public void Idle_cells_cost_two_cores_time_and_a_card_next_to_none()
    {
        Assert.True(DeviceProfile.TwoCores.WalksIdleCells);
        Assert.False(Card.WalksIdleCells);
    }

    [Fact]
    public void Moving_state_pays_where_computing_it_again_takes_longer()
    {
        Assert.True(DeviceProfile.TwoCores.RestoresFasterThanComputing);
        Assert.False(Card.RestoresFasterThanComputing);
        Assert.True((Card with { Steps = [(1, 0.008), (512, 0.06)] }).RestoresFasterThanComputing); // An 8B model: 100 us a row.
    }

    [Theory]
    [InlineData(1, 1.4)]
    [InlineData(8, 2.4)]
    [InlineData(36, 4.1)]
    [InlineData(64, 5.8)]
    public void A_step_between_two_measured_ones_lies_on_the_line(int rows, double milliseconds) => Assert.Equal(milliseconds, Card.SecondsOf(rows) * 1000, 2);

    [Fact]
    public void One_measured_step_is_enough_to_go_on()
    {
        DeviceProfile slow = new([(1, 0.25)], 1e-6, 1e-6, 1e-6, ComputesAhead: false);
        Assert.Equal(2, slow.SecondsOf(8), 3);
        Assert.Equal(0.25, slow.PrefillRowSeconds, 3);
    }
}
