namespace InferenceServer.Llama;

/// <summary>How layers lie on several GPUs; llama_split_mode.</summary>
public enum SplitMode
{
    /// <summary>On the main one alone.</summary>
    None = 0,

    /// <summary>Each layer on one of them, with its part of the KV cache.</summary>
    Layer = 1,

    /// <summary>Each matrix in parts on all of them, where the backend can; the KV cache on the main one.</summary>
    Row = 2,
}

/// <summary>How to load a model.</summary>
public sealed record LlamaModelOptions
{
    /// <summary>Layers to put on the GPU, counting the output layer as one; null for all that fit. Without effect on the CPU backend.</summary>
    public int? GpuLayers { get; init; }

    /// <summary>How they lie on several GPUs.</summary>
    public SplitMode SplitMode { get; init; } = SplitMode.Layer;

    /// <summary>Each GPU's share of them; null for what fits.</summary>
    public IReadOnlyList<float>? TensorSplit { get; init; }

    /// <summary>The GPU that has all where nothing is split, and small tensors and the KV cache where rows are.</summary>
    public int MainGpu { get; init; }

    /// <summary>Layers, from the first on, whose experts stay on the CPU; null for as few as must.</summary>
    public int? CpuExpertLayers { get; init; }

    /// <summary>Whether to check every tensor's values; reads the whole file before the first token.</summary>
    public bool CheckTensors { get; init; }
}

/// <summary>What a model keeps of the tokens it has seen; decides how prefixes can be shared.</summary>
public enum MemoryKind
{
    /// <summary>Every layer keeps every position: any prefix can be shared or cut.</summary>
    Dense,

    /// <summary>Some layers keep only the last positions: going back past the window needs a saved partial state.</summary>
    SlidingWindow,

    /// <summary>One state that is overwritten with each token: going back at all needs a saved partial state.</summary>
    Recurrent,

    /// <summary>Dense and recurrent layers together: the dense part can be cut, the recurrent part needs a saved partial state.</summary>
    Hybrid,
}

#pragma warning disable CA1707 // ggml.s own names.
/// <summary>How the KV cache stores numbers: the ggml types that attention can read, with their numbers.</summary>
public enum KvType
{
    /// <summary>32-bit float.</summary>
    F32 = 0,

    /// <summary>16-bit float; the default.</summary>
    F16 = 1,

    /// <summary>bfloat16.</summary>
    BF16 = 30,

    /// <summary>8.5 bits a value.</summary>
    Q8_0 = 8,

    /// <summary>6 bits a value.</summary>
    Q5_1 = 7,

    /// <summary>5.5 bits a value.</summary>
    Q5_0 = 6,

    /// <summary>5 bits a value.</summary>
    Q4_1 = 3,

    /// <summary>4.5 bits a value.</summary>
    Q4_0 = 2,

    /// <summary>4.5 bits a value, non-linear.</summary>
    IQ4_NL = 20,
}
