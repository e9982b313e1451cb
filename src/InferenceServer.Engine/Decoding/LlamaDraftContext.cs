using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;

namespace InferenceServer.Engine.Decoding;

/// <summary>A draft model's memory in llama.cpp.</summary>
internal sealed class LlamaDraftContext : IDraftContext
{
    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;
    private readonly float[] _maxima;
    private readonly double[] _sums;

    /// <param name="context">Owned from here on; of a dense model, with shared cells.</param>
    /// <param name="tokens">As <see cref="DraftLimits.Tokens"/>.</param>
    /// <param name="device">What the context's device costs; null to measure it now.</param>
    /// <exception cref="LlamaException">The device cannot compute.</exception>
    public LlamaDraftContext(LlamaContext context, int tokens, long bytes, DeviceProfile? device)
    {
        _context = context;
        Limits = new DraftLimits(context.CellCount, Math.Min(context.ContextLengthPerSequence, context.Model.TrainContextLength), context.MaxSequences, context.BatchSize, tokens, bytes,
            device ?? DeviceProfiler.Measure(context));
        _batch = new LlamaBatch(context.BatchSize);
        _maxima = new float[LogitKernels.BlockCount(tokens)];
        _sums = new double[_maxima.Length];
    }

    public DraftLimits Limits { get; }

    public void Remove(int sequence, int start) => _context.RemoveSequence(sequence, start, -1);

    public string? Compute(List<PlanRow> rows, Span<DraftGuess> guesses)
    {
        _batch.Clear();
        foreach (PlanRow row in rows)
            _batch.Add(row.Token, row.Position, row.SequenceId, row.WantsLogits);
        if (_context.Decode(_batch) is not DecodeStatus.Ok and var status)
            return $"llama_decode answered {status} ({(int)status}) to {rows.Count} rows{(LlamaContext.LastError is { } error ? $": {error}" : "")}";
        _context.Synchronize();
        int guess = 0;
        for (int i = 0; i < rows.Count; i++)
            if (rows[i].WantsLogits)
                guesses[guess++] = MostLikely(_context.Logits(i)[..Limits.Tokens]);
        return null;
    }

    public void Clear() => _context.ClearMemory();

    public void Dispose()
    {
        _context.Synchronize();
        _batch.Dispose();
        _context.Dispose();
    }

    private DraftGuess MostLikely(ReadOnlySpan<float> logits)
    {
        float max = LogitKernels.BlockSums(logits, 1, _maxima, _sums, out double total);
        return float.IsFinite(max) ? new DraftGuess(LogitKernels.IndexOfMaximum(logits, _maxima, max), (float)(1 / total)) : new DraftGuess(-1, 0);
    }
}
