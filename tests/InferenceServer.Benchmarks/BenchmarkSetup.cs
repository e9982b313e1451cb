using InferenceServer.Llama;
using InferenceServer.Llama.TestModels;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Benchmarks;

/// <summary>What raw loop and server share: the model file and the context's shape.</summary>
internal sealed class BenchmarkSetup : IDisposable
{
    private BenchmarkSetup(BenchmarkOptions options, LlamaLibrary library, string modelPath)
    {
        Options = options;
        Library = library;
        ModelPath = modelPath;
        Model = LlamaModel.Load(library, modelPath, new LlamaModelOptions(), null, CancellationToken.None);
    }

    public BenchmarkOptions Options { get; }

    public LlamaLibrary Library { get; }

    public string ModelPath { get; }

    public LlamaModel Model { get; }

    public static BenchmarkSetup Load(BenchmarkOptions options)
    {
        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = options.Backend, Source = options.Natives, Trial = BackendTrial.OfThisProgram() }, NullLogger.Instance);
        string path = options.ModelPath ?? Path.Combine(Path.GetTempPath(), "inference-server-benchmark-q8_0.gguf");
        if (!File.Exists(path))
        {
            Console.Error.WriteLine($"Making the benchmark model at {path}, once ...");
            int shown = 0;
            BenchmarkModel.Create(library, path, new Progress<double>(done =>
            {
                if ((int)(done * 10) > shown)
                    Console.Error.WriteLine($"  {shown = (int)(done * 10)}0%");
            }), CancellationToken.None);
        }
        Console.Error.WriteLine($"{library.Description}, llama.cpp {library.Version} from {library.Source}");
        return new BenchmarkSetup(options, library, path);
    }

    public LlamaContextOptions Context(int cells) => new()
    {
        CellCount = cells,
        KvUnified = Options.Unified,
        TypeK = Options.KvType,
        TypeV = Options.KvType,
    };

    /// <summary>Tokens that look like nothing in particular, the same for the same seed.</summary>
    public int[] RandomTokens(int count, int seed)
    {
        Random random = new(seed);
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
            tokens[i] = random.Next(1000, Model.Vocab.Count - 1000);
        return tokens;
    }

    public void Dispose() => Model.Dispose();
}

/// <param name="ModelPath">Null makes the benchmark model.</param>
/// <param name="Natives">Null takes what is installed for the backend.</param>
/// <param name="Streams">Of the works that are named after sixteen.</param>
/// <param name="Pairs">Raw and served runs in turn, this often; medians are reported.</param>
internal sealed record BenchmarkOptions(string? ModelPath, LlamaBackend Backend, NativeSource? Natives, bool Unified, KvType KvType, int Streams, int Pairs, int Requests);
