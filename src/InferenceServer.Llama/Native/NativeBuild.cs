// Where the libraries of a backend lie, and why they cannot be used when they cannot.
using System.Runtime.InteropServices;

using LLama.Abstractions;
using LLama.Native;

namespace InferenceServer.Llama.Native;

/// <summary>A build of llama.cpp that is installed for one backend.</summary>
/// <param name="Directory">The folder of libllama, libggml and libggml-base; of a NuGet build the one for the processor, known after loading.</param>
internal sealed record NativeBuild(LlamaBackend Backend, NativeSource Source, string Root, string Directory)
{
    /// <summary>The release that the npm packages carry; part of their files' names.</summary>
    public const string NpmRelease = "0.5.0";

    /// <summary>ggml's version and commit in LLamaSharp 0.30.0's packages: its structs are of this commit.</summary>
    public const string NuGetGgml = "0.18.0", NuGetCommit = "815a2a591";

    /// <summary>What CUDA the driver must speak: npm's library holds PTX 9.1, which is CUDA 13.1's; a CUDA 12 library runs with any driver of 12.</summary>
    public Version NeededCuda => Source is NativeSource.Npm ? new Version(13, 1) : new Version(12, 0);

    /// <summary>Of npm's libraries the file names differ by backend.</summary>
    public string LlamaPath => Path.Combine(Directory, FileName(Source is NativeSource.Npm ? $"llama{NpmSuffix}" : "llama"));

    public string GgmlPath => Path.Combine(Directory, FileName(Source is NativeSource.Npm ? $"ggml{NpmSuffix}" : "ggml"));

    public string GgmlBasePath => Path.Combine(Directory, FileName("ggml-base"));

    /// <summary>LLamaSharp's form of npm's libllama: native/bridge.c, compiled with the build.</summary>
    public string BridgePath => Path.Combine(Directory, FileName("llama"));

    /// <summary>The library of the backend itself.</summary>
    public string DevicePath => Path.Combine(Directory, FileName($"ggml-{Backend.ToString().ToLowerInvariant()}"));

    // What LLamaSharp finds out of Vulkan and CUDA takes a process or two, and GpuProbe knows more.
    private static SystemInfo ThisSystem => new(
        OperatingSystem.IsWindows() ? OSPlatform.Windows : OperatingSystem.IsMacOS() ? OSPlatform.OSX : OSPlatform.Linux, CudaMajorVersion: -1, VulkanVersion: "");

    private string NpmSuffix => Backend is LlamaBackend.Cpu ? $".v{NpmRelease}" : $".{Backend.ToString().ToLowerInvariant()}.v{NpmRelease}";

    /// <summary>The build for a backend, NuGet's before npm's; null, and in one line what is missing and what to do.</summary>
    public static NativeBuild? Find(string root, LlamaBackend backend, NativeSource? source, out string? problem)
    {
        problem = null;
        if (source is not NativeSource.Npm && NuGetLibraries.Find(root, backend, ThisSystem).FirstOrDefault().Path is { } path)
            return new NativeBuild(backend, NativeSource.NuGet, root, Path.GetDirectoryName(path)!);
        if (source is not NativeSource.NuGet && NpmFolder(backend) is { } folder)
        {
            var npm = new NativeBuild(backend, NativeSource.Npm, root, Path.Combine(root, "native", folder));
            if (File.Exists(npm.LlamaPath) && File.Exists(npm.BridgePath))
                return npm;
        }

        string key = backend.ToString().ToLowerInvariant();
        problem = backend switch
        {
            LlamaBackend.Cpu => $"no CPU build of llama.cpp for {RuntimeInformation.RuntimeIdentifier} lies in {root}: build again, or publish with -r {RuntimeInformation.RuntimeIdentifier}",
            LlamaBackend.Metal => "Metal is for Macs with Apple's processors; use --backend cpu",
            _ when NpmFolder(backend) is null && !OperatingSystem.IsWindows() =>
                $"no {key} build of llama.cpp is published for {RuntimeInformation.RuntimeIdentifier}; use --backend cpu",
            LlamaBackend.Cuda => $"the cuda build of llama.cpp is not installed in {root}; build with -p:LlamaBackend=cuda12, or with -p:LlamaNatives=npm+cuda",
            _ => $"the {key} build of llama.cpp is not installed in {root}; build with -p:LlamaBackend={key}, or with -p:LlamaNatives=npm+{key}",
        };
        return null;
    }

