using System.Diagnostics;
using System.Globalization;
using InferenceServer.Engine;

namespace InferenceServer.Benchmarks;

/// <summary>The measured works. Each starts what it needs and returns its row; raw and served runs take turns, and ratios are taken pair by pair.</summary>
internal static class Works
{
    internal const int Cells = 16_384;
    internal const string TemperatureOne = "\"temperature\":1,\"top_p\":1,\"top_k\":0,\"seed\":1";

    public static readonly (string Name, Func<BenchmarkSetup, Task<BenchmarkRow[]>> Run)[] All =
    [
        ("one", setup => OneAsync(ThroughputAsync(setup, "1 stream, 64 in, 128 out, greedy", 1, 64, 128, "\"temperature\":0", 0.95))),
        ("sixteen", setup => OneAsync(ThroughputAsync(setup, $"{setup.Options.Streams} streams, 112 in, 64 out, greedy", setup.Options.Streams, 112, 64, "\"temperature\":0", 0.93))),
        ("sampled", setup => OneAsync(ThroughputAsync(setup, $"{setup.Options.Streams} streams, temperature 1, top_p 1, top_k 0, against raw greedy", setup.Options.Streams, 112, 64, TemperatureOne, 0.90))),
        ("draft", DraftWork.RunAsync),
        ("outside", setup => OneAsync(OutsideAsync(setup))),
        ("shared", setup => OneAsync(SharedPromptAsync(setup))),
        ("sessions", setup => OneAsync(SessionsAsync(setup))),
        ("steady", setup => OneAsync(SteadyStreamsAsync(setup))),
        ("clients", setup => OneAsync(ManyClientsAsync(setup))),
        ("memory", setup => OneAsync(MemoryAsync(setup))),
        ("start", setup => OneAsync(StartWork.RunAsync(setup))),
        ("simulated", SimulatedWork.RunAsync),
        ("constrained", setup => OneAsync(ConstraintWorks.AgainstFreeAsync(setup))),
        ("grammar", setup => OneAsync(ConstraintWorks.AgainstLlamaAsync(setup))),
        ("masks", setup => OneAsync(ConstraintWorks.MasksAsync(setup))),
    ];

    private static async Task<BenchmarkRow[]> OneAsync(Task<BenchmarkRow> row) => [await row];

    private static async Task<BenchmarkRow> ThroughputAsync(
        BenchmarkSetup setup, string work, int streams, int input, int output, string sampling, double bar)
    {
        await using Server server = await Server.StartAsync(setup, Cells, "--max-sequences", Math.Max(streams, 16).ToString(CultureInfo.InvariantCulture));
        using RawLoop raw = new(setup, streams, Cells);
        Pairs pairs = await Pairs.RunAsync(setup.Options.Pairs, pair => Task.FromResult(raw.Run(Prompts(setup, streams, input, pair), output)), async pair =>
        {
            double seconds = await server.RunAsync(Prompts(setup, streams, input, pair), output, sampling);
            await server.RestAsync();
            return seconds;
        });
        double rawSpeed = streams * output / Report.Median(pairs.FirstSeconds), served = streams * output / Report.Median(pairs.SecondSeconds);
        EngineSnapshot end = server.Engine.Snapshot;
        Console.Error.WriteLine($"  steps {end.Steps}, mean rows {(double)end.DecodeRows / end.DecodeSteps:F1}, drafts {end.DraftTokensAccepted}/{end.DraftTokens}, decode step {end.DecodeStepSeconds * 1000:F1} ms, prefill row {end.PrefillRowSeconds * 1e6:F0} us");
        return new BenchmarkRow(work, $">= {bar:F2} of raw",
            $"{pairs.Ratio:F3} ({served:F0} of {rawSpeed:F0} tok/s; pairs {pairs})", pairs.Ratio >= bar,
            new() { ["ratio"] = pairs.Ratio, ["served"] = served, ["raw"] = rawSpeed, ["meanRows"] = (double)end.DecodeRows / end.DecodeSteps });
    }

