using System.Diagnostics;
using System.Globalization;

using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.Placement;

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Tests.Llama;

/// <summary>
/// The test assembly's own entry point. A process holds one backend of llama.cpp, so a test of another one runs this assembly again:
/// <c>greedy BACKEND MODEL COUNT [SOURCE]</c> prints what decoding gives, <c>engine BACKEND MODEL</c> what an engine replies with a step in flight,
/// <c>drawn BACKEND MODEL [SOURCE]</c> compares tokens drawn by the device with those drawn from its logits, <c>load MODEL...</c> loads models and prints their
/// descriptions and every warning, <c>placed BACKEND MODEL COUNT [cpu-moe] MEMORY...</c> decodes as a plan within each part of the memory places the model, <c>abort WORDS</c> has ggml give up with these, <c>pull FOLDER HUB MODEL</c> fetches a model in small ranges, <c>mcp FILE</c> serves MCP on its standard
/// streams and writes its process id into the file, <c>mcp-client FILE</c> starts the same as its client and stays. It answers a
/// <see cref="BackendTrial"/> as well.
/// </summary>
internal static class ChildProcess
{
    public sealed record Result(int ExitCode, string Output, string Error);

    private const string Prompt = "<|im_start|>user\nWhat is the sea?<|im_end|>\n<|im_start|>assistant\n";

    /// <summary>How this assembly is started, for what starts it again itself.</summary>
    public static string[] Program => ["dotnet", typeof(ChildProcess).Assembly.Location];

