// A GPU that lists itself need not compute: a driver may refuse the library's code at the first kernel, and that ends the process. So a
// process of its own tries it first, once for each driver and build.
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;

using InferenceServer.Llama.Native;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Llama;

/// <summary>Decodes a token of a tiny model on a device, in a child process with a time limit.</summary>
public sealed partial class BackendTrial
{
    /// <summary>Enough for a driver that translates the whole library for a new device at its first use.</summary>
    private static readonly TimeSpan DefaultLimit = TimeSpan.FromSeconds(120);

    private const string Command = "try-backend";
    private const int MostResults = 64;

    private readonly IReadOnlyList<string> _program;
    private readonly string _resultsFile;
    private readonly TimeSpan _limit;

    /// <param name="program">How to start the program whose entry point calls <see cref="Answer"/>: a file and its first arguments.</param>
    /// <param name="resultsFile">Where results are kept; by default in the user's folder for application data.</param>
    /// <param name="limit">How long a trial may take.</param>
    public BackendTrial(IReadOnlyList<string> program, string? resultsFile = null, TimeSpan? limit = null)
    {
        _program = program;
        _resultsFile = resultsFile ?? Path.Combine(
            Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "InferenceServer", "backend-trials.json");
        _limit = limit ?? DefaultLimit;
    }