    /// <summary>As sixteen, but what the client costs, parsing and all, is another process's on the same cores.</summary>
    private static async Task<BenchmarkRow> OutsideAsync(BenchmarkSetup setup)
    {
        const int Input = 112, Output = 64;
        int streams = setup.Options.Streams;
        await using Server server = await Server.StartAsync(setup, Cells, "--max-sequences", Math.Max(streams, 16).ToString(CultureInfo.InvariantCulture));
        await using ClientProcess client = ClientProcess.Start(server.Address, server.ModelId, setup.Model.Vocab.Count);
        using RawLoop raw = new(setup, streams, Cells);
        Pairs pairs = await Pairs.RunAsync(setup.Options.Pairs, pair => Task.FromResult(raw.Run(Prompts(setup, streams, Input, 30_000 + pair), Output)), async pair =>
        {
            double seconds = (await client.RunAsync(new ClientWork(streams, Input, Output, 30_000 + pair))).Seconds;
            await server.RestAsync();
            return seconds;
        });
        double rawSpeed = streams * Output / Report.Median(pairs.FirstSeconds), served = streams * Output / Report.Median(pairs.SecondSeconds);
        return new BenchmarkRow($"{streams} streams, the client in another process on the same cores", ">= 0.85 of raw",
            $"{pairs.Ratio:F3} ({served:F0} of {rawSpeed:F0} tok/s; pairs {pairs})", pairs.Ratio >= 0.85,
            new() { ["ratio"] = pairs.Ratio, ["served"] = served, ["raw"] = rawSpeed });
    }

    private static async Task<BenchmarkRow> SharedPromptAsync(BenchmarkSetup setup)
    {
        const int Streams = 16, System = 900, Question = 20, Output = 32;
        using RawLoop raw = new(setup, Streams, Cells);
        await using Server server = await Server.StartAsync(setup, Cells);
        List<double> ratios = [], computed = [];
        for (int pair = -Pairs.WarmUp; pair < setup.Options.Pairs; pair++)
        {
            int[] system = setup.RandomTokens(System, 5000 + pair);
            int[][] prompts = [.. Prompts(setup, Streams, Question, 100 + pair).Select(question => (int[])[.. system, .. question])];
            double rawSeconds = raw.Run(prompts, Output, System);
            long before = server.Engine.Snapshot.PromptTokensComputed;
            double seconds = await server.RunAsync(prompts, Output);
            await server.RestAsync();
            if (pair < 0)
                continue;
            ratios.Add(seconds / rawSeconds);
            computed.Add(server.Engine.Snapshot.PromptTokensComputed - before);
        }
        double ratio = Report.Median(ratios), most = computed.Max();
        return new BenchmarkRow("16 at once, one 900-token system prompt + 20-token questions, 32 out, cold", "wall <= 1.25 x raw; computed <= 1860",
            $"{ratio:F2} x raw; {most:F0} prompt tokens computed", ratio <= 1.25 && most <= System + (Streams * 60),
            new() { ["ratio"] = ratio, ["promptTokensComputed"] = most });
    }

    private static async Task<BenchmarkRow> SessionsAsync(BenchmarkSetup setup)
    {
        const int Sessions = 64, Turns = 6, Turn = 40, Reply = 8;
        // The last turn's histories together, and a pool for a quarter of them.
        const int Pool = Sessions * Turns * (Turn + Reply) / 4;
        await using Server server = await Server.StartAsync(setup, Pool);
        List<int[]> histories = [.. Enumerable.Range(0, Sessions).Select(i => setup.RandomTokens(Turn, 9000 + i))];
        long older = 0;
        EngineSnapshot start = server.Engine.Snapshot;
        for (int turn = 0; turn < Turns; turn++)
        {
            await Task.WhenAll(histories.Select(history => server.StreamAsync(history, Reply)));
            for (int i = 0; i < Sessions; i++)
                histories[i] = [.. histories[i], .. setup.RandomTokens(Turn, 20_000 + (turn * Sessions) + i)];
            older += turn == 0 ? 0 : Sessions * (long)Turn * turn;
        }
        EngineSnapshot end = server.Engine.Snapshot;
        double share = (end.PromptTokensCached - start.PromptTokensCached) / (double)older;
        return new BenchmarkRow("64 sessions x 6 turns, history growing, pool holding a quarter of them", ">= 0.90 of older prompt tokens from a tier",
            $"{share:F3} ({end.HostHitTokens - start.HostHitTokens} of {end.PromptTokensCached - start.PromptTokensCached} cached tokens from host memory, {end.EvictedTokens} evicted)",
            share >= 0.9, new() { ["share"] = share });
    }

