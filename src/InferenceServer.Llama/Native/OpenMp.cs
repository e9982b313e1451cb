// The threads of NuGet's CPU libraries are those of GNU OpenMP, which reads its settings once, when it is loaded.
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>Looks for libgomp and sets how its threads wait.</summary>
internal static class OpenMp
{
    /// <summary>
    /// How often a thread looks before it sleeps: libgomp looks 300,000 times. On two quiet cores no setting stood out (16 streams served, tokens/s: 131 to 225 so, 142 to
    /// 183 with 1,000, 144 to 175 with none); where something else computed as well the default had half the speed of the others (107 against 152 and 220).
    /// </summary>
    private const string SpinCount = "1000";

    /// <exception cref="LlamaException">The library is missing.</exception>
    public static void Prepare()
    {
        if (!OperatingSystem.IsLinux())
            return;
        if (Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is null)
            NativeEnvironment.SetDefault("GOMP_SPINCOUNT", SpinCount);
        if (!NativeLibrary.TryLoad("libgomp.so.1", out _))
            throw new LlamaException("libgomp.so.1 is missing, which llama.cpp computes with on the CPU: install libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)");
    }
}
