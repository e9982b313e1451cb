// The KV memory of a model and the calls that compute with it. Owned by one thread, but for AbortRequested, which any thread may set.
// Every argument is checked here before native code sees it: what llama.cpp asserts, it enforces by ending the process.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

using InferenceServer.Llama.Native;

using LLama.Native;

using Microsoft.Extensions.Logging;

namespace InferenceServer.Llama;

/// <summary>A context: memory for sequences of tokens, and decoding into it.</summary>
public sealed unsafe partial class LlamaContext : IDisposable
{
    /// <summary>Most sequence ids a context can have: LLAMA_MAX_SEQ.</summary>
    public const int SequenceLimit = 256;

    private readonly LlamaModel _model;
    private readonly SafeLLamaContextHandle _handle;
    private readonly nint _context; // The handle's pointer; the handle outlives every use because this object owns it.
    private readonly nint _memory;
    private readonly CpuThreadPools _threadPools;
    private readonly int[] _abortFlag;
    private readonly RowOutput[] _outputs; // Of each row of the last batch.
    private readonly long _kvBytesPerToken;
    private byte[]? _blankState; // A partial state that stands for next to nothing.
    private int _rows;
    private bool _copyPending; // Copies between separate memories are carried out when the next batch is decoded.

    /// <summary>Allocates the memory.</summary>
    /// <exception cref="LlamaException">The options contradict the model, or there is too little memory.</exception>
    public LlamaContext(LlamaModel model, LlamaContextOptions options, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(logger);
        CheckOptions(model, options);
        _model = model;

        CpuThreadPools pools = CpuThreadPools.Create(options.Threads, options.BatchThreads, options.ThreadPoll);
        int[] abortFlag = GC.AllocateArray<int>(1, pinned: true); // Read by native code at a fixed address.
        LLamaContextParams parameters = Parameters(options, options.Embeddings || model.Metadata($"{model.Architecture}.attention.causal") == "false", abortFlag);
        NativeLog.ClearError();
        SafeLLamaContextHandle handle = SafeLLamaContextHandle.Create(model.Handle, parameters);
        if (handle.IsInvalid)
        {
            model.Handle.DangerousRelease(); // LLamaSharp counted a reference for a context that never was, and never gives it back.
            pools.Free();
            string reason = NativeLog.LastError ?? "too little memory";
            throw new LlamaException(
                $"no context of {options.CellCount} cells for {options.MaxSequences} sequences: {reason}; lower --ctx-size or --max-sequences, or change --cache-type-k and --cache-type-v")
            {
                IsOutOfMemory = NativeFailure.IsOfMemory(reason),
            };
        }

        _handle = handle;
        _context = handle.DangerousGetHandle();
        _threadPools = pools;
        _abortFlag = abortFlag;
        LlamaNative.llama_attach_threadpool(handle, pools.Decode, pools.Batch);
        _memory = LlamaNative.llama_get_memory(handle);
        CellCount = (int)handle.ContextSize;
        ContextLengthPerSequence = (int)LlamaNative.llama_n_ctx_seq(handle);
        BatchSize = (int)handle.BatchSize;
        MicroBatchSize = (int)handle.UBatchSize;
        MaxSequences = (int)handle.MaxSeq;
        MaxOutputs = options.Embeddings ? BatchSize : Math.Min((int)parameters.n_outputs_max, BatchSize);
        VocabularySize = model.Vocab.Count;
        KvUnified = options.KvUnified;
        Embeddings = options.Embeddings;
        Pooling = (PoolingType)handle.PoolingType;
        // llama_context::output_reserve zeroes a row of logits for each sequence id, 74 MB of 128 ids and 152k tokens; a step touches those it computes.
        ReleaseOutputs();
        _outputs = new RowOutput[BatchSize];
        _kvBytesPerToken = model.EstimateKvBytesPerToken(options.TypeK, options.TypeV);
        LogCreated(logger, CellCount, MaxSequences, KvUnified ? "shared" : "separate", BatchSize, MicroBatchSize, options.Threads, options.BatchThreads);
    }

    /// <summary>The model it computes with.</summary>
    public LlamaModel Model => _model;

    /// <summary>Cells of the KV cache over all sequences. Recurrent models have one state a sequence instead and need none.</summary>
    public int CellCount { get; }

    /// <summary>Tokens one sequence may hold: all cells when they are shared, else its part.</summary>
    public int ContextLengthPerSequence { get; }

    /// <summary>Most rows in one call.</summary>
    public int BatchSize { get; }

    /// <summary>Most rows computed at once.</summary>
    public int MicroBatchSize { get; }

