// The decoder over llama.cpp. Decode thread only, except that sampling a step's rows is shared with a few helper threads, each row by one.

using System.Diagnostics;
using InferenceServer.Engine.Cache;
using InferenceServer.Engine.Sampling;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Llama;

namespace InferenceServer.Engine.Decoding;

internal sealed class LlamaDecoder : IDecoder
{
    /// <summary>GGML_FA_TILE_Q in ggml-cpu/common.h: where attention walks idle cells, it is ggml's on the CPU.</summary>
    private const int AttentionTileRows = 64;

    /// <summary>tinyBLAS takes four columns at a time (sgemm.cpp, mnpack), and so do ggml's repacked types (ggml_gemm).</summary>
    private const int RowTile = 4;

    private readonly LlamaContext _context;
    private readonly LlamaBatch _batch;
    private readonly SamplingThreads _sampling;
    private readonly DeviceSampling? _drawing;
    private readonly HashSet<LlamaAdapter> _adapters = [];
    private AdapterSet _applied = AdapterSet.None;

    /// <param name="context">Owned from here on.</param>
    /// <param name="contextLength">Most tokens of one sequence.</param>
    /// <param name="mostRunning">Most sequences of a step.</param>
    /// <param name="stateBytesPerToken">What saving one token's state takes.</param>
    /// <param name="quantizedKv">The KV pool holds quantized values, for which ggml has no tiled attention on the CPU.</param>
    /// <param name="device">What the context's device costs; null to measure it now.</param>
    /// <param name="deterministic">Results must not depend on what a step computes beside them.</param>
    /// <exception cref="LlamaException">The device cannot compute.</exception>
    public LlamaDecoder(LlamaContext context, int contextLength, int mostRunning, bool sharesCells, long stateBytesPerToken, bool quantizedKv, DeviceProfile? device, bool deterministic = false)
    {
        _context = context;
        // First: a blank partial state is one that nothing was computed into.
        long checkpointBytes = context.PreparePartialStates();
        DeviceProfile profile = device ?? DeviceProfiler.Measure(context);
        _sampling = new SamplingThreads(context.Logits);
        // The ids of the device's come on top of one each for whatever runs, and of the scratch id.
        int drawn = profile.DrawnFrom > 0 && sharesCells && checkpointBytes == 0
            ? Math.Min(Math.Min(mostRunning, context.MaxSequences - mostRunning - 1), DeviceSampling.MostSequences(context))
            : 0;
        _drawing = drawn > 0 ? DeviceSampling.Attach(context, [.. Enumerable.Range(0, drawn)]) : null;
        Limits = new DecoderLimits(
            context.CellCount, contextLength, context.MaxSequences, context.BatchSize, context.MaxOutputs, sharesCells, stateBytesPerToken,
            CheckpointBytes: checkpointBytes,
            AttentionTileRows: profile.WalksIdleCells && !quantizedKv ? AttentionTileRows : 0,
            RowTile: profile.WalksIdleCells && _drawing is null ? RowTile : 1,
            DrawnIds: _drawing is null ? 0 : drawn,
            ComputesAlone: deterministic && BatchProbe.ResultsDependOnBatch(context),
            Profile: profile);
        _batch = new LlamaBatch(context.BatchSize);
    }

    public DecoderLimits Limits { get; }

    public void Rest() => _context.ReleaseOutputs();

    public void Launch(StepPlan plan, StepResult result)
    {
        result.Begin(plan);
        long start = Stopwatch.GetTimestamp();
        foreach (KvOp op in plan.Ops)
            if (Apply(op) is { } error)
            {
                result.Error = error;
                return;
            }
        if (plan.Ops.Count > 0)
            result.OperationSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (plan.Rows.Count == 0)
            return;
        _batch.Clear();
        foreach (PlanRow row in plan.Rows)
            _batch.Add(row.Token, row.Position, row.SequenceId, row.WantsLogits);
        SetDraws(plan);
        if (!ReferenceEquals(plan.Adapters, _applied))
            Apply(plan.Adapters);
        DecodeStatus status = _context.Decode(_batch);
        if (status != DecodeStatus.Ok)
            result.Error = $"llama_decode answered {status} ({(int)status}) to {plan.Rows.Count} rows{(LlamaContext.LastError is { } error ? $": {error}" : "")}";
    }