    /// <summary>The folder of the library that LLamaSharp chose for this processor; called after loading.</summary>
    public NativeBuild WhereLoaded() => Source is NativeSource.Npm ? this : this with
    {
        Directory = Path.GetDirectoryName(Path.GetFullPath(NativeApi.GetLoadedNativeLibrary(NativeLibraryName.LLama)!.Prepare(ThisSystem, null).First(), Root))!,
    };

    /// <summary>The npm package's folder, such as linux-x64-vulkan; null where none of this release is published.</summary>
    private static string? NpmFolder(LlamaBackend backend) => !OperatingSystem.IsLinux() ? null : (RuntimeInformation.ProcessArchitecture, backend) switch
    {
        (Architecture.X64, LlamaBackend.Cpu) => "linux-x64",
        (Architecture.Arm64, LlamaBackend.Cpu) => "linux-arm64",
        (Architecture.X64, LlamaBackend.Vulkan or LlamaBackend.Cuda) => $"linux-x64-{backend.ToString().ToLowerInvariant()}",
        _ => null,
    };

    private static string FileName(string library) =>
        OperatingSystem.IsWindows() ? $"{library}.dll" : OperatingSystem.IsMacOS() ? $"lib{library}.dylib" : $"lib{library}.so";
}

/// <summary>
/// LLamaSharp's choice among its packages' libraries, held to one backend and to files that are there: by itself it would also look into the
/// working folder, and load what lies there.
/// </summary>
internal sealed class NuGetLibraries(string root, LlamaBackend backend) : INativeLibrarySelectingPolicy
{
    /// <inheritdoc />
    public IEnumerable<INativeLibrary> Apply(NativeLibraryConfig.Description description, SystemInfo systemInfo, NativeLogConfig.LLamaLogCallback? logCallback) =>
        Find(root, backend, systemInfo, description.AvxLevel).Select(found => found.Library);

    /// <summary>What is installed for a backend, best first.</summary>
    public static IEnumerable<(INativeLibrary Library, string Path)> Find(string root, LlamaBackend backend, SystemInfo system, AvxLevel level = AvxLevel.Avx512) =>
        from library in Candidates(backend, level)
        from path in library.Prepare(system, null)
        let full = Path.GetFullPath(path, root)
        where File.Exists(full)
        select (library, full);

    private static IEnumerable<INativeLibrary> Candidates(LlamaBackend backend, AvxLevel level)
    {
        switch (backend)
        {
            case LlamaBackend.Cuda:
                yield return new NativeLibraryWithCuda(12, NativeLibraryName.LLama, level, skipCheck: false);
                break;
            case LlamaBackend.Vulkan:
                yield return new NativeLibraryWithVulkan("", NativeLibraryName.LLama, level, skipCheck: false);
                break;
            case LlamaBackend.Metal when !OperatingSystem.IsMacOS() || RuntimeInformation.ProcessArchitecture != Architecture.Arm64:
                break;
            default:
                for (AvxLevel each = level; each > AvxLevel.None; each--)
                    yield return new NativeLibraryWithAvx(NativeLibraryName.LLama, each, skipCheck: false);
                yield return new NativeLibraryWithAvx(NativeLibraryName.LLama, AvxLevel.None, skipCheck: false);
                yield return new NativeLibraryWithMacOrFallback(NativeLibraryName.LLama);
                break;
        }
    }
}