    private static async Task<BenchmarkRow> SteadyStreamsAsync(BenchmarkSetup setup)
    {
        const int Streams = 4, Input = 32, Output = 700;
        await using Server server = await Server.StartAsync(setup, Cells);
        using RawLoop raw = new(setup, Streams, Cells);
        for (int i = 0; i <= Pairs.WarmUp; i++)
            await server.RunAsync(Prompts(setup, Streams, 200, 77 + i), 64);
        List<double> gaps = [], rawRatios = [], medians = [], prompts = [], alone = [];
        for (int run = 0; run < setup.Options.Pairs; run++)
        {
            await server.RestAsync();
            List<double> rawGaps = [];
            raw.Run(Prompts(setup, Streams, Input, 200 + run), Output / 2, rawGaps);
            rawRatios.Add(rawGaps.Skip(8).Max() / Report.Median(rawGaps));
            long start = Stopwatch.GetTimestamp();
            await server.StreamAsync(setup.RandomTokens(3000, 799 + run), 1);
            alone.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            await server.RestAsync();

            List<long>[] stamps = [.. Enumerable.Range(0, Streams).Select(_ => new List<long>())];
            int[][] steadyPrompts = Prompts(setup, Streams, Input, 300 + run);
            Task[] steady = [.. stamps.Select((list, i) => server.StreamAsync(steadyPrompts[i], Output, onChunk: list.Add))];
            await Task.Delay(TimeSpan.FromSeconds(2.5));
            long arrival = Stopwatch.GetTimestamp();
            await server.StreamAsync(setup.RandomTokens(3000, 999 + run), 1);
            long answered = Stopwatch.GetTimestamp();
            await Task.WhenAll(steady);
            double before = Report.Median([.. stamps.SelectMany(list => Gaps(list.Where(t => t < arrival).Skip(8)))]);
            double worst = stamps.SelectMany(list => Gaps(list.Where(t => t >= arrival && t <= answered))).Max();
            gaps.Add(worst);
            medians.Add(before);
            prompts.Add(Stopwatch.GetElapsedTime(arrival, answered).TotalSeconds);
        }
        double gap = Report.Median(gaps), median = Report.Median(medians), noise = Report.Median(rawRatios), ratio = Report.Median(prompts) / Report.Median(alone);
        return new BenchmarkRow("4 steady streams while a 3,000-token prompt arrives", "largest gap <= 150 ms; the prompt <= 1.5 x its time alone",
            $"{gap * 1000:F0} ms (runs {string.Join(' ', gaps.Select(g => $"{g * 1000:F0}"))}), median before {median * 1000:F1} ms, where the bare loop's largest is {noise:F2} x its median; the prompt took {Report.Median(prompts):F1} s, {ratio:F2} x its time alone",
            gap <= 0.15 && ratio <= 1.5,
            new() { ["gapSeconds"] = gap, ["rawRatio"] = noise, ["medianSeconds"] = median, ["promptSeconds"] = Report.Median(prompts), ["promptRatio"] = ratio });
    }

