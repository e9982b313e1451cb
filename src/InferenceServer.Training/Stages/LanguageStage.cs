// The stages that learn to predict text, pretrain, sft and lora: the same loop over another mixture and mask, and, of lora, over a low-rank change of a model that stays as it is.
// Runs on the calling thread plus workers inside a step. A checkpoint holds weights, optimizer and the stream's place,
// so that a resumed run continues as if it had never stopped.
using InferenceServer.Training.Corpus;
using InferenceServer.Training.Model;
using InferenceServer.Training.Optimization;
using InferenceServer.Training.Tokenizer;
using TorchSharp;
using static TorchSharp.torch;

namespace InferenceServer.Training.Stages;

public static class LanguageStage
{
    /// <summary>Trains until the configured steps are done or <paramref name="stop"/> is cancelled; then saves.</summary>
    /// <param name="config">The stage's configuration.</param>
    /// <param name="dataFolder">Seeds of the corpus.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="folder">Where checkpoint, log and plot go; an existing checkpoint there is resumed.</param>
    /// <param name="from">Checkpoint whose weights to start with when the folder has none; null starts from random.</param>
    /// <param name="time">Clock for rates and checkpoints.</param>
    /// <param name="stop">Ends the run after the current step.</param>
    /// <param name="feedback">Dialogues of users to learn from as well; the same ones when a run is resumed.</param>
    /// <returns>Mean loss per learnt token of each step run, in nats.</returns>
    public static IReadOnlyList<double> Run(
        StageConfig config, string dataFolder, BpeTokenizer tokenizer, string folder, string? from, TimeProvider time, CancellationToken stop,
        IReadOnlyList<Dialogue>? feedback = null)
    {
        Directory.CreateDirectory(folder);
        set_num_threads(1);
        string path = Path.Combine(folder, "checkpoint.bin");
        RunState state = new() { Model = (config.Model ?? new ModelConfig { VocabularySize = tokenizer.VocabularySize }) with { VocabularySize = tokenizer.VocabularySize } };
        Dictionary<string, Tensor> loaded = [];
        bool resumes = File.Exists(path);
        if (resumes || from is not null)
        {
            (RunState saved, loaded) = Checkpoint.Load(resumes ? path : from!);
            state = resumes ? saved : state with { Model = saved.Model };
        }

        if (config.Lora is not null && loaded.Count == 0)
        {
            throw new InvalidDataException("Lora: there is no model to change; name a checkpoint to start from.");
        }

        state = state with { Lora = resumes ? state.Lora : config.Lora };
        using var model = new Transformer(state.Model!, config.Seed);
        using LoraAdapter? adapter = state.Lora is { } lora ? new LoraAdapter(model, lora, config.Seed) : null;
        IReadOnlyDictionary<string, Tensor> learnt = adapter?.Parameters ?? model.Weights;
        using var optimizer = new MuonOptimizer(learnt, config.Optimizer) { Updates = state.Updates };
        if (loaded.Count > 0)
        {
            Checkpoint.CopyInto(loaded, model.Weights);
        }

        if (resumes)
        {
            Checkpoint.CopyInto(loaded, learnt);
            Checkpoint.CopyInto(loaded, optimizer.State, "optimizer:");
        }

        foreach (Tensor tensor in loaded.Values)
        {
            tensor.Dispose();
        }

        var stream = new CorpusStream(dataFolder, tokenizer, config.Mixture, config.MicroBatchTokens, (ulong)config.Seed, feedback);
        stream.Seek(state.Pool, state.PoolPosition);
        var progress = new Progress(folder, state.Step, time, "loss", "gradnorm");
        long saveAt = time.GetTimestamp();
        List<double> losses = [];
        while (state.Step < config.Steps && !stop.IsCancellationRequested)
        {
            (double loss, double norm, int seen) = Step(config, model, adapter, optimizer, stream, config.RateFactor(state.Step));
            losses.Add(loss);
            state = state with { Step = state.Step + 1, Tokens = state.Tokens + seen, Updates = optimizer.Updates, Pool = stream.Pool, PoolPosition = stream.Position };
            progress.Report(state.Step, config.Steps, state.Tokens, loss, norm);
            if (time.GetElapsedTime(saveAt).TotalSeconds >= config.CheckpointSeconds)
            {
                Save();
                saveAt = time.GetTimestamp();
            }
        }

        Save();
        return losses;

        void Save()
        {
            Checkpoint.Save(path, state, adapter is null ? model.Weights : model.Weights.Concat(adapter.Parameters), optimizer);
            progress.Plot();
        }
    }

    private static (double Loss, double Norm, int Seen) Step(
        StageConfig config, Transformer model, LoraAdapter? adapter, MuonOptimizer optimizer, CorpusStream stream, double rateFactor)
    {
        Batch[] batches = [.. Enumerable.Range(0, config.MicroBatches).Select(_ => stream.Next())];
        int learnt = batches.Sum(b => b.LearntTokens);
        ScalarType type = config.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
        double[] losses = GradientPass.Run(model, adapter?.Parameters ?? new Dictionary<string, Tensor>(), batches.Length, config.Workers, type, 1.0 / learnt,
            (i, weights) => GradientPass.CrossEntropy(model, adapter?.Apply(weights) ?? weights, batches[i]), frozen: adapter is not null);
        double norm = optimizer.Step(rateFactor);
        return (losses.Sum(), norm, batches.Sum(b => b.Rows * b.Length));
    }
}