    public void Collect(StepPlan plan, StepResult result)
    {
        if (result.Error is not null || plan.Rows.Count == 0)
            return;
        // Waits for the device, and says if it has failed: a row's logits would be read as they are.
        _context.Synchronize();
        result.GraphReuses = _context.GraphReuses;
        long start = Stopwatch.GetTimestamp();
        int? hostRow = null;
        for (int i = 0; i < plan.Slices.Count; i++)
        {
            int row = plan.Slices[i].LastRow;
            if (!plan.Rows[row].WantsLogits)
                continue;
            if (plan.Rows[row].SequenceId < Limits.DrawnIds)
                TakeDrawn(plan, i, result);
            else
                hostRow ??= row;
        }
        if (hostRow is { } first)
        {
            // The first read puts the outputs in order (llama_context::output_reorder): not a thing for several threads.
            _context.Logits(first);
            _sampling.Run(plan, result);
        }
        result.SamplingSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>How the device is to draw. Only now are all tokens known that decide which random number is next.</summary>
    private void SetDraws(StepPlan plan)
    {
        if (Limits.DrawnIds == 0)
            return;
        foreach (PlanSlice slice in plan.Slices)
            if (plan.Rows[slice.LastRow] is { WantsLogits: true } row && row.SequenceId < Limits.DrawnIds)
            {
                (float temperature, double uniform) = slice.Sequence.Sampler.NextDraw;
                _drawing!.Set(row.SequenceId, temperature, uniform);
            }
    }

    private void TakeDrawn(StepPlan plan, int sliceIndex, StepResult result)
    {
        PlanSlice slice = plan.Slices[sliceIndex];
        if (slice.Sequence.IsFinished || !slice.ReachesEnd(plan))
            return;
        if (_drawing!.Token(slice.LastRow) is not { } token)
        {
            result.Fail(sliceIndex, "The model's logits are not numbers: no token can be drawn.");
            return;
        }
        slice.Sequence.Sampler.Accept(token);
        result.Add(sliceIndex, new SampledToken(token, null));
        result.DeviceDraws++;
    }

    public void ClearMemory() => _context.ClearMemory();

    public EngineAdapter LoadAdapter(LlamaAdapterFile file, Action<EngineAdapter> unused)
    {
        // What a device computes meanwhile reads the model, and adapters beside this one, but not the list of them.
        LlamaAdapter adapter = LlamaAdapter.Load(_context.Model, file);
        _adapters.Add(adapter);
        return new EngineAdapter(file, adapter, unused);
    }

    public void FreeAdapter(EngineAdapter adapter)
    {
        _context.Synchronize();
        if (_applied.Adapters.Any(applied => applied.Adapter == adapter))
            Apply(AdapterSet.None);
        _adapters.Remove(adapter.Native!);
        adapter.Native!.Dispose();
    }

    private void Apply(AdapterSet set)
    {
        _applied = set;
        _context.SetAdapters([.. set.Adapters.Select(static applied => (applied.Adapter.Native!, applied.Scale))]);
    }

    public void Dispose()
    {
        // A step may be in flight yet, and its buffers must not go before it is done.
        _context.Synchronize();
        _sampling.Dispose();
        _batch.Dispose();
        _context.Dispose();
        foreach (LlamaAdapter adapter in _adapters)
            adapter.Dispose();
    }

    private string? Apply(KvOp op)
    {
        switch (op.Kind)
        {
            case KvOpKind.Copy when Limits.SharesCells:
                return _context.CopyCells(op.Sequence, op.Target, op.Start, op.End)
                    ? null
                    : $"positions {op.Start} to {op.End} of sequence {op.Sequence} could not be shared";
            case KvOpKind.Copy:
                // Between streams only whole sequences can be copied (llama_kv_cache::seq_cp); what is too much is cut off.
                _context.CopySequence(op.Sequence, op.Target, 0, KvOp.ToEnd);
                return Remove(op.Target, op.End, KvOp.ToEnd);
            case KvOpKind.Remove:
                return Remove(op.Sequence, op.Start, op.End);
            case KvOpKind.Save:
                Save(op, StateFlags.None);
                return null;
            case KvOpKind.SaveCheckpoint:
                Save(op, StateFlags.Partial);
                return null;
            case KvOpKind.Restore or KvOpKind.RestoreCheckpoint when op.Blob!.State != KvBlobState.InMemory:
                return $"the KV state of positions {op.Start} to {op.End} was not saved";
            case KvOpKind.Restore:
                return Restore(op, StateFlags.None);
            case KvOpKind.RestoreCheckpoint:
                return Restore(op, StateFlags.Partial);
            default:
                throw new InvalidOperationException($"Unknown operation {op.Kind}.");
        }
    }

    private string? Remove(int sequence, int start, int end) =>
        _context.RemoveCells(sequence, start, end) ? null : $"positions {start} to {end} of sequence {sequence} could not be removed";

    /// <summary>What cannot be restored once cannot be restored again: the blob is marked, and the cache drops it.</summary>
    private string? Restore(KvOp op, StateFlags flags)
    {
        string? cause = null;
        try
        {
            if (_context.RestoreState(op.Sequence, op.Blob!.Data, flags) == op.Blob.Data!.LongLength)
                return null;
        }
        catch (ArgumentException e)
        {
            cause = $": {e.Message}";
        }
        op.Blob!.Fail();
        return $"the saved KV state of positions {op.Start} to {op.End} could not be restored{cause}";
    }

    /// <summary>A save that fails costs a later hit, or, of a checkpoint that is needed in the same step, the step.</summary>
    private void Save(KvOp op, StateFlags flags)
    {
        try
        {
            byte[] data = GC.AllocateUninitializedArray<byte>(checked((int)_context.StateSize(op.Sequence, flags)));
            if (_context.SaveState(op.Sequence, data, flags) == data.LongLength)
                op.Blob!.Fill(data);
            else
                op.Blob!.Fail();
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException or LlamaException)
        {
            op.Blob!.Fail();
        }
    }
}
