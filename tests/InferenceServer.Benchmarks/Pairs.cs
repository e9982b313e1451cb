namespace InferenceServer.Benchmarks;

/// <summary>Two runs of the same work in turn, pair by pair: what the machine does meanwhile meets both.</summary>
/// <param name="FirstSeconds">By pair.</param>
/// <param name="SecondSeconds">By pair.</param>
internal sealed record Pairs(IReadOnlyList<double> FirstSeconds, IReadOnlyList<double> SecondSeconds)
{
    /// <summary>Pairs that do not count: the just-in-time compiler, which goes by profiles, took 0.4 to 1 s of CPU in the first, 0.1 s in the third.</summary>
    public const int WarmUp = 3;

    /// <summary>How many times as fast the second run was, by pair.</summary>
    public IReadOnlyList<double> Ratios { get; } = [.. FirstSeconds.Zip(SecondSeconds, (first, second) => first / second)];

    public double Ratio => Report.Median(Ratios);

    public override string ToString() => string.Join(' ', Ratios.Select(ratio => ratio.ToString("F3")));

    /// <param name="pairs">How many count.</param>
    /// <param name="first">Gets the pair's number, below 0 for those that warm up; returns its seconds.</param>
    /// <param name="second">As the first.</param>
    public static async Task<Pairs> RunAsync(int pairs, Func<int, Task<double>> first, Func<int, Task<double>> second)
    {
        List<double> firstSeconds = [], secondSeconds = [];
        for (int pair = -WarmUp; pair < pairs; pair++)
        {
            (double before, double after) = (await first(pair), await second(pair));
            if (pair < 0)
                continue;
            firstSeconds.Add(before);
            secondSeconds.Add(after);
        }
        return new(firstSeconds, secondSeconds);
    }
}
