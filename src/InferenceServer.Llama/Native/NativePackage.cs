// Where the libraries of a backend lie, and why they cannot be used when they cannot.
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>The files of one npm package, found below the native directory.</summary>
internal sealed record NativePackage(LlamaBackend Backend, string Directory, string LlamaPath, string GgmlPath, string GgmlBasePath)
{
    /// <summary>The release whose header the mirrors in this project follow; part of the file names of every package.</summary>
    public const string Release = "0.5.0";

    /// <summary>The package folder for <paramref name="backend"/> on this machine, such as linux-x64-vulkan; null where none is published.</summary>
    public static string? NameFor(LlamaBackend backend)
    {
        string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "mac" : "linux";
        string architecture = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64" : "x64";
        bool x64 = architecture == "x64" && system != "mac";
        return backend switch
        {
            LlamaBackend.Cpu => system == "mac" && architecture == "arm64" ? "mac-arm64-metal" : $"{system}-{architecture}",
            LlamaBackend.Vulkan => x64 ? $"{system}-x64-vulkan" : null,
            LlamaBackend.Cuda => x64 ? $"{system}-x64-cuda" : null,
            _ => throw new ArgumentOutOfRangeException(nameof(backend), backend, "a package belongs to one backend"),
        };
    }

    /// <summary>Finds the package's three libraries, or says in one line what is wrong and what to do.</summary>
    public static NativePackage? Find(string root, LlamaBackend backend, out string? problem)
    {
        string key = backend.ToString().ToLowerInvariant();
        if (NameFor(backend) is not { } name)
        {
            problem = $"no {key} build of llama.cpp is published for {RuntimeInformation.RuntimeIdentifier}; use --backend cpu";
            return null;
        }

        string directory = Path.Combine(root, name);
        string suffix = backend is LlamaBackend.Vulkan or LlamaBackend.Cuda ? $".{key}" : name.EndsWith("-metal", StringComparison.Ordinal) ? ".metal" : "";
        string llama = Path.Combine(directory, FileName($"llama{suffix}.v{Release}"));
        if (!File.Exists(llama))
        {
            string other = System.IO.Directory.Exists(directory)
                ? System.IO.Directory.EnumerateFiles(directory).Select(Path.GetFileName).FirstOrDefault(f => f!.Contains("llama", StringComparison.Ordinal) && f.Contains(".v", StringComparison.Ordinal)) ?? ""
                : "";
            problem = other.Length > 0
                ? $"{directory} holds {other}, this server needs llama.cpp {Release}: pin a package that carries it in src/InferenceServer.Llama/native and build again"
                : $"the {key} build of llama.cpp is not installed ({directory}); build with -p:LlamaBackends={(backend == LlamaBackend.Cpu ? "cpu" : "cpu+" + key)}";
            return null;
        }

        problem = null;
        return new NativePackage(
            backend, directory, llama, Path.Combine(directory, FileName($"ggml{suffix}.v{Release}")), Path.Combine(directory, FileName("ggml-base")));
    }

    private static string FileName(string library) =>
        OperatingSystem.IsWindows() ? $"{library}.dll" : OperatingSystem.IsMacOS() ? $"lib{library}.dylib" : $"lib{library}.so";
}