    private static async Task<BenchmarkRow> ManyClientsAsync(BenchmarkSetup setup)
    {
        const int Clients = 256;
        await using Server server = await Server.StartAsync(setup, Cells);
        using RawLoop raw = new(setup, 16, Cells);
        int[][] prompts = Prompts(setup, Clients, 16, 3);
        await Task.WhenAll(prompts.Select(prompt => server.StreamAsync(prompt, 2)));
        await server.RestAsync();
        using Process process = Process.GetCurrentProcess();
        double CpuSeconds()
        {
            process.Refresh();
            return process.TotalProcessorTime.TotalSeconds;
        }
        prompts = Prompts(setup, Clients, 16, 4);
        double start = CpuSeconds();
        await Task.WhenAll(prompts.Select((prompt, i) => server.StreamAsync(prompt, 1 + (i % 8))));
        double served = CpuSeconds() - start;
        await server.RestAsync();
        (int[] Prompt, int Output)[] requests = [.. prompts.Select((prompt, i) => (prompt, 1 + (i % 8)))];
        double OverheadOver(IEnumerable<(int[] Prompt, int Output)> order)
        {
            double rawStart = CpuSeconds();
            foreach ((int[] Prompt, int Output)[] group in order.Chunk(16))
                raw.Run([.. group.Select(r => r.Prompt)], [.. group.Select(r => r.Output)]);
            return (served - (CpuSeconds() - rawStart)) / Clients * 1000;
        }
        // The same tokens, 16 sequences at a time: as they arrived, and sorted by the length of their replies, which no server can know.
        double overhead = OverheadOver(requests), overSorted = OverheadOver(requests.OrderBy(r => r.Output));
        return new BenchmarkRow("256 clients, 1-8 tokens out, client and server in one process", "all answered; <= 1.5 ms of CPU a request over raw",
            $"all answered; {overhead:F2} ms over raw in the order of arrival, {overSorted:F2} ms over raw sorted by the replies' lengths", overhead <= 1.5,
            new() { ["overheadMilliseconds"] = overhead, ["overSortedMilliseconds"] = overSorted });
    }

    private static async Task<BenchmarkRow> MemoryAsync(BenchmarkSetup setup)
    {
        // Without the host tier, whose saved states are memory that grows on purpose, up to --cache-ram.
        await using Server server = await Server.StartAsync(setup, 4096, "--cache-ram", "0");
        (double Heap, double Rss) Memory()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
            using Process process = Process.GetCurrentProcess();
            return (GC.GetTotalMemory(true), process.WorkingSet64);
        }
        int sent = 0;
        async Task SendAsync(int count)
        {
            int end = sent + count;
            await Task.WhenAll(Enumerable.Range(0, 16).Select(async _ =>
            {
                for (int i; (i = Interlocked.Increment(ref sent)) <= end;)
                    await server.StreamAsync(setup.RandomTokens(24, 50_000 + i), 4);
            }));
            sent = end;
        }
        await SendAsync(setup.Options.Requests / 5);
        (double heap, double rss) = Memory();
        EngineSnapshot before = server.Engine.Snapshot;
        await SendAsync(setup.Options.Requests);
        (double heapAfter, double rssAfter) = Memory();
        EngineSnapshot after = server.Engine.Snapshot;
        double perToken = (after.DecodeThreadAllocatedBytes - before.DecodeThreadAllocatedBytes) / (double)(after.CompletionTokens - before.CompletionTokens);

        EngineSnapshot streamStart = server.Engine.Snapshot;
        await server.StreamAsync(setup.RandomTokens(16, 1), 1000);
        EngineSnapshot streamEnd = server.Engine.Snapshot;
        double perStreamToken = (streamEnd.DecodeThreadAllocatedBytes - streamStart.DecodeThreadAllocatedBytes) / 1000.0;
        return new BenchmarkRow($"memory over {setup.Options.Requests} requests", "heap and RSS flat within 5%; < 64 bytes a token on the decode thread",
            $"heap {heapAfter / heap - 1:+0.0%;-0.0%}, RSS {rssAfter / rss - 1:+0.0%;-0.0%}; {perStreamToken:F0} bytes a token in a long stream ({perToken:F0} with 4-token requests and their own objects)",
            heapAfter <= heap * 1.05 && rssAfter <= rss * 1.05 && perStreamToken < 64,
            new() { ["heapGrowth"] = heapAfter / heap, ["rssGrowth"] = rssAfter / rss, ["bytesPerToken"] = perStreamToken });
    }

    internal static int[][] Prompts(BenchmarkSetup setup, int count, int length, int seed) =>
        [.. Enumerable.Range(0, count).Select(i => setup.RandomTokens(length, (seed * 100_003) + i))];

    private static IEnumerable<double> Gaps(IEnumerable<long> stamps)
    {
        long? last = null;
        foreach (long stamp in stamps)
        {
            if (last is { } previous)
                yield return Stopwatch.GetElapsedTime(previous, stamp).TotalSeconds;
            last = stamp;
        }
    }
}
