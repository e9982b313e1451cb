using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>The CPU library and one tiny model of each kind, written and loaded at most once a test run.</summary>
public sealed class LlamaFixture : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-tiny-").FullName;
    private readonly Dictionary<TinyArchitecture, LlamaModel> _models = [];

    public LlamaFixture() => Library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, Log);

    public LlamaLibrary Library { get; }

    public ILogger Log { get; } = NullLogger.Instance;

    public string PathOf(TinyArchitecture architecture)
    {
        string path = Path.Combine(_folder, $"{architecture}.gguf");
        if (!File.Exists(path))
            TinyModel.Write(path, architecture);
        return path;
    }

    public LlamaModel Model(TinyArchitecture architecture)
    {
        lock (_models)
        {
            if (!_models.TryGetValue(architecture, out LlamaModel? model))
                _models[architecture] = model = LlamaModel.Load(Library, PathOf(architecture), new LlamaModelOptions(), null, CancellationToken.None);
            return model;
        }
    }

    public LlamaContext Context(TinyArchitecture architecture, LlamaContextOptions? options = null) =>
        new(Model(architecture), options ?? Options(), Log);

    public static LlamaContextOptions Options(int sequences = 4, bool unified = true, int cells = 2048) =>
        new() { CellCount = cells, MaxSequences = sequences, KvUnified = unified, Threads = 1, BatchThreads = 1, BatchSize = 512, MicroBatchSize = 128 };

    /// <summary>A text of words that no two seeds share for long, as tokens.</summary>
    public static int[] Prompt(int length, int seed = 0)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, length).Select(_ => (int)"abcdefghij klmno"[random.Next(16)]).ToArray();
    }

    public void Dispose()
    {
        foreach (LlamaModel model in _models.Values)
            model.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

/// <summary>Tests that load llama.cpp share one copy of each model and do not run beside each other.</summary>
[CollectionDefinition("llama")]
public sealed class LlamaCollection : ICollectionFixture<LlamaFixture>;

/// <summary>Keeps log lines for tests to read.</summary>
public sealed class RecordingLogger : ILogger
{
    private readonly Lock _gate = new();
    private readonly List<(LogLevel Level, string Line)> _lines = [];

    public string[] Lines(LogLevel atLeast)
    {
        lock (_gate)
            return [.. _lines.Where(l => l.Level >= atLeast).Select(l => l.Line)];
    }

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_gate)
            _lines.Add((logLevel, formatter(state, exception)));
    }
}
