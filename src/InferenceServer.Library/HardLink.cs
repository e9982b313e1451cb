using System.Runtime.InteropServices;

namespace InferenceServer.Library;

/// <summary>A second name of a file: no copy, no space.</summary>
internal static class HardLink
{
    /// <summary>False where the two lie on different disks, or the disk knows no links.</summary>
    public static bool TryCreate(string existing, string link) => OperatingSystem.IsWindows() ? CreateHardLinkW(link, existing, 0) : Link(existing, link) == 0;

    [DllImport("libc", EntryPoint = "link")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Link([MarshalAs(UnmanagedType.LPUTF8Str)] string existing, [MarshalAs(UnmanagedType.LPUTF8Str)] string link);

    [DllImport("kernel32", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static extern bool CreateHardLinkW([MarshalAs(UnmanagedType.LPWStr)] string link, [MarshalAs(UnmanagedType.LPWStr)] string existing, nint security);
}
