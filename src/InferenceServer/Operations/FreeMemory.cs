using System.Globalization;
using InferenceServer.Library;
using InferenceServer.Llama;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Operations;

/// <summary>Memory that a model may take on this machine.</summary>
internal static class FreeMemory
{
    /// <summary>Where a reference leaves the quant to the memory: of the GPUs if llama.cpp finds some, else of the machine. Elsewhere nobody asks.</summary>
    public static long For(string model)
    {
        try
        {
            if (ModelReference.ParseRemote(model) is not HubReference { Quant: null })
                return long.MaxValue;
            return Of(LlamaLibrary.Load(new LlamaLibraryOptions { Trial = BackendTrial.OfThisProgram() }, NullLogger.Instance).Devices);
        }
        catch (Exception error) when (error is LlamaException or LibraryException)
        {
            // A malformed name is told by who reads it next; and a machine without a usable build may still fetch models.
            return Of([]);
        }
    }

    public static long Of(IReadOnlyList<LlamaDevice> devices) =>
        devices.Where(device => device.Type is LlamaDeviceType.Gpu or LlamaDeviceType.IntegratedGpu).Sum(device => device.FreeBytes) is > 0 and var free ? free : OfHost();

    /// <summary>What can be had without swapping, within the limit that a container sets.</summary>
    private static long OfHost()
    {
        long limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        const string Available = "MemAvailable:";
        try
        {
            string? line = OperatingSystem.IsLinux() ? File.ReadLines("/proc/meminfo").FirstOrDefault(line => line.StartsWith(Available, StringComparison.Ordinal)) : null;
            return line is not null && long.TryParse(line[Available.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long kibibytes) ? Math.Min(limit, kibibytes << 10) : limit;
        }
        catch (IOException)
        {
            return limit;
        }
    }
}
