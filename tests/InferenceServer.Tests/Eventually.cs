using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Tests;

/// <summary>Waits for what another thread or process brings about.</summary>
internal static class Eventually
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(5);

    /// <exception cref="TimeoutException">It does not come true, however slow the machine may be.</exception>
    public static Task HoldsAsync(Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "") => HoldsAsync(() => Task.FromResult(condition()), what);

    /// <summary>Lets a clock's time pass, a second at a look.</summary>
    /// <exception cref="TimeoutException">It does not come true, however slow the machine may be.</exception>
    public static Task PassesUntilAsync(FakeTimeProvider clock, Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "") => HoldsAsync(() =>
    {
        if (condition())
            return true;
        clock.Advance(TimeSpan.FromSeconds(1));
        return false;
    }, what);

    /// <exception cref="TimeoutException">It does not come true, however slow the machine may be.</exception>
    public static async Task HoldsAsync(Func<Task<bool>> condition, [CallerArgumentExpression(nameof(condition))] string what = "")
    {
        long start = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(start) > Limit)
                throw new TimeoutException($"{what} did not come true within {Limit.TotalSeconds:F0} s");
            await Task.Delay(Interval);
        }
    }
}
