// Picks a backend, has LLamaSharp load its build of llama.cpp once a process, and checks that it is a build this project was written against.
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

using InferenceServer.Llama.Native;

using LLama.Native;

using Microsoft.Extensions.Logging;

namespace InferenceServer.Llama;

/// <summary>
/// The loaded llama.cpp. A process holds one: its libraries share names across backends and cannot be unloaded safely.
/// Safe to use from any thread.
/// </summary>
public sealed class LlamaLibrary
{
    private static readonly Lock LoadGate = new();
    private static LlamaLibrary? _loaded; // What the process holds; loading is irrevocable, so this is state of the process.

    private NativeBuild _build;

    private LlamaLibrary(NativeBuild build, string reason, ILogger logger)
    {
        _build = build;
        Log = new NativeLog(logger);
        Reason = reason;
    }

    /// <summary>The backend in use; never <see cref="LlamaBackend.Auto"/>.</summary>
    public LlamaBackend Backend { get; private set; }

    /// <summary>Which packages its libraries came from.</summary>
    public NativeSource Source => _build.Source;

    /// <summary>Backend and main device in a few words, such as <c>vulkan (NVIDIA L4)</c>.</summary>
    public string Description { get; private set; } = "";

    /// <summary>Why this backend was taken and the better ones were not.</summary>
    public string Reason { get; private set; }

    /// <summary>llama.cpp's release or commit.</summary>
    public string Version { get; private set; } = "";

    /// <summary>The devices of the backend with their memory at this moment.</summary>
    public IReadOnlyList<LlamaDevice> Devices => ReadDevices();

    /// <summary>Those of them that models can be offloaded to, in llama.cpp's order: GPUs, or where there are none, GPUs that share the host's memory.</summary>
    public IReadOnlyList<LlamaDevice> Gpus => GpuDevices.Count == 0 ? [] : LlamaDevice.Gpus(Devices);

    internal NativeLog Log { get; }

    internal NativeBuild Build => _build;

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

