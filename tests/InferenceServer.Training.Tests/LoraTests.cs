using InferenceServer.Engine;
using InferenceServer.Engine.Sampling;
using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Export;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Stages;

using Microsoft.Extensions.Logging.Abstractions;

using TorchSharp;

using Xunit;

namespace InferenceServer.Training.Tests;

/// <summary>A LoRA adapter from the first step to the replies of an engine that serves it beside its base.</summary>
public sealed class LoraTests(Toy toy) : IClassFixture<Toy>
{
    private static readonly string[] Questions = ["What is the capital of France?", "Tell me a story.", "Hello there!", "What is 2 plus 3?"];

    [Fact]
    public async Task An_exported_adapter_makes_the_replies_of_the_merged_model_also_beside_its_base()
    {
        string checkpoint = Train("served", steps: 4);
        (Transformer model, LoraAdapter? adapter) = Commands.LoadParts(checkpoint);
        string basePath = toy.Path_("base.gguf"), adapterPath = toy.Path_("adapter.gguf"), mergedPath = toy.Path_("merged.gguf");
        using (model)
        using (adapter!)
        {
            GgufExporter.Write(model, toy.Tokenizer, basePath, GgufTensorType.F32);
            GgufExporter.Write(adapter!, adapterPath);
        }

        using (Transformer merged = Commands.LoadModel(checkpoint))
        {
            GgufExporter.Write(merged, toy.Tokenizer, mergedPath, GgufTensorType.F32);
        }

        LlamaLibrary library = LlamaLibrary.Load(new LlamaLibraryOptions { Backend = LlamaBackend.Cpu }, NullLogger.Instance);
        Reply[] merges = await ServeAsync(library, mergedPath, async engine => await AllAsync(engine, AdapterSet.None));
        await ServeAsync(library, basePath, async engine =>
        {
            AdapterSet tuned = AdapterSet.Of([(await engine.LoadAdapterAsync(adapterPath), 1)]);
            Reply[] bases = await AllAsync(engine, AdapterSet.None), adapted = await AllAsync(engine, tuned);
            for (int i = 0; i < Questions.Length; i++)
            {
                AssertSame(merges[i], adapted[i]);
                Assert.NotEqual(bases[i].Tokens, adapted[i].Tokens);
            }

            // Both kinds at once, in turns of the same engine.
            Task<Reply[]>[] together = [AllAsync(engine, AdapterSet.None), AllAsync(engine, tuned)];
            Reply[][] replies = await Task.WhenAll(together);
            for (int i = 0; i < Questions.Length; i++)
            {
                AssertSame(bases[i], replies[0][i]);
                AssertSame(merges[i], replies[1][i]);
            }

            return replies[0];
        });
    }

    [Fact]
    public void Training_changes_the_adapter_and_leaves_the_model_as_it_is()
    {
        string checkpoint = Train("frozen", steps: 2);
        (Transformer model, LoraAdapter? adapter) = Commands.LoadParts(checkpoint);
        using Transformer start = Toys.Random(toy.Model, 21), merged = Commands.LoadModel(checkpoint);
        using (model)
        using (adapter!)
        {
            foreach ((string name, torch.Tensor weight) in start.Weights)
            {
                Assert.True(torch.allclose(weight, model.Weights[name], rtol: 0, atol: 0), name);
                Assert.Equal(!adapter!.Parameters.ContainsKey(name + LoraAdapter.SuffixA), torch.allclose(weight, merged.Weights[name], rtol: 0, atol: 0));
            }

            Assert.Equal(2 * 7 * toy.Model.Layers, adapter!.Parameters.Count);
            Assert.All(adapter.Parameters, parameter => Assert.True(parameter.Value.abs().sum().ToSingle() > 0, parameter.Key));
        }
    }

