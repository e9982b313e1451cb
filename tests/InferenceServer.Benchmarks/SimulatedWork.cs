using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using InferenceServer.Chat;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Benchmarks;

/// <summary>The engine and the server over a simulated device, against the device's own pace: what host work costs a card. A row a bar.</summary>
internal static class SimulatedWork
{
    private const int Input = 112, Output = 256, Streams = 64, LongPrompt = 3000;

    public static async Task<BenchmarkRow[]> RunAsync(BenchmarkSetup setup)
    {
        List<BenchmarkRow> rows = [];
        foreach (int streams in (int[])[16, Streams])
            rows.Add(await ThroughEngineAsync(setup, streams, hostSampling: false, bar: 0.95));
        rows.Add(await ThroughEngineAsync(setup, Streams, hostSampling: true, bar: null));
        await using SimulatedServer server = await SimulatedServer.StartAsync(setup);
        foreach (int streams in (int[])[16, Streams])
            rows.Add(await ThroughHttpAsync(setup, server, streams));
        rows.Add(await AtOnceAsync(setup, server));
        rows.Add(await BesideLongPromptAsync(setup, server));
        EngineSnapshot end = server.Engine.Snapshot;
        rows.Add(new BenchmarkRow("simulated device: the pool after all this", "nothing evicted while cells are free",
            $"{end.EvictedTokens - end.EvictedForIdsTokens} tokens evicted for cells, {end.EvictedForIdsTokens} for want of one of 256 sequence ids; {end.CellsFree} of {end.CellsTotal} cells free",
            end.EvictedTokens == end.EvictedForIdsTokens, new() { ["evictedTokens"] = end.EvictedTokens, ["evictedForIdsTokens"] = end.EvictedForIdsTokens }));
        return [.. rows];
    }

    /// <summary>What the device alone takes: all prompts, then a step a token.</summary>
    private static double DeviceSeconds(int streams, int output) =>
        SimulatedDevice.PromptSeconds(streams * Input) + ((output - 1) * SimulatedDevice.DecodeSeconds(streams));

