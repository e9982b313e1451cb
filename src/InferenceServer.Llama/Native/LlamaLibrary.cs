// Picks a backend, loads its build of llama.cpp once a process, and checks that it is the build this project was written against.
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

using InferenceServer.Llama.Native;

using Microsoft.Extensions.Logging;

namespace InferenceServer.Llama;

/// <summary>
/// The loaded llama.cpp. A process holds one: its libraries share names across backends and cannot be unloaded safely.
/// Safe to use from any thread.
/// </summary>
public sealed partial class LlamaLibrary
{
    private static readonly Lock LoadGate = new();
    private static LlamaLibrary? _loaded; // What the process holds; loading is irrevocable, so this is state of the process.

    private readonly NativePackage _package;
    private readonly NativeLog _log;
    private readonly nint _llama;
    private readonly nint _ggml;
    private readonly nint _ggmlBase;

    private LlamaLibrary(NativePackage package, string reason, ILogger logger)
    {
        _package = package;
        _log = new NativeLog(logger);
        Reason = reason;
        // Found by its file's directory ($ORIGIN), libllama brings its own libggml and libggml-base; the explicit loads only fetch handles.
        _llama = LoadFile(package.LlamaPath);
        _ggml = LoadFile(package.GgmlPath);
        _ggmlBase = LoadFile(package.GgmlBasePath);
    }

    /// <summary>The backend in use; never <see cref="LlamaBackend.Auto"/>.</summary>
    public LlamaBackend Backend { get; private set; }

    /// <summary>Backend and main device in a few words, such as <c>vulkan (NVIDIA L4)</c>.</summary>
    public string Description { get; private set; } = "";

    /// <summary>Why this backend was taken and the better ones were not.</summary>
    public string Reason { get; private set; }

    /// <summary>llama.cpp's version string.</summary>
    public string Version { get; private set; } = "";

    /// <summary>The devices of the backend with their memory at this moment.</summary>
    public IReadOnlyList<LlamaDevice> Devices => ReadDevices();

    internal NativeLog Log => _log;

    /// <summary>The GPUs to offload to, as native handles; empty on the CPU.</summary>
    internal IReadOnlyList<nint> GpuDevices { get; private set; } = [];

    /// <summary>Loads llama.cpp, or returns what an earlier call loaded when that is the backend asked for.</summary>
    /// <exception cref="LlamaException">No usable build; the message names the remedy.</exception>
    public static LlamaLibrary Load(LlamaLibraryOptions options, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(logger);
        lock (LoadGate)
        {
            if (_loaded is not null)
            {
                if (options.Backend is not LlamaBackend.Auto && options.Backend != _loaded.Backend)
                    throw new LlamaException($"this process already runs the {_loaded.Backend} backend; start another one for {options.Backend}");
                return _loaded;
            }

            string root = options.NativeDirectory ?? Path.Combine(AppContext.BaseDirectory, "native");
            (NativePackage package, string reason) = Choose(root, options.Backend);
            var library = new LlamaLibrary(package, reason, logger);
            library.Start(options.Backend);
            _loaded = library;
            return library;
        }
    }

    private static (NativePackage Package, string Reason) Choose(string root, LlamaBackend wanted)
    {
        if (wanted is not LlamaBackend.Auto)
        {
            return NativePackage.Find(root, wanted, out string? missing) is { } package
                ? (package, "asked for")
                : throw new LlamaException(missing!);
        }

        var reasons = new List<string>();
        if (NativePackage.Find(root, LlamaBackend.Cuda, out _) is not { } cuda)
            reasons.Add("no CUDA: its build is not installed");
        else if (GpuProbe.WhyNoCuda() is { } whyNoCuda)
            reasons.Add($"no CUDA: {whyNoCuda}");
        else
            return (cuda, "an NVIDIA GPU answers");

        if (NativePackage.Find(root, LlamaBackend.Vulkan, out _) is not { } vulkan)
            reasons.Add("no Vulkan: its build is not installed");
        else if (GpuProbe.VulkanDevices(out string? whyNoVulkan) is not { } devices)
            reasons.Add($"no Vulkan: {whyNoVulkan}");
        else if (devices.FirstOrDefault(d => d.IsHardware) is { } gpu)
            return (vulkan, string.Join("; ", [$"Vulkan lists {gpu.Name}", .. reasons]));
        else
            reasons.Add(devices.Count == 0 ? "no Vulkan: its drivers list no device" : $"no Vulkan: only a software device ({devices[0].Name})");

        return NativePackage.Find(root, LlamaBackend.Cpu, out string? problem) is { } cpu
            ? (cpu, string.Join("; ", reasons))
            : throw new LlamaException(problem!);
    }

