using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Export;
using InferenceServer.Training.Model;

using Microsoft.Extensions.Logging;

using TorchSharp;

using Xunit;

namespace InferenceServer.Training.Tests;

public sealed class ExportTests(Toy toy) : IClassFixture<Toy>
{
    private static readonly Warnings Log = new();
    private static readonly Lazy<LlamaLibrary> Library = new(() => LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, Log));

    [Theory]
    [InlineData(GgufTensorType.F32, 1e-3)]
    [InlineData(GgufTensorType.F16, 1e-2)]
    [InlineData(GgufTensorType.Q8_0, 1e-1)]
    public void Llama_cpp_computes_the_logits_that_the_trainer_computes(GgufTensorType type, double tolerance)
    {
        using Transformer model = Toys.Random(toy.Model, 11);
        string path = toy.Path_($"toy-{type}.gguf");
        GgufExporter.Write(model, toy.Tokenizer, path, type);
        int[] tokens = ChatFormat.EncodePrompt(toy.Tokenizer, [new("user", "What is the capital of France? Tell me in 12 words, please.")]);
        float[] expected = TorchLogits(model, tokens), actual = LlamaLogits(path, tokens);
        double largest = expected.Max(Math.Abs);
        double error = expected.Zip(actual, (e, a) => Math.Abs(e - a)).Max() / largest;
        Assert.True(error < tolerance, $"max relative error {error}");
        Assert.True(expected.Distinct().Count() > 100);
    }

    [Fact]
    public void Llama_cpp_reads_tokenizer_and_template_without_a_warning_and_tokenizes_alike()
    {
        using Transformer model = Toys.Random(toy.Model, 12);
        string path = toy.Path_("tokens.gguf");
        GgufExporter.Write(model, toy.Tokenizer, path, GgufTensorType.Q8_0);
        Log.Clear();
        using LlamaModel loaded = LlamaModel.Load(Library.Value, path, new LlamaModelOptions(), null, CancellationToken.None);
        Assert.Empty(Log.Lines);
        Assert.Equal(GgufExporter.ChatTemplate, loaded.ChatTemplate);
        Assert.Equal(512, loaded.TrainContextLength);
        Assert.Equal(toy.Tokenizer.MessageEndId, loaded.Vocab.Eos);
        Assert.True(loaded.Vocab.IsEndOfGeneration(toy.Tokenizer.MessageEndId));
        var dialogues = new DialogueGenerator(toy.Grammar, 13);
        IEnumerable<string> texts = Enumerable.Range(0, 200).SelectMany(_ => dialogues.Next().Messages.Select(m => m.Text))
            .Concat(["naïve café — 日本語 🙂", "  spaces   and\n\n\nlines\t", "It's 3:45, isn't it? WE'LL see 1234567."]);
        foreach (string text in texts)
        {
            Assert.Equal([.. toy.Tokenizer.Encode(text)], loaded.Vocab.Tokenize(text, addSpecial: false, parseSpecial: false));
        }
    }

    [Fact]
    public void A_tokenizer_of_another_size_is_refused()
    {
        using Transformer model = Toys.Random(toy.Model with { VocabularySize = 512 }, 14);
        Assert.Throws<InvalidDataException>(() => GgufExporter.Write(model, toy.Tokenizer, toy.Path_("wrong.gguf"), GgufTensorType.F16));
        Assert.False(File.Exists(toy.Path_("wrong.gguf")));
    }

    private static float[] TorchLogits(Transformer model, int[] tokens)
    {
        using var scope = torch.NewDisposeScope();
        using IDisposable noGrad = torch.no_grad();
        WorkingWeights weights = model.Cast(torch.ScalarType.Float32);
        torch.Tensor hidden = model.Forward(weights, torch.tensor([.. tokens.Select(t => (long)t)], [1, tokens.Length]));
        return [.. Transformer.Logits(weights, hidden.narrow(1, tokens.Length - 1, 1)).flatten().data<float>()];
    }

    private static float[] LlamaLogits(string path, int[] tokens)
    {
        using LlamaModel model = LlamaModel.Load(Library.Value, path, new LlamaModelOptions(), null, CancellationToken.None);
        // Keys and values in float32, so that the comparison is of the weights alone.
        var options = new LlamaContextOptions { CellCount = 256, Threads = 1, BatchThreads = 1, TypeK = KvType.F32, TypeV = KvType.F32, FlashAttention = FlashAttention.Off };
        using var context = new LlamaContext(model, options, Log);
        using var batch = new LlamaBatch(tokens.Length);
        int row = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            row = batch.Add(tokens[i], i, 0, wantsLogits: i == tokens.Length - 1);
        }

        Assert.Equal(DecodeStatus.Ok, context.Decode(batch));
        return context.Logits(row).ToArray();
    }

    private sealed class Warnings : ILogger
    {
        private readonly List<string> _lines = [];

        public IReadOnlyList<string> Lines => _lines;

        public void Clear() => _lines.Clear();

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel >= LogLevel.Warning)
            {
                _lines.Add(formatter(state, exception));
            }
        }
    }
}
