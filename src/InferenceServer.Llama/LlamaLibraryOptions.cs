namespace InferenceServer.Llama;

/// <summary>Which build of llama.cpp runs the model.</summary>
public enum LlamaBackend
{
    /// <summary>CUDA, then Vulkan on a real GPU, then the CPU: the first that is installed and has a device.</summary>
    Auto,

    /// <summary>The CPU alone.</summary>
    Cpu,

    /// <summary>Vulkan; a software device serves where there is no GPU.</summary>
    Vulkan,

    /// <summary>CUDA 13.</summary>
    Cuda,
}

/// <summary>How to load llama.cpp.</summary>
public sealed record LlamaLibraryOptions
{
    /// <summary>The backend to use; anything but <see cref="LlamaBackend.Auto"/> fails when it cannot be had.</summary>
    public LlamaBackend Backend { get; init; } = LlamaBackend.Auto;

    /// <summary>The folder that holds one folder per native package; by default <c>native</c> beside the program.</summary>
    public string? NativeDirectory { get; init; }
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
public sealed record LlamaDevice(string Name, string Description, LlamaDeviceType Type, long FreeBytes, long TotalBytes);
