// A model, a tokenizer and stage settings small enough to train in seconds.
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Stages;
using InferenceServer.Training.Tokenizer;

using Xunit;

[assembly: CollectionBehavior(DisableTestParallelization = true)] // libtorch's thread count is one per process.

namespace InferenceServer.Training.Tests;

public sealed class Toy : IDisposable
{
    public Toy()
    {
        Grammar = Grammar.Read(Data);
        var dialogues = new DialogueGenerator(Grammar, 1);
        Tokenizer = new BpeTokenizer(BpeTrainer.Train(
            Enumerable.Range(0, 300).SelectMany(_ => dialogues.Next().Messages.Select(m => m.Role + "\n" + m.Text)), 600));
    }

    public static string Data => Path.Combine(AppContext.BaseDirectory, "data");

    public Grammar Grammar { get; }

    public BpeTokenizer Tokenizer { get; }

    public string Folder { get; } = Directory.CreateTempSubdirectory("inference-server-training-").FullName;

    public ModelConfig Model => new() { VocabularySize = Tokenizer.VocabularySize, Width = 64, Layers = 2, Heads = 4, KvHeads = 2, FeedForward = 128, ContextLength = 512 };

    public StageConfig Stage(int steps) => new()
    {
        Model = Model,
        Steps = steps,
        MicroBatchTokens = 512,
        MicroBatches = 2,
        WarmupSteps = 2,
        CheckpointSeconds = 3600,
        Mixture = new Mixture { Dialogues = 0.8, Prose = 0.2, MaxTokens = 256 },
        Optimizer = new OptimizerOptions { MatrixRate = 0.02, VectorRate = 0.01 },
    };

    public string Path_(params string[] parts) => Path.Combine([Folder, .. parts]);

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
