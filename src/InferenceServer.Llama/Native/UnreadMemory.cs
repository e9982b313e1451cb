using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>Memory of llama.cpp's whose values nobody will read: the system can have it back, and gives zeroes where it is touched.</summary>
internal static partial class UnreadMemory
{
    private const int DontNeed = 4; // MADV_DONTNEED

    /// <summary>Gives back the whole pages of a range in ordinary memory, never memory that a device has pinned. Only Linux promises zeroes.</summary>
    public static unsafe void Release(Span<float> values)
    {
        nuint page = (nuint)Environment.SystemPageSize, start = (nuint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(values));
        nuint first = (start + page - 1) / page * page, end = (start + ((nuint)values.Length * sizeof(float))) / page * page;
        if (OperatingSystem.IsLinux() && first < end)
            _ = Advise(first, end - first, DontNeed);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nuint start, nuint length, int advice);
}
