// Which backend a process runs: what is installed, what the drivers list, and what has shown that it computes.
using Microsoft.Extensions.Logging;

namespace InferenceServer.Llama.Native;

/// <summary>Chooses among the installed builds. Every choice comes with the reason for it and against the better ones.</summary>
internal static class BackendChoice
{
    private static readonly LlamaBackend[] Gpus = [LlamaBackend.Cuda, LlamaBackend.Vulkan, LlamaBackend.Metal];

    /// <exception cref="LlamaException">Not even the CPU's build is installed.</exception>
    public static (NativeBuild Build, string Reason) Best(LlamaLibraryOptions options, ILogger logger)
    {
        var reasons = new List<string>();
        foreach (LlamaBackend gpu in Gpus)
        {
            if (NativeBuild.Find(options.Directory, gpu, options.Source, out _) is not { } build)
            {
                if (gpu is not LlamaBackend.Metal)
                    reasons.Add($"no {Name(gpu)}: its build is not installed");
            }
            else if (Device(build, acceptSoftware: false, out string? problem) is not { } device)
                reasons.Add($"no {Name(gpu)}: {problem}");
            else if (options.Trial?.WhyNot(build, device.Driver, again: false, logger) is { } whyNot)
                reasons.Add($"no {Name(gpu)}: it does not compute on {device.Name}: {whyNot}{Remedy(build, device)}");
            else
                return (build, string.Join("; ", [$"{Name(gpu)} {(options.Trial is null ? "lists" : "computes on")} {device.Name}", .. reasons]));
        }

        return NativeBuild.Find(options.Directory, LlamaBackend.Cpu, options.Source, out string? missing) is { } cpu
            ? (cpu, string.Join("; ", reasons))
            : throw new LlamaException(missing!);
    }

    /// <exception cref="LlamaException">The backend cannot be had; the message says why and what would help.</exception>
    public static (NativeBuild Build, string Reason) Named(LlamaLibraryOptions options, ILogger logger)
    {
        LlamaBackend wanted = options.Backend;
        NativeBuild build = NativeBuild.Find(options.Directory, wanted, options.Source, out string? missing) ?? throw new LlamaException(missing!);
        if (wanted is LlamaBackend.Cpu)
            return (build, "asked for");
        GpuDevice device = Device(build, acceptSoftware: true, out string? problem)
            ?? throw new LlamaException($"--backend {wanted.ToString().ToLowerInvariant()} cannot start: {problem}; install its driver, or use --backend cpu");
        return options.Trial?.WhyNot(build, device.Driver, again: true, logger) is not { } whyNot
            ? (build, "asked for")
            : throw new LlamaException($"--backend {wanted.ToString().ToLowerInvariant()} does not compute on {device.Name}: {whyNot}{Remedy(build, device)}, or use --backend cpu");
    }

    /// <summary>What the driver lists; null, and why nothing can be expected of it.</summary>
    private static GpuDevice? Device(NativeBuild build, bool acceptSoftware, out string? problem)
    {
        problem = null;
        switch (build.Backend)
        {
            case LlamaBackend.Cuda:
                if (GpuProbe.Cuda(out problem) is not { } cuda)
                    return null;
                if (GpuProbe.MissingCudaRuntime(build.NeededCuda.Major) is { } library)
                {
                    problem = $"the CUDA {build.NeededCuda.Major} runtime is missing ({library})";
                    return null;
                }

                return new GpuDevice(cuda.Devices[0], $"CUDA {cuda.Version} of {string.Join(", ", cuda.Devices)}", cuda.Version);
            case LlamaBackend.Vulkan:
                if (GpuProbe.VulkanDevices(out problem) is not { } devices)
                {
                    problem = $"{problem} (Debian: libvulkan1 mesa-vulkan-drivers)";
                    return null;
                }

                VulkanDevice? device = devices.FirstOrDefault(d => d.IsHardware) ?? (acceptSoftware && devices.Count > 0 ? devices[0] : null);
                if (device is null)
                    problem = devices.Count == 0 ? "its drivers list no device (Debian: mesa-vulkan-drivers)" : $"only a software device ({devices[0].Name})";
                return device is null ? null : new GpuDevice(device.Name, $"driver {device.DriverVersion:x} of {string.Join(", ", devices.Select(d => d.Name))}", null);
            default:
                return new GpuDevice("this Mac", $"{Environment.OSVersion}", null);
        }
    }

    private static string Name(LlamaBackend backend) => backend is LlamaBackend.Cuda ? "CUDA" : backend.ToString();

    private static string Remedy(NativeBuild build, GpuDevice device) => device.Cuda is { } spoken && spoken < build.NeededCuda
        ? $"; the NVIDIA driver speaks CUDA {spoken} and this build wants {build.NeededCuda}: update the driver"
        : "; update the driver";

    /// <param name="Name">The first device's.</param>
    /// <param name="Driver">What a trial's result depends on.</param>
    /// <param name="Cuda">The newest CUDA that the driver speaks; null elsewhere.</param>
    private sealed record GpuDevice(string Name, string Driver, Version? Cuda);
}
