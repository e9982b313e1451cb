using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>Memory that llama.cpp has zeroed and not used yet: the system can have it back, and gives zeroes where it is touched.</summary>
internal static partial class ZeroedMemory
{
    private const int DontNeed = 4; // MADV_DONTNEED

    /// <summary>Gives back the whole pages of a range of zeroes in ordinary memory, never memory that a device has pinned. Only Linux promises zeroes.</summary>
    public static unsafe void Release(Span<float> zeroes)
    {
        nuint page = (nuint)Environment.SystemPageSize, start = (nuint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(zeroes));
        nuint first = (start + page - 1) / page * page, end = (start + ((nuint)zeroes.Length * sizeof(float))) / page * page;
        if (OperatingSystem.IsLinux() && first < end)
            _ = Advise(first, end - first, DontNeed);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nuint start, nuint length, int advice);
}
