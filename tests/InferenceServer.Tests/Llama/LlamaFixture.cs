using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;

using Microsoft.Extensions.Logging.Abstractions;

using Xunit;

namespace InferenceServer.Tests.Llama;

/// <summary>The CPU library and one tiny model of each kind, written and loaded at most once a test run.</summary>
public sealed class LlamaFixture : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("inference-server-tiny-").FullName;
    private readonly Dictionary<TinyArchitecture, LlamaModel> _models = [];

    public LlamaLibrary Library { get; } = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);

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
        new(Model(architecture), options ?? Options(), NullLogger.Instance);

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
