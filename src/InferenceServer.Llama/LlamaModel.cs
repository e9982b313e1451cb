// A loaded model: its vocabulary, its shape and its metadata. Immutable after loading; safe to use from any thread.
using System.Runtime.InteropServices;
using System.Security.Cryptography;

using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.Native;
using InferenceServer.Llama.Placement;

using LLama.Exceptions;
using LLama.Native;

using Microsoft.Win32.SafeHandles;

namespace InferenceServer.Llama;

/// <summary>A GGUF model in memory, ready for contexts. Contexts keep it alive; dispose in any order.</summary>
public sealed class LlamaModel : IDisposable
{
    private readonly GgufFile _file;

    private LlamaModel(LlamaLibrary library, SafeLlamaModelHandle handle, GgufFile file, string path)
    {
        Library = library;
        Handle = handle;
        Path = path;
        _file = file;
        TrainContextLength = handle.ContextSize;
        EmbeddingLength = handle.EmbeddingSize;
        OutputEmbeddingLength = LlamaNative.llama_model_n_embd_out(handle);
        LayerCount = handle.LayerCount;
        HeadCountKv = handle.KVHeadCount;
        SlidingWindow = Math.Max(0, handle.SWACount);
        ClassCount = (int)LlamaNative.llama_model_n_cls_out(handle);
        ClassLabels = ReadLabels(handle, ClassCount);
        SizeBytes = (long)handle.SizeInBytes;
        ParameterCount = (long)handle.ParameterCount;
        HasEncoder = handle.HasEncoder;
        HasDecoder = handle.HasDecoder;
        Description = handle.Description;
        ChatTemplate = file.GetString("tokenizer.chat_template") is { Length: > 0 } template ? template : null;
        MemoryKind = handle.IsRecurrent ? MemoryKind.Recurrent
            : LlamaNative.llama_model_is_hybrid(handle) != 0 ? MemoryKind.Hybrid
            : SlidingWindow > 0 ? MemoryKind.SlidingWindow
            : MemoryKind.Dense;
        Vocab = new LlamaVocab(handle);
    }

    /// <summary>The library that runs it.</summary>
    public LlamaLibrary Library { get; }

    /// <summary>The file it came from.</summary>
    public string Path { get; }

    /// <summary>Its tokens.</summary>
    public LlamaVocab Vocab { get; }

    /// <summary>Architecture name, such as <c>qwen2</c>.</summary>
    public string Architecture => _file.Architecture;

    /// <summary>Context length the model was trained for, in tokens.</summary>
    public int TrainContextLength { get; }

    /// <summary>Width of the hidden state.</summary>
    public int EmbeddingLength { get; }

    /// <summary>Width of the embeddings it returns.</summary>
    public int OutputEmbeddingLength { get; }

    /// <summary>Number of layers.</summary>
    public int LayerCount { get; }

    /// <summary>Key/value heads of a layer (of the first one where layers differ).</summary>
    public int HeadCountKv { get; }

    /// <summary>Tokens that sliding-window layers look back; 0 where there are none.</summary>
    public int SlidingWindow { get; }

    /// <summary>Scores a reranking model gives a sequence.</summary>
    public int ClassCount { get; }

    /// <summary>What its file calls these scores, in their order; empty where it does not say so for each.</summary>
    public IReadOnlyList<string> ClassLabels { get; }

    /// <summary>Bytes of all tensors.</summary>
    public long SizeBytes { get; }

    /// <summary>Number of parameters.</summary>
    public long ParameterCount { get; }

    /// <summary>Architecture, size and quantization in a few words.</summary>
    public string Description { get; }

    /// <summary>The model's Jinja chat template, or null.</summary>
    public string? ChatTemplate { get; }

    /// <summary>What it keeps of past tokens.</summary>
    public MemoryKind MemoryKind { get; }

    /// <summary>True for models that need an encoding pass (T5).</summary>
    public bool HasEncoder { get; }

    /// <summary>True for models that generate.</summary>
    public bool HasDecoder { get; }

    /// <summary>Layers that were put on a GPU, the output layer included.</summary>
    public int GpuLayers { get; private init; }

    internal SafeLlamaModelHandle Handle { get; }

    /// <summary>Every tensor of its file by name; of a split model those of all parts.</summary>
    /// <exception cref="GgufException">Another part is damaged.</exception>
    /// <exception cref="IOException">Another part cannot be read.</exception>
    internal Dictionary<string, GgufTensor> TensorsByName()
    {
        Dictionary<string, GgufTensor> tensors = _file.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        for (int part = 2; part <= (_file.GetInteger("split.count") ?? 1); part++)
            foreach (GgufTensor tensor in GgufReader.Read(ModelFileCheck.PartOf(Path, part)).Tensors)
                tensors[tensor.Name] = tensor;
        return tensors;
    }

