namespace InferenceServer.Llama.Placement;

/// <summary>What is to be planned. What is null is for the plan to say.</summary>
public sealed record PlanRequest
{
    /// <summary>How the model is to be loaded, as far as that was decided.</summary>
    public LlamaModelOptions Model { get; init; } = new();

    /// <summary>How it will compute; its cells are for the plan to say.</summary>
    public required LlamaContextOptions Context { get; init; }

    /// <summary>Cells of the KV pool; null for what fits.</summary>
    public int? Cells { get; init; }

    /// <summary>Whole contexts that the pool is to hold where there is room.</summary>
    public int Contexts { get; init; } = 1;

    /// <summary>What is loaded beside the model: on the first GPU, else in host memory.</summary>
    public long ReservedBytes { get; init; }

    /// <summary>Most bytes that the model may take in all, wherever they lie.</summary>
    public long? MemoryLimit { get; init; }
}

/// <summary>What a device will hold.</summary>
/// <param name="Name">llama.cpp's name of it.</param>
/// <param name="FreeBytes">As it was when asked, or as it was limited.</param>
/// <param name="Layers">Layers there, the output layer counted as one.</param>
/// <param name="KvBytes">The KV pool's part, and states of sequences.</param>
/// <param name="ComputeBytes">What is computed in.</param>
/// <param name="ReservedBytes">For models that are loaded beside.</param>
/// <param name="MarginBytes">What is left free for what nobody foresees.</param>
public sealed record DevicePlan(string Name, LlamaDeviceType Type, long FreeBytes, long TotalBytes, int Layers, long WeightBytes, long KvBytes, long ComputeBytes, long ReservedBytes, long MarginBytes)
{
    /// <summary>What the model takes.</summary>
    public long UsedBytes => WeightBytes + KvBytes + ComputeBytes;

    /// <summary>Whether that fits.</summary>
    public bool Fits => Layers == 0 && Type is not LlamaDeviceType.Cpu || UsedBytes + ReservedBytes + MarginBytes <= FreeBytes;
}

/// <summary>Where a model will lie.</summary>
/// <param name="Model">How to load it: nothing is null.</param>
/// <param name="Context">How to make its context: with the cells that it gets.</param>
/// <param name="Devices">The GPUs, then the host.</param>
/// <param name="Contexts">Whole contexts of the model that the pool holds.</param>
/// <param name="Why">What the operator should know of the choice, in sentences.</param>
/// <param name="SecondsPerToken">By a model of memory alone, to compare plans: see <see cref="MemoryPlanner"/>.</param>
public sealed record MemoryPlan(LlamaModelOptions Model, LlamaContextOptions Context, IReadOnlyList<DevicePlan> Devices, int LayerCount, double Contexts, IReadOnlyList<string> Why, double SecondsPerToken)
{
    /// <summary>Layers on GPUs, the output layer counted as one; <see cref="LayerCount"/> counts it, too.</summary>
    public int GpuLayers => Model.GpuLayers ?? 0;

    /// <summary>Whether every device has room for its part.</summary>
    public bool Fits => Devices.All(device => device.Fits);

    /// <summary>Whether llama.cpp lets the GPUs compute several micro-batches in turn: llama_context's pipeline_parallel.</summary>
    internal bool IsPipelined => GpuLayers == LayerCount && Model.SplitMode is SplitMode.Layer && Gpus.Count() > 1 && Model.CpuExpertLayers == 0 && Context.OffloadKv;

    /// <summary>The host's part.</summary>
    public DevicePlan Host => Devices[^1];

    /// <summary>Those of the GPUs.</summary>
    public IEnumerable<DevicePlan> Gpus => Devices.SkipLast(1);
}
