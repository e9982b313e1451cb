namespace InferenceServer.Llama;

/// <summary>What computes.</summary>
public enum LlamaBackend
{
    /// <summary>CUDA, then Vulkan on a real GPU, then Metal, then the CPU: the first that is installed and computes a token.</summary>
    Auto,

    /// <summary>The CPU alone.</summary>
    Cpu,

    /// <summary>Vulkan; a software device serves where there is no GPU.</summary>
    Vulkan,

    /// <summary>CUDA: 12 with NuGet's libraries, 13 with npm's.</summary>
    Cuda,

    /// <summary>Metal, on Macs with Apple's processors.</summary>
    Metal,
}

/// <summary>Which packages llama.cpp comes from.</summary>
public enum NativeSource
{
    /// <summary>LLamaSharp's own, from NuGet.</summary>
    NuGet,

    /// <summary>A newer release, from npm.</summary>
    Npm,
}

/// <summary>How to load llama.cpp.</summary>
public sealed record LlamaLibraryOptions
{
    /// <summary>The backend to use; anything but <see cref="LlamaBackend.Auto"/> fails when it cannot be had.</summary>
    public LlamaBackend Backend { get; init; } = LlamaBackend.Auto;

    /// <summary>Which packages' libraries to use; null for those that have the backend, NuGet's first.</summary>
    public NativeSource? Source { get; init; }

    /// <summary>The folder with NuGet's libraries in <c>runtimes</c> and npm's in <c>native</c>; by default the program's.</summary>
    public string Directory { get; init; } = AppContext.BaseDirectory;

    /// <summary>
    /// Tries a GPU in a process of its own before this one depends on it: a device that fails takes its process along. Null where this program
    /// cannot be started for it (its entry point does not call <see cref="BackendTrial.Answer"/>); then a GPU that lists itself is taken.
    /// </summary>
    public BackendTrial? Trial { get; init; }
}

/// <summary>What a device computes with.</summary>
public enum LlamaDeviceType
{
    /// <summary>The processor and its memory.</summary>
    Cpu = 0,

    /// <summary>A GPU with memory of its own.</summary>
    Gpu = 1,

    /// <summary>A GPU that shares the host's memory.</summary>
    IntegratedGpu = 2,

    /// <summary>A helper of the CPU backend, such as BLAS or AMX.</summary>
    Accelerator = 3,

    /// <summary>Several devices acting as one.</summary>
    Meta = 4,
}

/// <summary>A device as it was when asked.</summary>
/// <param name="Name">llama.cpp's name, such as <c>CPU</c>, <c>Vulkan0</c>, <c>CUDA0</c>.</param>
/// <param name="Description">The maker's name.</param>
/// <param name="Type">What kind of device it is.</param>
/// <param name="FreeBytes">Memory free at that moment.</param>
/// <param name="TotalBytes">Memory in all.</param>
public sealed record LlamaDevice(string Name, string Description, LlamaDeviceType Type, long FreeBytes, long TotalBytes)
{
    /// <summary>Those of some devices that models can be offloaded to: GPUs, or where there are none, GPUs that share the host's memory.</summary>
    public static IReadOnlyList<LlamaDevice> Gpus(IEnumerable<LlamaDevice> devices)
    {
        ILookup<LlamaDeviceType, LlamaDevice> byType = devices.ToLookup(device => device.Type);
        return [.. byType[byType.Contains(LlamaDeviceType.Gpu) ? LlamaDeviceType.Gpu : LlamaDeviceType.IntegratedGpu]];
    }
}