    /// <summary>Sequence ids are 0 to one less.</summary>
    public int MaxSequences { get; }

    /// <summary>Most rows of one call that may want logits.</summary>
    public int MaxOutputs { get; }

    /// <summary>Logits a row has.</summary>
    public int VocabularySize { get; }

    /// <summary>Whether all sequences share one pool of cells.</summary>
    public bool KvUnified { get; }

    /// <summary>Whether it returns embeddings.</summary>
    public bool Embeddings { get; }

    /// <summary>How token embeddings are combined.</summary>
    public PoolingType Pooling { get; }

    /// <summary>
    /// Set to stop the running decode call at its next operation, from any thread; it then returns <see cref="DecodeStatus.Aborted"/>. Stays set
    /// until cleared. Works on the CPU backend; GPU work runs on to the end of its micro-batch.
    /// </summary>
    public bool AbortRequested
    {
        get => Volatile.Read(ref _abortFlag[0]) != 0;
        set => Volatile.Write(ref _abortFlag[0], value ? 1 : 0);
    }

    /// <summary>Computes the batch's rows into their sequences. See <see cref="DecodeStatus"/> for what each outcome leaves behind.</summary>
    /// <exception cref="ArgumentException">A row is outside the vocabulary, the sequences or the context, or there are too many rows.</exception>
    public DecodeStatus Decode(LlamaBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        LLamaNativeBatch native = batch.Native;
        CheckRows(native);
        NativeLog.ClearError();
        _rows = 0;
        int code = LlamaNative.llama_decode(_context, native);
        if (code == 0)
        {
            _copyPending = false;
            _rows = native.n_tokens;
            for (int row = 0; row < _rows; row++)
                _outputs[row] = native.logits[row] == 0 ? RowOutput.None : IsDrawn((int)*native.seq_id[row]) ? RowOutput.Drawn : RowOutput.OnHost;
        }

        return code is >= -3 and <= 2 ? (DecodeStatus)code : DecodeStatus.ComputeFailed;
    }

    /// <summary>What the last decode call of this thread logged as an error; null when there was none.</summary>
    public static string? LastError => NativeLog.LastError;

    /// <summary>Logits of a row of the last batch that wanted them: <see cref="VocabularySize"/> floats, valid until the next call, free to be changed.</summary>
    /// <param name="row">The row's index in the batch.</param>
    /// <exception cref="ArgumentException">The last call computed no logits for that row, or the device drew its token.</exception>
    public Span<float> Logits(int row)
    {
        CheckOutputRow(row);
        float* logits = LlamaNative.llama_get_logits_ith(_context, row);
        if (logits == null)
            ThrowNoOutput(row);
        return new Span<float>(logits, VocabularySize);
    }

    /// <summary>The embedding of a row of the last batch, where no pooling combines them.</summary>
    /// <exception cref="ArgumentException">The last call computed no embedding for that row.</exception>
    public ReadOnlySpan<float> Embedding(int row)
    {
        CheckOutputRow(row);
        float* embedding = Embeddings ? LlamaNative.llama_get_embeddings_ith(_context, row) : null;
        if (embedding == null)
            ThrowNoOutput(row);
        return new ReadOnlySpan<float>(embedding, _model.OutputEmbeddingLength);
    }

    /// <summary>The pooled embedding of a sequence in the last batch, or its scores where the model ranks.</summary>
    /// <exception cref="ArgumentException">The last call computed none for that sequence.</exception>
    public ReadOnlySpan<float> SequenceEmbedding(int id)
    {
        CheckSequence(id);
        float* embedding = Embeddings && _rows > 0 && Pooling is not PoolingType.None ? LlamaNative.llama_get_embeddings_seq(_context, id) : null;
        if (embedding == null)
            throw new ArgumentException($"the last call computed no embedding for sequence {id}", nameof(id));
        return new ReadOnlySpan<float>(embedding, Pooling is PoolingType.Rank ? _model.ClassCount : _model.OutputEmbeddingLength);
    }

    /// <summary>Calls so far whose graph was the one of the call before: steps of the same shape spare building it.</summary>
    public int GraphReuses => LlamaNative.llama_perf_context(_context).n_reused;

    /// <summary>Waits until the device has finished what was asked of it.</summary>
    public void Synchronize() => LlamaNative.llama_synchronize(_context);

    /// <summary>
    /// Gives back the memory of the last call's logits, which cannot be read afterwards; the next call takes what it needs anew. 10 MB after 16 rows of 152k tokens.
    /// </summary>
    public void ReleaseOutputs()
    {
        _rows = 0;
        // A device's outputs lie in memory that is pinned.
        if (!Embeddings && _model.GpuLayers == 0)
            UnreadMemory.Release(_handle.GetLogits(MaxSequences));
    }

