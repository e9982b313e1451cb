using InferenceServer.Engine.Decoding;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;
using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine;

/// <summary>A smaller model that guesses what another says next. Replies stay the same: the other verifies every guess.</summary>
/// <param name="Model">Must outlive the engine.</param>
/// <param name="LongestDraft">Most tokens guessed for one step, from 1 to <see cref="MostTokens"/>.</param>
/// <param name="LeastProbability">A guess that the model takes to be less likely ends the draft. From 0 to 1.</param>
/// <param name="Cells">Cells of its memory, in tokens, which all replies share; those that find no room get no guesses.</param>
public sealed record DraftModel(LlamaModel Model, int LongestDraft, float LeastProbability, int Cells)
{
    /// <summary>The largest <see cref="LongestDraft"/>: a step has room for so many guesses.</summary>
    public const int MostTokens = Scheduler.DraftRows;

    /// <summary>Vocabularies of one family differ by so many tokens of padding at most: llama.cpp's SPEC_VOCAB_MAX_SIZE_DIFFERENCE.</summary>
    private const int MostPadding = 128;

    private const int BatchSize = 512;

    /// <exception cref="LlamaException">This model cannot guess for that one; the message says why.</exception>
    internal void Check(LlamaModel target)
    {
        foreach ((LlamaModel model, string name) in (ReadOnlySpan<(LlamaModel, string)>)[(target, "the model"), (Model, "the draft model")])
            if (model.MemoryKind is not MemoryKind.Dense)
                throw new LlamaException($"{name} '{model.Path}' cannot take guesses back: its memory ({(model.MemoryKind is MemoryKind.SlidingWindow ? "a sliding window" : "recurrent layers")}) does not keep every position. Leave --draft-model out, or choose models with full attention");
        LlamaVocab own = Model.Vocab, others = target.Vocab;
        if (Math.Abs(own.Count - others.Count) > MostPadding)
            throw Differs($"it has {own.Count} tokens, the model {others.Count}");
        for (int token = 0; token < Math.Min(own.Count, others.Count); token++)
            if (!own.TokenBytes(token, special: true).SequenceEqual(others.TokenBytes(token, special: true)))
                throw Differs($"token {token} is '{own.Detokenize([token], special: true)}', in the model '{others.Detokenize([token], special: true)}'");
    }

    /// <exception cref="LlamaException">Its context cannot be made, or its device cannot compute.</exception>
    internal Drafter Start(EngineOptions options, LlamaModel target, LlamaContextOptions context, TimeProvider time, ILogger log)
    {
        LlamaContext own = new(Model, new LlamaContextOptions
        {
            CellCount = Cells,
            BatchSize = Math.Min(BatchSize, context.BatchSize),
            MicroBatchSize = Math.Min(BatchSize, context.MicroBatchSize),
            MaxSequences = options.MaxSequences,
            MaxOutputs = options.MaxSequences,
            Threads = context.Threads,
            BatchThreads = context.BatchThreads,
        }, log);
        long bytes = Model.SizeBytes + (own.CellCount * Model.EstimateKvBytesPerToken(KvType.F16, KvType.F16));
        return new Drafter(new LlamaDraftContext(own, Math.Min(Model.Vocab.Count, target.Vocab.Count), bytes, options.Device), LongestDraft, LeastProbability, time, log);
    }

    private LlamaException Differs(string how) => new($"the draft model '{Model.Path}' has another vocabulary than the model: {how}. Choose one of the same family");
}