    private unsafe void Start(LlamaBackend wanted)
    {
        NativeLibrary.SetDllImportResolver(typeof(LlamaLibrary).Assembly, Resolve);
        AbiCheck.Verify(_package.LlamaPath);
        Version = Marshal.PtrToStringUTF8((nint)LlamaNative.llama_version()) ?? "";

        _log.Attach();
        if (_package.Backend is LlamaBackend.Vulkan)
            UseSoftwareVulkanIfThereIsNoGpu();
        fixed (byte* directory = Encoding.UTF8.GetBytes(_package.Directory + '\0'))
            LlamaNative.ggml_backend_load_all_from_path(directory);
        LlamaNative.llama_backend_init();

        var gpus = new List<nint>();
        IReadOnlyList<LlamaDevice> devices = ReadDevices(gpus);
        if (!devices.Any(d => d.Type is LlamaDeviceType.Cpu))
            throw new LlamaException($"llama.cpp found no CPU backend in {_package.Directory}: delete native/node_modules and build again");

        GpuDevices = gpus;
        Backend = _package.Backend;
        if (gpus.Count == 0 && Backend is not LlamaBackend.Cpu)
        {
            string problem = $"{_package.Backend} offers no device ({_log.LastError ?? "its library did not start"})";
            if (wanted is not LlamaBackend.Auto)
                throw new LlamaException($"{problem}: install its driver, or use --backend cpu");
            Backend = LlamaBackend.Cpu;
            Reason = problem;
        }

        LlamaDevice main = devices.FirstOrDefault(d => d.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu) ?? devices.First(d => d.Type is LlamaDeviceType.Cpu);
        Description = $"{Backend.ToString().ToLowerInvariant()} ({main.Description})";
    }

    /// <summary>llama.cpp passes over software devices unless the environment names them; without a GPU, a Vulkan asked for means that one.</summary>
    private static void UseSoftwareVulkanIfThereIsNoGpu()
    {
        const string Variable = "GGML_VK_VISIBLE_DEVICES";
        if (Environment.GetEnvironmentVariable(Variable) is not null)
            return;
        IReadOnlyList<VulkanDevice> devices = GpuProbe.VulkanDevices(out string? whyNot)
            ?? throw new LlamaException($"--backend vulkan cannot start: {whyNot}; install one (Debian: libvulkan1 mesa-vulkan-drivers) or use --backend cpu");
        if (devices.Count == 0)
            throw new LlamaException("--backend vulkan cannot start: the Vulkan drivers list no device; install one (Debian: mesa-vulkan-drivers) or use --backend cpu");
        if (!devices.Any(d => d.IsHardware))
            SetNativeEnvironment(Variable, "0");
    }

    private static unsafe void SetNativeEnvironment(string name, string value)
    {
        Environment.SetEnvironmentVariable(name, value);
        if (OperatingSystem.IsWindows())
            return;
        // On Unix the runtime keeps its own copy of the environment, which getenv in native code does not see.
        var setenv = (delegate* unmanaged[Cdecl]<byte*, byte*, int, int>)NativeLibrary.GetExport(NativeLibrary.GetMainProgramHandle(), "setenv");
        fixed (byte* key = Encoding.UTF8.GetBytes(name + '\0'), text = Encoding.UTF8.GetBytes(value + '\0'))
            setenv(key, text, 1);
    }

    private unsafe List<LlamaDevice> ReadDevices(List<nint>? gpus = null)
    {
        var devices = new List<LlamaDevice>();
        nuint count = LlamaNative.ggml_backend_dev_count();
        for (nuint i = 0; i < count; i++)
        {
            nint device = LlamaNative.ggml_backend_dev_get(i);
            GgmlBackendDevProps props = default;
            LlamaNative.ggml_backend_dev_get_props(device, &props);
            var type = (LlamaDeviceType)props.type;
            if (type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu)
                gpus?.Add(device);
            devices.Add(new LlamaDevice(
                Marshal.PtrToStringUTF8((nint)props.name) ?? "", (Marshal.PtrToStringUTF8((nint)props.description) ?? "").Trim(), type,
                (long)props.memory_free, (long)props.memory_total));
        }

        return devices;
    }

    private static nint LoadFile(string path)
    {
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (Exception failure) when (failure is DllNotFoundException or BadImageFormatException)
        {
            string cause = failure.Message.ReplaceLineEndings(" ").Trim();
            throw new LlamaException($"cannot load {path}: {cause}; delete native/node_modules and build again, or choose another --backend", failure);
        }
    }

    private nint Resolve(string libraryName, Assembly assembly, DllImportSearchPath? searchPath) => libraryName switch
    {
        LlamaNative.Llama => _llama,
        LlamaNative.Ggml => _ggml,
        LlamaNative.GgmlBase => _ggmlBase,
        _ => 0,
    };
}