    private static async Task<BenchmarkRow> ThroughEngineAsync(BenchmarkSetup setup, int streams, bool hostSampling, double? bar)
    {
        await using InferenceEngine engine = SimulatedServer.StartEngine(setup, hostSampling);
        List<double> ratios = [];
        for (int run = -Pairs.WarmUp; run < setup.Options.Pairs; run++)
        {
            int[][] prompts = Works.Prompts(setup, streams, Input, 7000 + run);
            long start = Stopwatch.GetTimestamp();
            await Task.WhenAll(prompts.Select(prompt => ReadAsync(engine.Submit(new GenerationRequest { PromptTokens = prompt, MaxTokens = Output, IgnoreEndOfGeneration = true }))));
            if (run >= 0)
                ratios.Add(DeviceSeconds(streams, Output) / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        double ratio = Report.Median(ratios);
        return new BenchmarkRow($"simulated device: {streams} streams through the engine{(hostSampling ? ", sampled on the host" : "")}", bar is { } least ? $">= {least:F2} of the device" : "-",
            $"{ratio:F3} ({streams * Output * ratio / DeviceSeconds(streams, Output):F0} tok/s; {string.Join(' ', ratios.Select(r => r.ToString("F3")))})", bar is null || ratio >= bar,
            new() { ["ratio"] = ratio });
    }

    private static async Task ReadAsync(Generation generation)
    {
        await foreach (GenerationEvent e in generation.Events.ReadAllAsync())
            if (e.Result is { FinishReason: FinishReason.Failed, Error: { } error })
                throw new InvalidOperationException(error);
    }

    private static async Task<BenchmarkRow> ThroughHttpAsync(BenchmarkSetup setup, SimulatedServer server, int streams)
    {
        List<double> ratios = [];
        for (int run = -Pairs.WarmUp; run < setup.Options.Pairs; run++)
        {
            ClientRun client = await server.ClientAsync(new ClientWork(streams, Input, Output, 8000 + run));
            if (run >= 0)
                ratios.Add(DeviceSeconds(streams, Output) / client.Seconds);
        }
        double ratio = Report.Median(ratios);
        return new BenchmarkRow($"simulated device: {streams} streams over HTTP, the client in another process", ">= 0.85 of the device",
            $"{ratio:F3} ({streams * Output * ratio / DeviceSeconds(streams, Output):F0} tok/s; {string.Join(' ', ratios.Select(r => r.ToString("F3")))})", ratio >= 0.85, new() { ["ratio"] = ratio });
    }

    private static async Task<BenchmarkRow> AtOnceAsync(BenchmarkSetup setup, SimulatedServer server)
    {
        List<double> times = [];
        for (int run = 0; run < setup.Options.Pairs; run++)
            times.Add((await server.ClientAsync(new ClientWork(Streams, Input, 16, 9000 + run))).FirstTokenSeconds.Order().ElementAt((int)(Streams * 0.95)));
        double seconds = Report.Median(times), alone = SimulatedDevice.PromptSeconds(Streams * Input);
        return new BenchmarkRow($"simulated device: {Streams} arrive at once over HTTP, time to first token", "95th percentile <= 3 x what their prompts take alone",
            $"{seconds * 1000:F0} ms, {seconds / alone:F2} x", seconds <= 3 * alone, new() { ["seconds"] = seconds, ["ratio"] = seconds / alone });
    }

    private static async Task<BenchmarkRow> BesideLongPromptAsync(BenchmarkSetup setup, SimulatedServer server)
    {
        List<double> gaps = [], ratios = [];
        for (int run = 0; run < setup.Options.Pairs; run++)
        {
            double alone = (await server.ClientAsync(new ClientWork(1, LongPrompt, 1, 10_000 + run))).Seconds;
            ClientRun beside = await server.ClientAsync(new ClientWork(4, 32, 600, 11_000 + run) { LateTokens = LongPrompt, LateAfterSeconds = 0.4 });
            gaps.Add(beside.LargestGapSeconds);
            ratios.Add(beside.LateSeconds / alone);
        }
        double gap = Report.Median(gaps), ratio = Report.Median(ratios);
        return new BenchmarkRow("simulated device: 4 steady streams while a 3,000-token prompt arrives, over HTTP", "largest gap <= 60 ms; the prompt <= 1.5 x its time alone",
            $"{gap * 1000:F0} ms; {ratio:F2} x", gap <= 0.06 && ratio <= 1.5, new() { ["gapSeconds"] = gap, ["ratio"] = ratio });
    }
}

/// <summary>The real server over a simulated device, in this process; its client is another.</summary>
internal sealed class SimulatedServer : IAsyncDisposable
{
    private const string ModelId = "simulated";

    private readonly WebApplication _app;
    private readonly ClientProcess _client;

    private SimulatedServer(InferenceEngine engine, WebApplication app, ClientProcess client) => (Engine, _app, _client) = (engine, app, client);

    public InferenceEngine Engine { get; }

    public static InferenceEngine StartEngine(BenchmarkSetup setup, bool hostSampling)
    {
        const int MaxSequences = 64;
        EngineOptions options = new() { MaxSequences = MaxSequences, HostCacheBytes = 1L << 30, Speculation = false };
        EngineVocabulary vocabulary = new(setup.Model.Vocab.Count, setup.Model.Vocab.TokenBytes, setup.Model.Vocab.IsEndOfGeneration);
        return new InferenceEngine(options, new SimulatedDevice(vocabulary.Count, MaxSequences, hostSampling), disk: null, vocabulary, TimeProvider.System, NullLogger.Instance);
    }

    public static async Task<SimulatedServer> StartAsync(BenchmarkSetup setup)
    {
        InferenceEngine engine = StartEngine(setup, hostSampling: false);
        ServedVocabulary vocabulary = ServedVocabulary.Of(setup.Model.Vocab);
        WebApplication app = ServerHost.Build(
            new WebHostOptions { Host = "127.0.0.1", Port = 0, Identity = new ServerIdentity("benchmark"), LogLevel = LogLevel.Warning },
            new ModelCatalogue([new ServedModel
            {
                Id = ModelId,
                Created = DateTimeOffset.UnixEpoch,
                Fingerprint = "simulated",
                Vocabulary = vocabulary,
                Engine = engine,
                ContextLength = SimulatedDevice.ContextLength,
                Chat = ChatPromptRenderer.Create(null, setup.Model.ChatTemplate, null, setup.Model.Vocab, TimeProvider.System, []).Render,
                Constraints = new ServedConstraints(vocabulary),
            }]));
        await app.StartAsync();
        return new SimulatedServer(engine, app, ClientProcess.Start(new Uri(app.Urls.First()), ModelId, setup.Model.Vocab.Count));
    }

    /// <summary>Lets the other process do this work.</summary>
    public Task<ClientRun> ClientAsync(ClientWork work) => _client.RunAsync(work);

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await _app.StopAsync();
        await _app.DisposeAsync();
        await Engine.DisposeAsync();
    }
}
