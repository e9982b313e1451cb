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

/// <param name="Streams">Requests at once.</param>
internal sealed record ClientWork(int Streams, int Input, int Output, int Seed)
{
    /// <summary>A prompt of so many tokens, for one token, that arrives later; 0 for none.</summary>
    public int LateTokens { get; init; }

    public double LateAfterSeconds { get; init; }
}

/// <param name="LargestGapSeconds">Between a stream's chunks while the late prompt was computed; else from the ninth on.</param>
internal sealed record ClientRun(double Seconds, double[] FirstTokenSeconds, double LargestGapSeconds, double LateSeconds);

/// <summary>The real server over a simulated device, in this process; its client is another.</summary>
internal sealed class SimulatedServer : IAsyncDisposable
{
    private const string ClientArgument = "--simulated-client";
    private const string ModelId = "simulated";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private readonly WebApplication _app;
    private readonly Process _client;

    private SimulatedServer(InferenceEngine engine, WebApplication app, Process client) => (Engine, _app, _client) = (engine, app, client);

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
                Engine = ServedEngine.For(engine, SimulatedDevice.ContextLength),
                Chat = ChatPromptRenderer.Create(null, setup.Model.ChatTemplate, setup.Model.Vocab, TimeProvider.System, []).Render,
                Constraints = new ServedConstraints(vocabulary),
            }]));
        await app.StartAsync();
        ProcessStartInfo how = new(Environment.ProcessPath!) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) is "dotnet")
            how.ArgumentList.Add(typeof(SimulatedServer).Assembly.Location);
        how.ArgumentList.Add(ClientArgument);
        how.ArgumentList.Add(app.Urls.First());
        how.ArgumentList.Add(setup.Model.Vocab.Count.ToString(CultureInfo.InvariantCulture));
        return new SimulatedServer(engine, app, Process.Start(how) ?? throw new InvalidOperationException("The client's process does not start."));
    }

    /// <summary>Lets the other process do this work.</summary>
    public async Task<ClientRun> ClientAsync(ClientWork work)
    {
        await _client.StandardInput.WriteLineAsync(JsonSerializer.Serialize(work));
        string line = await _client.StandardOutput.ReadLineAsync().WaitAsync(Limit) ?? throw new InvalidOperationException("The client has ended.");
        return JsonSerializer.Deserialize<ClientRun>(line)!;
    }

    /// <summary>The other process: a line of work in, a line of results out, until the input ends. Null where this program was not started as that.</summary>
    public static async Task<int?> AnswerAsync(string[] arguments)
    {
        if (arguments is not [ClientArgument, var address, var vocabulary])
            return null;
        Client client = new(new Uri(address), int.Parse(vocabulary, CultureInfo.InvariantCulture));
        while (await Console.In.ReadLineAsync() is { } line)
            Console.WriteLine(JsonSerializer.Serialize(await client.RunAsync(JsonSerializer.Deserialize<ClientWork>(line)!).WaitAsync(Limit)));
        return 0;
    }

    public async ValueTask DisposeAsync()
    {
        _client.StandardInput.Close();
        await _client.WaitForExitAsync();
        _client.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        await Engine.DisposeAsync();
    }

    private sealed class Client(Uri server, int vocabularySize)
    {
        private readonly Stack<LeanConnection> _idle = [];

        public async Task<ClientRun> RunAsync(ClientWork work)
        {
            string[] bodies = [.. Enumerable.Range(0, work.Streams).Select(i => Body(work.Input, work.Output, (work.Seed * 1009) + i))];
            string late = work.LateTokens > 0 ? Body(work.LateTokens, 1, work.Seed) : "";
            List<long>[] stamps = [.. bodies.Select(_ => new List<long>(work.Output + 2))];
            long start = Stopwatch.GetTimestamp(), lateStart = 0, lateEnd = long.MaxValue;
            Task[] streams = [.. bodies.Select((body, i) => PostAsync(body, stamps[i].Add))];
            if (work.LateTokens > 0)
            {
                await Task.Delay(TimeSpan.FromSeconds(work.LateAfterSeconds));
                lateStart = Stopwatch.GetTimestamp();
                await PostAsync(late, null);
                lateEnd = Stopwatch.GetTimestamp();
            }
            await Task.WhenAll(streams);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds, gap = 0;
            foreach (List<long> list in stamps)
                for (int i = 9; i < list.Count; i++)
                    if (list[i] >= lateStart && list[i - 1] <= lateEnd)
                        gap = Math.Max(gap, Stopwatch.GetElapsedTime(list[i - 1], list[i]).TotalSeconds);
            return new ClientRun(seconds, [.. stamps.Select(list => Stopwatch.GetElapsedTime(start, list[0]).TotalSeconds)], gap,
                lateStart == 0 ? 0 : Stopwatch.GetElapsedTime(lateStart, lateEnd).TotalSeconds);
        }

        private string Body(int input, int output, int seed)
        {
            Random random = new(seed);
            return Server.CompletionBody(ModelId, [.. Enumerable.Range(0, input).Select(_ => random.Next(1000, vocabularySize - 1000))], output, "\"temperature\":0", ignoreEos: true);
        }

        private async Task PostAsync(string body, Action<long>? onChunk)
        {
            LeanConnection? connection;
            lock (_idle)
                _idle.TryPop(out connection);
            connection ??= await LeanConnection.OpenAsync(server);
            await connection.PostAsync("/v1/completions", body, onChunk);
            lock (_idle)
                _idle.Push(connection);
        }
    }
}