    /// <summary>
    /// Computes with these adapters from the next call on, and with no others. Where they differ from those before, that call builds its graphs anew, which takes about as long as a step.
    /// </summary>
    /// <exception cref="ArgumentException">Too many, or one that is another model's or was disposed.</exception>
    public void SetAdapters(ReadOnlySpan<(LlamaAdapter Adapter, float Scale)> adapters)
    {
        if (adapters.Length > LlamaAdapter.MostAtOnce)
            throw new ArgumentException($"{adapters.Length} adapters at once, at most {LlamaAdapter.MostAtOnce} can be used", nameof(adapters));
        nint* pointers = stackalloc nint[LlamaAdapter.MostAtOnce];
        float* scales = stackalloc float[LlamaAdapter.MostAtOnce];
        for (int i = 0; i < adapters.Length; i++)
            (pointers[i], scales[i]) = (adapters[i].Adapter.PointerFor(_model), adapters[i].Scale);
        if (LlamaNative.llama_set_adapters_lora(_context, pointers, (nuint)adapters.Length, scales) != 0)
            throw new LlamaException($"llama.cpp refused {adapters.Length} adapters");
    }

    /// <summary>What draws tokens on the device; null where the host does.</summary>
    internal DeviceSampling? DeviceSampling { get; set; }

    internal bool Attach(int sequence, nint chain) => LlamaNative.llama_set_sampler(_context, sequence, chain) != 0;

    /// <summary>Takes away the samplers of the ids that have one.</summary>
    internal void Detach(nint[] chains)
    {
        DeviceSampling = null;
        _rows = 0;
        if (_handle.IsClosed)
            return;
        Synchronize();
        for (int sequence = 0; sequence < chains.Length; sequence++)
            if (chains[sequence] != 0)
                LlamaNative.llama_set_sampler(_context, sequence, 0);
    }

    internal int DrawnToken(int row)
    {
        if ((uint)row >= (uint)_rows || _outputs[row] is not RowOutput.Drawn)
            throw new ArgumentException($"the device drew no token for row {row}", nameof(row));
        return LlamaNative.llama_get_sampled_token_ith(_context, row);
    }

    /// <summary>Frees the memory; the model stays as long as someone else holds it. Not while a call runs.</summary>
    public void Dispose()
    {
        if (_handle.IsClosed)
            return;
        _handle.Dispose();
        DeviceSampling?.Dispose(); // After the context, which holds the samplers' addresses.
        _threadPools.Free(); // After the context, whose backends still point at the pools.
        GC.KeepAlive(_abortFlag);
    }

    private static void CheckOptions(LlamaModel model, LlamaContextOptions options)
    {
        CheckRange(options.CellCount, 1, 1 << 28, "--ctx-size");
        CheckRange(options.BatchSize, 1, 1 << 20, "--batch-size");
        CheckRange(options.MicroBatchSize, 1, 1 << 20, "--ubatch-size");
        CheckRange(options.MaxSequences, 1, SequenceLimit, "the number of sequences");
        CheckRange(options.Threads, 1, 512, "--threads");
        CheckRange(options.BatchThreads, 1, 512, "--threads");
        CheckRange(options.ThreadPoll, 0, 100, "the thread poll level");
        CheckRange(options.MaxOutputs, 0, 1 << 20, "the number of outputs");
        if (!Enum.IsDefined(options.TypeK) || !Enum.IsDefined(options.TypeV))
            throw new LlamaException("--cache-type-k or --cache-type-v is not one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl");

        double kvBytes = (double)options.CellCount * model.EstimateKvBytesPerToken(options.TypeK, options.TypeV);
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes
            + model.Library.Devices.Where(d => d.Type is LlamaDeviceType.Gpu).Sum(d => d.TotalBytes);
        if (kvBytes > memory)
        {
            throw new LlamaException(string.Create(System.Globalization.CultureInfo.InvariantCulture,
                $"a KV cache of {options.CellCount} cells takes {kvBytes / (1L << 30):0.#} GiB, this machine has {memory / (double)(1L << 30):0.#} GiB: lower --ctx-size"));
        }

        static void CheckRange(int value, int least, int most, string name)
        {
            if (value < least || value > most)
                throw new LlamaException($"{name} is {value}: give {least} to {most}");
        }
    }