    /// <summary>A trial by this very program, started as it was started.</summary>
    public static BackendTrial OfThisProgram() => new(
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) is "dotnet"
            ? [Environment.ProcessPath!, Assembly.GetEntryAssembly()!.Location]
            : [Environment.ProcessPath!]);

    /// <summary>Carries out the trial that this process was started for. The first thing an entry point does.</summary>
    /// <returns>The exit code; null where the arguments ask for no trial.</returns>
    public static int? Answer(string[] arguments)
    {
        if (arguments is not [Command, string backend, string source, string directory])
            return null;
        string path = Path.Combine(Path.GetTempPath(), $"inference-server-trial-{Environment.ProcessId}.gguf");
        try
        {
            var options = new LlamaLibraryOptions { Backend = Enum.Parse<LlamaBackend>(backend), Source = Enum.Parse<NativeSource>(source), Directory = directory };
            LlamaLibrary library = LlamaLibrary.Load(options, NullLogger.Instance);
            TinyModel.Write(path, TinyArchitecture.Llama);
            using LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions { GpuLayers = int.MaxValue }, null, CancellationToken.None);
            using var context = new LlamaContext(
                model, new LlamaContextOptions { CellCount = 256, BatchSize = 32, MicroBatchSize = 32, Threads = 1, BatchThreads = 1 }, NullLogger.Instance);
            using var batch = new LlamaBatch(1);
            batch.Add(token: 1, position: 0, sequence: 0, wantsLogits: true);
            if (context.Decode(batch) is not DecodeStatus.Ok and var status)
                throw new LlamaException($"decoding a token ended with {status}: {NativeLog.LastError ?? "it gave no reason"}");
            Span<float> logits = context.Logits(0);
            foreach (float logit in logits)
                if (!float.IsFinite(logit))
                    throw new LlamaException("a token's logits are no numbers");
            if (logits.IndexOfAnyExcept(logits[0]) < 0)
                throw new LlamaException("all logits of a token are the same");
            return 0;
        }
        catch (LlamaException failure)
        {
            Console.Error.WriteLine(failure.Message);
            return 1;
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>Why the build does not compute here; null when it does.</summary>
    /// <param name="build">What to try.</param>
    /// <param name="driver">What besides the build the result depends on.</param>
    /// <param name="again">Try even where an earlier trial failed.</param>
    /// <param name="logger">Told that a trial begins, since it takes seconds.</param>
    internal string? WhyNot(NativeBuild build, string driver, bool again, ILogger logger)
    {
        var library = new FileInfo(build.DevicePath);
        string key = string.Create(CultureInfo.InvariantCulture,
            $"{build.Backend} of {build.Source} {library.FullName} {(library.Exists ? library.Length : 0)} {library.LastWriteTimeUtc:O} on {driver}");
        Dictionary<string, string> results = ReadResults();
        if (results.TryGetValue(key, out string? kept) && (kept.Length == 0 || !again))
            return kept.Length == 0 ? null : $"{kept} (tried before; --backend {build.Backend.ToString().ToLowerInvariant()} tries again)";

        LogTrial(logger, build.Backend, _limit.TotalSeconds);
        (string? problem, bool final) = Run(build);
        if (final)
        {
            if (results.Count >= MostResults)
                results.Clear();
            results[key] = problem ?? "";
            KeepResults(results, logger);
        }

        return problem;
    }

    /// <returns>What went wrong, and whether it would again: a trial that was cut off may have been slow only.</returns>
    private (string? Problem, bool Final) Run(NativeBuild build)
    {
        var start = new ProcessStartInfo(_program[0]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (string argument in (string[])[.. _program.Skip(1), Command, build.Backend.ToString(), build.Source.ToString(), build.Root])
            start.ArgumentList.Add(argument);
        try
        {
            using Process child = Process.Start(start)!;
            child.OutputDataReceived += (_, _) => { };
            child.BeginOutputReadLine();
            Task<string> errors = child.StandardError.ReadToEndAsync();
            if (!child.WaitForExit(_limit))
            {
                child.Kill(entireProcessTree: true);
                return ($"a token was not decoded within {_limit.TotalSeconds:F0} s", Final: false);
            }

            return child.ExitCode == 0 ? (null, Final: true) : (Cause(errors.Result, child.ExitCode), Final: true);
        }
        catch (Exception failure) when (failure is System.ComponentModel.Win32Exception or IOException)
        {
            return ($"{_program[0]} could not be started to try it: {failure.Message}", Final: false);
        }
    }

    /// <summary>The library's own words: what it gave up with, else the last line.</summary>
    private static string Cause(string errors, int exitCode)
    {
        string[] lines = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (lines.FirstOrDefault(line => line.StartsWith(NativeFailure.GaveUp, StringComparison.Ordinal)) is { } gaveUp)
            return gaveUp[NativeFailure.GaveUp.Length..gaveUp.LastIndexOf(';')];
        return exitCode == 1 && lines.Length > 0 ? lines[^1] : $"the process that tried it ended with exit code {exitCode}{(lines.Length > 0 ? $": {lines[^1]}" : "")}";
    }

    private Dictionary<string, string> ReadResults()
    {
        try
        {
            return File.Exists(_resultsFile) ? JsonSerializer.Deserialize(File.ReadAllBytes(_resultsFile), TrialJson.Default.DictionaryStringString) ?? [] : [];
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or JsonException)
        {
            return []; // Then the backend is tried once more.
        }
    }

    private void KeepResults(Dictionary<string, string> results, ILogger logger)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_resultsFile)!);
            string half = $"{_resultsFile}.{Environment.ProcessId}";
            File.WriteAllBytes(half, JsonSerializer.SerializeToUtf8Bytes(results, TrialJson.Default.DictionaryStringString));
            File.Move(half, _resultsFile, overwrite: true);
        }
        catch (Exception unwritable) when (unwritable is IOException or UnauthorizedAccessException)
        {
            LogNotKept(logger, unwritable.Message);
        }
    }

    [LoggerMessage(EventId = 102, Level = LogLevel.Information, Message = "Trying {Backend}: one token of a tiny model in a process of its own, for at most {Seconds} s")]
    private static partial void LogTrial(ILogger logger, LlamaBackend backend, double seconds);

    [LoggerMessage(EventId = 103, Level = LogLevel.Debug, Message = "The result of the trial could not be kept: {Reason}")]
    private static partial void LogNotKept(ILogger logger, string reason);

    [JsonSerializable(typeof(Dictionary<string, string>))]
    private sealed partial class TrialJson : JsonSerializerContext;
}
