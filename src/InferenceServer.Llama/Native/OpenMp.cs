// The threads of NuGet's CPU libraries are those of GNU OpenMP, which reads its settings once, when it is loaded.
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>Looks for libgomp and sets how its threads wait.</summary>
internal static class OpenMp
{
    /// <exception cref="LlamaException">The library is missing.</exception>
    public static void Prepare()
    {
        if (!OperatingSystem.IsLinux())
            return;
        if (!NativeLibrary.TryLoad("libgomp.so.1", out _))
            throw new LlamaException("libgomp.so.1 is missing, which llama.cpp computes with on the CPU: install libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)");
    }
}