            (NativeBuild build, string reason) = options.Backend is LlamaBackend.Auto ? BackendChoice.Best(options, logger) : BackendChoice.Named(options, logger);
            var library = new LlamaLibrary(build, reason, logger);
            library.Start();
            _loaded = library;
            return library;
        }
    }

    /// <summary>
    /// What the calling thread does when llama.cpp gives up in one of its calls. The handler runs there with the cause, and the call never
    /// returns: nothing that belongs to it may be used again. Without a handler the process ends with a line that says why.
    /// </summary>
    public static void OnGivingUp(Action<string> handler) => NativeFailure.OnThisThread(handler);

    private unsafe void Start()
    {
        if (_build.Source is NativeSource.NuGet)
        {
            OpenMp.Prepare();
            NativeLibraryConfig.LLama.WithSelectingPolicy(new NuGetLibraries(_build.Root, _build.Backend)).WithSearchDirectory(_build.Root);
        }
        else
        {
            LoadFile(_build.LlamaPath); // Before the bridge, so that its own calls find its own functions and not the bridge's.
            NativeLibraryConfig.LLama.WithLibrary(_build.BridgePath);
        }

        NativeLibraryConfig.LLama.WithAutoFallback(false).WithLogCallback(Log.OnNativeLog);
        if (_build.Backend is LlamaBackend.Vulkan)
            UseSoftwareVulkanIfThereIsNoGpu();
        try
        {
            NativeApi.llama_empty_call();
        }
        catch (TypeInitializationException failure)
        {
            LoadFile(_build.GgmlPath); // Says what the loader said, which LLamaSharp does not.
            LoadFile(_build.LlamaPath);
            throw new LlamaException($"LLamaSharp cannot load {_build.LlamaPath}: {failure.GetBaseException().Message.ReplaceLineEndings(" ")}", failure);
        }

        _build = _build.WhereLoaded();
        nint llama = LoadFile(_build.BridgePath), ggml = LoadFile(_build.GgmlPath), ggmlBase = LoadFile(_build.GgmlBasePath);
        NativeLibrary.SetDllImportResolver(typeof(LlamaLibrary).Assembly, (name, _, _) => name switch
        {
            LlamaNative.Llama => llama,
            LlamaNative.Ggml => ggml,
            LlamaNative.GgmlBase => ggmlBase,
            _ => 0,
        });
        Version = AbiCheck.Verify(_build);
        NativeFailure.Attach();
        if (_build.Source is NativeSource.Npm)
            fixed (byte* directory = Encoding.UTF8.GetBytes(_build.Directory + '\0'))
                LlamaNative.ggml_backend_load_all_from_path(directory);
        FindDevices();
    }

    private void FindDevices()
    {
        List<nint> handles = [];
        List<LlamaDevice> devices = ReadDevices(handles);
        // Beside a card, a GPU that shares the host's memory would slow every step down; llama.cpp leaves it out, too.
        IReadOnlyList<LlamaDevice> offload = LlamaDevice.Gpus(devices);
        List<nint> gpus = [.. handles.Where((_, index) => offload.Contains(devices[index]))];
        if (!devices.Any(d => d.Type is LlamaDeviceType.Cpu))
            throw new LlamaException($"llama.cpp found no CPU backend in {_build.Directory}: build again");
        Backend = _build.Backend;
        if (Backend is not LlamaBackend.Cpu)
            GpuDevices = gpus.Count > 0 ? gpus : throw new LlamaException(
                $"{Backend} offers no device ({NativeLog.LastError ?? "its library did not start"}): install its driver, or use --backend cpu");
        LlamaDevice main = GpuDevices.Count > 0 ? offload[0] : devices.First(d => d.Type is LlamaDeviceType.Cpu);
        Description = $"{Backend.ToString().ToLowerInvariant()} ({main.Description})";
    }

    /// <summary>llama.cpp passes over software devices unless the environment names them; without a GPU, a Vulkan asked for means that one.</summary>
    private static void UseSoftwareVulkanIfThereIsNoGpu()
    {
        if (GpuProbe.VulkanDevices(out _) is { } devices && !devices.Any(d => d.IsHardware))
            NativeEnvironment.SetDefault("GGML_VK_VISIBLE_DEVICES", "0");
    }

    private static unsafe List<LlamaDevice> ReadDevices(List<nint>? handles = null)
    {
        var devices = new List<LlamaDevice>();
        nuint count = LlamaNative.ggml_backend_dev_count();
        for (nuint i = 0; i < count; i++)
        {
            nint device = LlamaNative.ggml_backend_dev_get(i);
            GgmlBackendDevProps props = default;
            LlamaNative.ggml_backend_dev_get_props(device, &props);
            var type = (LlamaDeviceType)props.type;
            handles?.Add(device);
            (long free, long total) = ((long)props.memory_free, (long)props.memory_total);
            if (type is LlamaDeviceType.Cpu)
            {
                total = Math.Min(total, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes); // A container's limit.
                free = Math.Min(total, FreeHostBytes(free));
            }

            devices.Add(new LlamaDevice(Marshal.PtrToStringUTF8((nint)props.name) ?? "", (Marshal.PtrToStringUTF8((nint)props.description) ?? "").Trim(), type, free, total));
        }

        return devices;
    }

    /// <summary>On Linux and on Macs llama.cpp calls all of the host's memory free.</summary>
    private static long FreeHostBytes(long told)
    {
        const string Table = "/proc/meminfo", Name = "MemAvailable:";
        if (!OperatingSystem.IsLinux() || !File.Exists(Table))
            return told;
        string? line = File.ReadLines(Table).FirstOrDefault(line => line.StartsWith(Name, StringComparison.Ordinal));
        return line is not null && long.TryParse(line.AsSpan(Name.Length).Trim(" kB"), NumberStyles.None, CultureInfo.InvariantCulture, out long kilobytes) ? kilobytes * 1024 : told;
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
            throw new LlamaException($"cannot load {path}: {cause}; build again, or choose another --backend", failure);
        }
    }
}