    [Fact]
    public void A_fresh_adapter_changes_nothing_and_a_resumed_run_equals_an_uninterrupted_one()
    {
        using Transformer model = Toys.Random(toy.Model, 21), merged = Toys.Random(toy.Model, 21);
        using LoraAdapter fresh = new(model, new LoraOptions(Rank: 4), seed: 3);
        fresh.MergeInto(merged);
        Assert.All(model.Weights, weight => Assert.True(torch.allclose(weight.Value, merged.Weights[weight.Key], rtol: 0, atol: 0), weight.Key));
        string whole = Train("whole", steps: 3);
        Train("parts", steps: 1);
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(Train("parts", steps: 3)));
    }

    [Fact]
    public void What_cannot_be_an_adapter_is_refused()
    {
        using Transformer model = Toys.Random(toy.Model, 21);
        Assert.Contains("rank", Assert.Throws<InvalidDataException>(() => new LoraAdapter(model, new LoraOptions(Rank: 0), 1)).Message, StringComparison.Ordinal);
        StageConfig config = toy.Stage(1) with { Lora = new LoraOptions() };
        Assert.Contains("no model to change", Assert.Throws<InvalidDataException>(() =>
            LanguageStage.Run(config, Toy.Data, toy.Tokenizer, toy.Path_("nothing"), null, TimeProvider.System, CancellationToken.None)).Message, StringComparison.Ordinal);
    }

    /// <summary>A few steps at a rate large enough to change replies, from a random model.</summary>
    private string Train(string folder, int steps)
    {
        string start = toy.Path_("start.bin");
        using (Transformer model = Toys.Random(toy.Model, 21))
        {
            Checkpoint.Save(start, new RunState { Model = toy.Model }, model.Weights);
        }

        StageConfig config = toy.Stage(steps) with { MicroBatchTokens = 256, MicroBatches = 1, Lora = new LoraOptions(Rank: 4, Alpha: 8), Optimizer = new OptimizerOptions { VectorRate = 0.05 } };
        LanguageStage.Run(config, Toy.Data, toy.Tokenizer, toy.Path_(folder), start, TimeProvider.System, CancellationToken.None);
        return toy.Path_(folder, "checkpoint.bin");
    }

    /// <summary>Sums of an adapter's products and of merged weights round differently in the last bits, so that two tokens as good as equally likely may change places: then the replies are the same up to there.</summary>
    private static void AssertSame(Reply expected, Reply actual)
    {
        const double Tie = 1e-3; // In log probability; the differences seen are below 1e-5.
        int same = expected.Tokens.AsSpan().CommonPrefixLength(actual.Tokens);
        Assert.True(same == expected.Tokens.Length || expected.Gaps[same] < Tie, $"other replies from token {same} on, where the likeliest two are {(same < expected.Gaps.Length ? expected.Gaps[same] : 0)} apart");
        Assert.True(same > 0, "not even the first token is the same");
    }

    private async Task<Reply[]> AllAsync(InferenceEngine engine, AdapterSet adapters)
    {
        Generation[] running = [.. Questions.Select(question => engine.Submit(new GenerationRequest
        {
            PromptTokens = ChatFormat.EncodePrompt(toy.Tokenizer, [new("user", question)]),
            MaxTokens = 24,
            IgnoreEndOfGeneration = true,
            Sampling = SamplingOptions.Greedy with { TopLogprobs = 2 },
            Adapters = adapters,
        }))];
        List<Reply> replies = [];
        foreach (Generation generation in running)
        {
            List<int> tokens = [];
            List<double> gaps = [];
            using CancellationTokenSource limit = new(TimeSpan.FromMinutes(1));
            await foreach (GenerationEvent read in generation.Events.ReadAllAsync(limit.Token))
            {
                if (read.Kind == GenerationEventKind.Finished)
                {
                    Assert.Null(read.Result!.Error);
                    continue;
                }

                tokens.Add(read.Token);
                gaps.Add(read.Logprobs!.Top[0].Logprob - read.Logprobs.Top[1].Logprob);
            }

            replies.Add(new Reply([.. tokens], [.. gaps]));
        }

        return [.. replies];
    }

    private static async Task<Reply[]> ServeAsync(LlamaLibrary library, string path, Func<InferenceEngine, Task<Reply[]>> use)
    {
        using LlamaModel model = LlamaModel.Load(library, path, new LlamaModelOptions(), null, CancellationToken.None);
        // Keys and values in float32, so that nothing rounds more than the weights do.
        await using InferenceEngine engine = InferenceEngine.Start(
            new EngineOptions { Device = DeviceProfile.TwoCores, Speculation = false }, model,
            new LlamaContextOptions { CellCount = 2048, BatchSize = 256, MicroBatchSize = 256, Threads = 1, BatchThreads = 1, TypeK = KvType.F32, TypeV = KvType.F32 },
            TimeProvider.System, NullLogger.Instance);
        return await use(engine);
    }

    /// <param name="Gaps">How far apart the likeliest two tokens were at each place, in log probability.</param>
    private sealed record Reply(int[] Tokens, double[] Gaps);
}