    /// <param name="atOnce">Attention in both directions must see a whole call at once.</param>
    /// <param name="abortFlag">Read by native code at a fixed address.</param>
    internal static LLamaContextParams Parameters(LlamaContextOptions options, bool atOnce, int[] abortFlag)
    {
        LLamaContextParams parameters = LLamaContextParams.Default();
        // llama.cpp asserts that a call's outputs can reach the number of sequences, and limits outputs by the batch size.
        int cells = Math.Max(options.CellCount, options.MaxSequences);
        int batch = Math.Max(Math.Min(options.BatchSize, cells), options.MaxSequences);
        parameters.n_ctx = (uint)cells;
        parameters.n_batch = (uint)batch;
        parameters.n_ubatch = (uint)(atOnce ? batch : Math.Min(options.MicroBatchSize, batch));
        parameters.n_seq_max = (uint)options.MaxSequences;
        parameters.n_outputs_max = (uint)(options.MaxOutputs == 0 || atOnce ? batch : Math.Clamp(options.MaxOutputs, options.MaxSequences, batch));
        parameters.n_threads = options.Threads;
        parameters.n_threads_batch = options.BatchThreads;
        parameters.llama_pooling_type = (LLamaPoolingType)options.Pooling;
        parameters.llama_flash_attn_type = (LLamaFlashAttentionType)options.FlashAttention;
        parameters.type_k = (GGMLType)options.TypeK;
        parameters.type_v = (GGMLType)options.TypeV;
        parameters.abort_callback = (nint)(delegate* unmanaged[Cdecl]<nint, byte>)&OnAbortCheck;
        parameters.abort_callback_user_data = (nint)Unsafe.AsPointer(ref abortFlag[0]);
        parameters.embeddings = options.Embeddings;
        parameters.offload_kqv = options.OffloadKv;
        parameters.swa_full = options.FullSlidingWindow;
        parameters.kv_unified = options.KvUnified;
        return parameters;
    }

    private void CheckRows(in LLamaNativeBatch batch)
    {
        int rows = batch.n_tokens;
        if (rows == 0)
            throw new ArgumentException("the batch is empty", nameof(batch));
        if (rows > BatchSize)
            throw new ArgumentException($"the batch has {rows} rows, the context takes {BatchSize}", nameof(batch));
        int outputs = 0;
        for (int row = 0; row < rows; row++)
        {
            int token = (int)batch.tokens[row], position = (int)batch.pos[row], sequence = (int)*batch.seq_id[row];
            if ((uint)token >= (uint)VocabularySize)
                throw new ArgumentException($"row {row} has token {token}, the vocabulary {VocabularySize}", nameof(batch));
            if ((uint)sequence >= (uint)MaxSequences)
                throw new ArgumentException($"row {row} has sequence {sequence}, the context {MaxSequences}", nameof(batch));
            if (position < 0)
                throw new ArgumentException($"row {row} has position {position}", nameof(batch));
            outputs += batch.logits[row];
        }

        if (Embeddings && outputs != rows)
            throw new ArgumentException("with embeddings every row is an output", nameof(batch));
        if (outputs > MaxOutputs)
            throw new ArgumentException($"the batch wants logits for {outputs} rows, the context gives {MaxOutputs}", nameof(batch));
    }

    private void CheckOutputRow(int row)
    {
        if ((uint)row >= (uint)_rows || _outputs[row] is not RowOutput.OnHost)
            ThrowNoOutput(row);
    }

    private bool IsDrawn(int sequence) => DeviceSampling is { } sampling && sampling.IsAttached(sequence);

    private void CheckSequence(int id)
    {
        ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
        if ((uint)id >= (uint)MaxSequences)
            ThrowUnknownSequence(id);
    }

    [DoesNotReturn]
    private static void ThrowNoOutput(int row) =>
        throw new ArgumentException($"the last call computed no output for row {row}", nameof(row));

    [DoesNotReturn]
    private void ThrowUnknownSequence(int id) =>
        throw new ArgumentOutOfRangeException(nameof(id), id, $"the context has sequences 0 to {MaxSequences - 1}");

    /// <summary>What the last batch left of a row.</summary>
    private enum RowOutput : byte
    {
        None,

        /// <summary>Logits or an embedding.</summary>
        OnHost,

        /// <summary>A token; of the logits whatever an earlier batch left there.</summary>
        Drawn,
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte OnAbortCheck(nint flag) => Volatile.Read(ref *(int*)flag) != 0 ? (byte)1 : (byte)0;

    [LoggerMessage(EventId = 101, Level = LogLevel.Debug,
        Message = "Context: {Cells} cells, {Sequences} sequences in {Kind} memory, batch {Batch}/{MicroBatch}, threads {Threads}/{BatchThreads}")]
    private static partial void LogCreated(ILogger logger, int cells, int sequences, string kind, int batch, int microBatch, int threads, int batchThreads);
}
