using System.Diagnostics;

namespace InferenceServer.Tests.Engine.Cache;

/// <summary>A file system of its own, so small that it fills up.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string _folder;

    private SmallDisk(string folder) => _folder = folder;

    /// <summary>Null where this process may not mount one.</summary>
    public static SmallDisk? TryMount(string folder, int kilobytes) =>
        OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", $"size={kilobytes}k", "tmpfs", folder) ? new SmallDisk(folder) : null;

    public void Dispose()
    {
        if (!Run("umount", _folder))
            throw new InvalidOperationException($"{_folder} could not be unmounted.");
    }

    private static bool Run(string command, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false; // There is no such command.
        }
    }
}

/// <summary>A test that fills a disk; skipped where none can be mounted.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SmallDiskFactAttribute : FactAttribute
{
    private static readonly bool Mounts = CanMount();

    public SmallDiskFactAttribute()
    {
        if (!Mounts)
            Skip = "a file system of its own cannot be mounted here: that takes Linux and root";
    }

    private static bool CanMount()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("small-disk-");
        using (SmallDisk? disk = SmallDisk.TryMount(folder.FullName, 64))
            if (disk is null)
            {
                folder.Delete();
                return false;
            }
        folder.Delete();
        return true;
    }
}