    /// <param name="folder">The working folder; null for this process's.</param>
    public static Result Run(IReadOnlyDictionary<string, string?> environment, string? folder, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder ?? "" };
        start.ArgumentList.Add(typeof(ChildProcess).Assembly.Location);
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        foreach ((string name, string? value) in environment)
            start.Environment[name] = value;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(5)))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"the child process did not end: {string.Join(' ', arguments)}");
        }

        return new Result(process.ExitCode, output.Result, error.Result);
    }

    /// <summary>A process that the caller ends, or waits for.</summary>
    public static Process Start(params string[] arguments) => Start(new Dictionary<string, string?>(), arguments);

    /// <summary>As the other, with more in its environment.</summary>
    public static Process Start(IReadOnlyDictionary<string, string?> environment, params string[] arguments)
    {
        ProcessStartInfo start = new("dotnet", [typeof(ChildProcess).Assembly.Location, .. arguments]);
        foreach ((string name, string? value) in environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    /// <summary>The lines that <c>greedy</c> prints: tokens, the prompt's last logits, layers on the GPU, the library's own words, then one line a device.</summary>
    public static IEnumerable<string> Greedy(LlamaLibrary library, string path, int count)
    {
        using LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions(), null, CancellationToken.None);
        long freeBefore = library.Devices[0].FreeBytes;
        using var context = new LlamaContext(model, LlamaFixture.Options(), NullLogger.Instance);
        int[] prompt = model.Vocab.Tokenize(Prompt, addSpecial: false, parseSpecial: true);
        float[] logits = context.Feed(0, prompt, 0);
        context.CopySequence(0, 1, 0, prompt.Length);
        yield return "tokens " + string.Join(' ', context.Greedy(0, logits, prompt.Length, count));
        yield return "shared " + string.Join(' ', context.Greedy(1, logits, prompt.Length, count));
        yield return "logits " + string.Join(' ', logits.Select(logit => logit.ToString("R", CultureInfo.InvariantCulture)));
        yield return $"gpu-layers {model.GpuLayers} of {model.LayerCount}";
        yield return $"library {library.Backend}: {library.Description}; {library.Reason}; {library.Version}";
        foreach (LlamaDevice device in library.Devices)
            yield return string.Create(CultureInfo.InvariantCulture, $"device {device.Type} {device.TotalBytes} {device.FreeBytes} {freeBefore} {device.Name} {device.Description}");
    }

    /// <summary>
    /// The lines that <c>engine</c> prints: the replies to requests that run together, again from the cache, and once more after others took the pool, then what the
    /// engine counted. Five tokens each, since a near tie may flip later.
    /// </summary>
    public static async Task<List<string>> EngineAsync(LlamaLibrary library, string path, DeviceProfile device)
    {
        using LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions(), null, CancellationToken.None);
        EngineOptions options = new()
        {
            MaxSequences = 4,
            HostCacheBytes = 16 << 20,
            CheckInvariants = true,
            Device = device,
        };
        LlamaContextOptions context = new() { CellCount = 768, BatchSize = 256, MicroBatchSize = 128, Threads = 1, BatchThreads = 1 };
        await using InferenceEngine engine = InferenceEngine.Start(options, model, context, TimeProvider.System, NullLogger.Instance);
        int[] Tokens(int salt) => model.Vocab.Tokenize($"{Prompt}{string.Concat(Enumerable.Range(0, 30).Select(i => $"w{i + (salt * 31)} "))}", addSpecial: false, parseSpecial: true);
        async Task<string> ReplyAsync(int salt)
        {
            Generation generation = engine.Submit(new GenerationRequest { PromptTokens = Tokens(salt), MaxTokens = 5, Sampling = SamplingOptions.Greedy, IgnoreEndOfGeneration = true });
            List<int> tokens = [];
            await foreach (GenerationEvent e in generation.Events.ReadAllAsync())
                if (e.Kind is GenerationEventKind.Token)
                    tokens.Add(e.Token);
            return $"reply {salt}: {string.Join(' ', tokens)}";
        }
        List<string> lines = [];
        foreach (int[] salts in (int[][])[[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8], [1, 2]])
            lines.AddRange(await Task.WhenAll(salts.Select(ReplyAsync)));
        EngineSnapshot end = engine.Snapshot;
        lines.Add($"failed {end.FailedRequests + end.FailedSteps} cached {end.PromptTokensCached > 0} evicted {end.EvictedTokens > 0} drawn {end.DeviceDraws > 0}");
        return lines;
    }

    /// <summary>The lines that <c>placed</c> prints: for each part of the memory that the model would take on the GPUs, what the plan is, what llama.cpp took beside it, and the tokens.</summary>
    public static IEnumerable<string> Placed(LlamaLibrary library, string path, int count, LlamaModelOptions options, IEnumerable<double> memory)
    {
        ModelFacts facts = ModelFacts.Read(path, library.Devices);
        var request = new PlanRequest { Model = options, Context = LlamaFixture.Options(), Cells = LlamaFixture.Options().CellCount };
        facts = MemoryProbe.Ask(library, facts, MemoryPlanner.Plan(facts, library.Devices, request));
        MemoryPlan whole = MemoryPlanner.Plan(facts, library.Devices, request);
        foreach (double part in memory)
        {
            MemoryPlan plan = MemoryPlanner.Plan(facts, [.. library.Devices.Select(device => whole.Gpus.FirstOrDefault(gpu => gpu.Name == device.Name) is { } gpu ? device with { FreeBytes = MemoryPlanner.FreeFor((long)(gpu.UsedBytes * part) + 1) } : device)], request);
            LlamaModel? model = null;
            LlamaContext? context = null;
            MemoryProbe.Answer took = MemoryProbe.Read(NativeLog.LinesOf(() =>
            {
                model = LlamaModel.Load(library, facts, plan.Model, null, CancellationToken.None);
                context = new LlamaContext(model, plan.Context, NullLogger.Instance);
            }));
            using (model)
            using (context)
            {
                int[] prompt = model!.Vocab.Tokenize(Prompt, addSpecial: false, parseSpecial: true);
                float[] logits = [];
                // In steps so small that a device does not take over what lies on the CPU (ggml's op_offload begins at 32 rows).
                for (int start = 0; start < prompt.Length; start += 16)
                    logits = context!.Feed(0, prompt.AsSpan(start, Math.Min(16, prompt.Length - start)), start);
                int[] tokens = context!.Greedy(0, logits, prompt.Length, count);
                yield return string.Create(CultureInfo.InvariantCulture,
                    $"layers {plan.GpuLayers} experts {plan.Model.CpuExpertLayers} cards {string.Join('+', plan.Gpus.Select(gpu => gpu.Layers))} planned {plan.Gpus.Select(gpu => gpu.ComputeBytes).DefaultIfEmpty().Max()} took {took.Device} tokens {string.Join(' ', tokens)}");
            }
        }
    }

    private static void LoadAll(string[] paths)
    {
        var log = new RecordingLogger();
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, log);
        foreach (string path in paths)
        {
            using LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions(), null, CancellationToken.None);
            using var context = new LlamaContext(model, LlamaFixture.Options(), log);
            Console.WriteLine(model.Description);
        }

        foreach (string line in log.Lines(LogLevel.Warning))
            Console.WriteLine($"warning: {line}");
        Console.WriteLine($"{log.Lines(LogLevel.Debug).Length} lines logged");
    }

    private static int Main(string[] arguments)
    {
        try
        {
            if (BackendTrial.Answer(arguments) is { } tried)
                return tried;
            switch (arguments)
            {
                case ["abort", string words]:
                    NativeAbort.Raise(LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance), words);
                    return 0;
                case ["greedy", string backend, string path, string count, .. string[] source]:
                    var options = new LlamaLibraryOptions { Backend = Enum.Parse<LlamaBackend>(backend), Source = source is [string name] ? Enum.Parse<NativeSource>(name) : null, Trial = new BackendTrial(Program, Path.Combine(Path.GetDirectoryName(path)!, "trials.json")) };
                    LlamaLibrary library = LlamaLibrary.Load(options, NullLogger.Instance);
                    foreach (string line in Greedy(library, path, int.Parse(count, CultureInfo.InvariantCulture)))
                        Console.WriteLine(line);
                    return 0;
                case ["engine", string backend, string path]:
                    LlamaLibrary device = LlamaLibrary.Load(
                        new LlamaLibraryOptions { Backend = Enum.Parse<LlamaBackend>(backend), Trial = new BackendTrial(Program, Path.Combine(Path.GetDirectoryName(path)!, "trials.json")) }, NullLogger.Instance);
                    foreach (string line in EngineAsync(device, path, DeviceProfile.TwoCores with { ComputesAhead = true, DrawnFrom = 3 }).GetAwaiter().GetResult())
                        Console.WriteLine(line);
                    return 0;
                case ["drawn", string backend, string path, .. string[] source]:
                    var drawing = new LlamaLibraryOptions { Backend = Enum.Parse<LlamaBackend>(backend), Source = source is [string build] ? Enum.Parse<NativeSource>(build) : null, Trial = new BackendTrial(Program, Path.Combine(Path.GetDirectoryName(path)!, "trials.json")) };
                    Console.WriteLine(DeviceSamplingTests.Compare(LlamaLibrary.Load(drawing, NullLogger.Instance), path));
                    return 0;
                case ["placed", string backend, string path, string count, .. string[] memory]:
                    LlamaLibrary placing = LlamaLibrary.Load(
                        new LlamaLibraryOptions { Backend = Enum.Parse<LlamaBackend>(backend), Trial = new BackendTrial(Program, Path.Combine(Path.GetDirectoryName(path)!, "trials.json")) }, NullLogger.Instance);
                    LlamaModelOptions asked = new() { CpuExpertLayers = memory.Contains("cpu-moe") ? int.MaxValue : null };
                    foreach (string line in Placed(placing, path, int.Parse(count, CultureInfo.InvariantCulture), asked, memory.Where(part => part != "cpu-moe").Select(part => double.Parse(part, CultureInfo.InvariantCulture))))
                        Console.WriteLine(line);
                    return 0;
                case ["load", .. string[] paths]:
                    LoadAll(paths);
                    return 0;
                case ["mcp", string pidFile]:
                    Mcp.TestMcpServer.RunAsync(pidFile).GetAwaiter().GetResult();
                    return 0;
                case ["mcp-client", string servedFile]:
                    Mcp.McpConnectionTests.ConnectAndStay(servedFile);
                    return 0;
                case ["pull", string folder, string hub, string pulled]:
                    using (ModelLibrary into = ModelLibrary.Open(new LibraryOptions { Folder = folder, HubEndpoint = new Uri(hub), SegmentBytes = 32 << 10, JournalBytes = 8 << 10 }))
                        into.PullAsync(new PullRequest(pulled)).GetAwaiter().GetResult();
                    return 0;
                default:
                    Console.Error.WriteLine("this assembly holds tests: run it with dotnet test");
                    return 2;
            }
        }
        catch (LlamaException failure)
        {
            Console.Error.WriteLine(failure.Message);
            return 1;
        }
    }
}