    /// <summary>Loads a model.</summary>
    /// <param name="library">The loaded llama.cpp.</param>
    /// <param name="path">A GGUF file; of a split model the first part.</param>
    /// <param name="options">How to load it.</param>
    /// <param name="progress">Told the fraction read, 0 to 1, on the loading thread.</param>
    /// <param name="cancellationToken">Stops loading at the next tensor.</param>
    /// <exception cref="LlamaException">The file is missing, damaged, not supported or too large; the message says which and what to do.</exception>
    /// <exception cref="OperationCanceledException">Loading was cancelled.</exception>
    public static LlamaModel Load(LlamaLibrary library, string path, LlamaModelOptions options, IProgress<float>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Load(library, ModelFacts.Read(path, library.Devices), options, progress, cancellationToken);
    }

    /// <summary>Loads a model whose headers were read.</summary>
    /// <exception cref="LlamaException">It is not supported, or too large; the message says which and what to do.</exception>
    /// <exception cref="OperationCanceledException">Loading was cancelled.</exception>
    public static LlamaModel Load(LlamaLibrary library, ModelFacts facts, LlamaModelOptions options, IProgress<float>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentNullException.ThrowIfNull(facts);
        ArgumentNullException.ThrowIfNull(options);
        if (library.GpuDevices.Count == 0)
            options = options with { GpuLayers = 0, TensorSplit = null, CpuExpertLayers = 0 };
        else if (options.GpuLayers is null || options.CpuExpertLayers is null)
        {
            int cells = Math.Min(facts.TrainContextLength, MemoryPlanner.LeastCells);
            options = MemoryPlanner.Plan(facts, library.Devices, new PlanRequest { Model = options, Context = new LlamaContextOptions { CellCount = cells }, Cells = cells }).Model;
        }

        int gpuLayers = Math.Min(options.GpuLayers!.Value, facts.Layers.Count + 1), cpuExperts = Math.Min(options.CpuExpertLayers!.Value, facts.ExpertLayers > 0 ? facts.Layers.Count : 0);
        SafeLlamaModelHandle handle = LoadNative(library, facts.Path, options with { GpuLayers = gpuLayers, CpuExpertLayers = cpuExperts }, allocates: true, progress, cancellationToken);
        try
        {
            return new LlamaModel(library, handle, facts.Header, facts.Path) { GpuLayers = gpuLayers };
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>The native model.</summary>
    /// <param name="allocates">Without, no weight is read and nothing is taken for them: such a model only tells what it would take.</param>
    internal static unsafe SafeLlamaModelHandle LoadNative(LlamaLibrary library, string path, LlamaModelOptions options, bool allocates, IProgress<float>? progress, CancellationToken cancellationToken)
    {
        LLamaModelParams parameters = LLamaModelParams.Default();
        parameters.n_gpu_layers = options.GpuLayers ?? 0;
        parameters.check_tensors = options.CheckTensors;
        parameters.split_mode = (GPUSplitMode)options.SplitMode;
        parameters.main_gpu = options.GpuLayers is > 0 ? options.MainGpu : 0;
        // Without a layer there, a GPU would still take memory, to compute large steps for the CPU (ggml's op_offload).
        int gpus = options.GpuLayers is > 0 ? library.GpuDevices.Count : 0;
        nint* devices = stackalloc nint[gpus + 1];
        for (int i = 0; i < gpus; i++)
            devices[i] = library.GpuDevices[i];
        devices[gpus] = 0;
        parameters.devices = devices;
        if (!allocates)
        {
            parameters.no_alloc = true;
            parameters.load_mode = LLamaLoadMode.None; // What is mapped, llama.cpp would have to allocate (llama_model_base::load_tensors asserts it).
        }

        // llama.cpp copies as many shares as it supports devices (llama_model's constructor).
        float* shares = stackalloc float[(int)NativeApi.llama_max_devices()];
        new Span<float>(shares, (int)NativeApi.llama_max_devices()).Clear();
        for (int i = 0; i < (options.TensorSplit?.Count ?? 0); i++)
            shares[i] = options.TensorSplit![i];
        if (options.TensorSplit is not null)
            parameters.tensor_split = shares;
        byte[] pattern = ExpertsOfFirst(options.CpuExpertLayers ?? 0);
        LLamaModelTensorBufferOverride* overrides = stackalloc LLamaModelTensorBufferOverride[2];
        overrides[1] = default;
        var watch = new LoadProgress(progress, cancellationToken);
        parameters.progress_callback = watch.Continue;
        NativeLog.ClearError();
        try
        {
            fixed (byte* name = pattern)
            {
                overrides[0] = new LLamaModelTensorBufferOverride { Pattern = name, BufferType = LlamaNative.ggml_backend_cpu_buffer_type() };
                if (pattern.Length > 0)
                    parameters.tensor_buft_overrides = overrides;
                return SafeLlamaModelHandle.LoadFromFile(path, parameters);
            }
        }
        catch (LoadWeightsFailedException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            string reason = NativeLog.LastError ?? "it gave no reason";
            throw new LlamaException($"llama.cpp {library.Version} cannot load {path}: {reason}; {NativeFailure.Advice(reason)}") { IsOutOfMemory = NativeFailure.IsOfMemory(reason) };
        }
        finally
        {
            GC.KeepAlive(parameters.progress_callback);
        }
    }

    /// <summary>The tensors of these layers' experts, as llama.cpp's --n-cpu-moe names them; ends with a zero, and is empty for none.</summary>
    private static byte[] ExpertsOfFirst(int layers) => layers == 0 ? []
        : System.Text.Encoding.UTF8.GetBytes($@"blk\.({string.Join('|', Enumerable.Range(0, layers))})\.ffn_(up|down|gate|gate_up)_(ch|)exps" + '\0');

    /// <summary>The type that most bytes of the tensors are stored as.</summary>
    public GgufTensorType MainTensorType => _file.Tensors.GroupBy(tensor => tensor.Type).MaxBy(group => group.Sum(tensor => tensor.SizeBytes))!.Key;

    /// <summary>Every metadata value but arrays: string, long, double or bool.</summary>
    public IEnumerable<KeyValuePair<string, object>> ScalarMetadata() => _file.Scalars();

    /// <summary>A metadata value as text, or null when the file has none under this key (arrays have none).</summary>
    public string? Metadata(string key) => _file.TryGetText(key, out string? text) ? text : null;

    /// <summary>
    /// Bytes of KV cache that one token takes over all attention layers. Sliding-window layers are counted as dense ones,
    /// recurrent layers not at all (their state has a fixed size per sequence).
    /// </summary>
    public long EstimateKvBytesPerToken(KvType typeK, KvType typeV) => KvBytesPerToken(_file, typeK, typeV);

    /// <summary>The same of a model that is not loaded, by its header.</summary>
    public static long KvBytesPerToken(GgufFile header, KvType typeK, KvType typeV) => ModelFacts.KvBytesPerToken(header, typeK, typeV);

    /// <summary>
    /// SHA-256 over what makes the model this one, whatever its file is called or when it was copied: length and header (metadata and tensor
    /// infos) of the file, and samples of the data. Weights changed only between the samples go unnoticed; quantizing or training changes all.
    /// </summary>
    /// <exception cref="LlamaException">The file is gone or cannot be read.</exception>
    public byte[] ContentHash()
    {
        const int Samples = 64;
        const int SampleBytes = 4096;
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            using SafeFileHandle file = File.OpenHandle(Path);
            long length = RandomAccess.GetLength(file);
            hash.AppendData(BitConverter.GetBytes(length));
            hash.AppendData(BitConverter.GetBytes(SizeBytes));
            byte[] buffer = new byte[1 << 20];
            long end = Math.Min(_file.DataOffset, length);
            for (long offset = 0; offset < end;)
            {
                int read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - offset)), offset);
                if (read == 0)
                    break;
                hash.AppendData(buffer, 0, read);
                offset += read;
            }
            for (int i = 0; i < Samples; i++)
            {
                long offset = end + ((length - end) * i / Samples);
                hash.AppendData(buffer, 0, RandomAccess.Read(file, buffer.AsSpan(0, SampleBytes), offset));
            }
            return hash.GetHashAndReset();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LlamaException($"{Path} cannot be read again to identify it: {e.Message}", e);
        }
    }

    /// <summary>Drops this reference; the memory goes with the last context.</summary>
    public void Dispose() => Handle.Dispose();

    private static unsafe string[] ReadLabels(SafeLlamaModelHandle handle, int count)
    {
        // A file names as many as it likes, and none of them need be there.
        const int MostLabels = 1024;
        if (count is < 1 or > MostLabels)
            return [];
        string[] labels = new string[count];
        for (int i = 0; i < count; i++)
        {
            if (Marshal.PtrToStringUTF8((nint)LlamaNative.llama_model_cls_label(handle, (uint)i)) is not { Length: > 0 } label)
                return [];
            labels[i] = label;
        }

        return labels;
    }

    private sealed class LoadProgress(IProgress<float>? progress, CancellationToken cancellationToken)
    {
        public bool Continue(float fraction, nint userData)
        {
            try
            {
                progress?.Report(fraction);
            }
            catch (Exception)
            {
                // A listener that throws must not unwind through native frames.
                return false;
            }

            return !cancellationToken.IsCancellationRequested;
        }
    }
}
