// Asks the drivers for GPUs before any llama.cpp library is loaded: a process can hold only one backend's build.
using System.Runtime.InteropServices;
using System.Text;

namespace InferenceServer.Llama.Native;

/// <summary>A device that the Vulkan loader lists, in its order.</summary>
internal sealed record VulkanDevice(string Name, bool IsHardware, uint DriverVersion);

/// <summary>What the CUDA driver says of itself.</summary>
/// <param name="Version">The newest CUDA that it speaks.</param>
/// <param name="Devices">The names of its devices.</param>
internal sealed record CudaDriver(Version Version, IReadOnlyList<string> Devices);

/// <summary>The answers of the Vulkan loader and of the CUDA driver. Every failure is an answer ("no driver"), not an exception.</summary>
internal static unsafe class GpuProbe
{
    private const int VkSuccess = 0, VkPhysicalDeviceTypeCpu = 4;

    /// <returns>The devices (empty when there are none), or null and why the loader could not be asked.</returns>
    public static IReadOnlyList<VulkanDevice>? VulkanDevices(out string? whyNot)
    {
        string[] names = OperatingSystem.IsWindows() ? ["vulkan-1.dll"] : OperatingSystem.IsMacOS() ? ["libvulkan.1.dylib"] : ["libvulkan.so.1"];
        if (!TryLoad(names, out nint loader))
        {
            whyNot = "no Vulkan loader is installed";
            return null;
        }

        // The loader stays loaded: drivers do not all survive being unloaded.
        var create = (delegate* unmanaged<InstanceCreateInfo*, nint, nint*, int>)NativeLibrary.GetExport(loader, "vkCreateInstance");
        var destroy = (delegate* unmanaged<nint, nint, void>)NativeLibrary.GetExport(loader, "vkDestroyInstance");
        var enumerate = (delegate* unmanaged<nint, uint*, nint*, int>)NativeLibrary.GetExport(loader, "vkEnumeratePhysicalDevices");
        var properties = (delegate* unmanaged<nint, byte*, void>)NativeLibrary.GetExport(loader, "vkGetPhysicalDeviceProperties");

        var info = new InstanceCreateInfo { StructureType = 1 }; // VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
        nint instance;
        if (create(&info, 0, &instance) != VkSuccess)
        {
            whyNot = "no Vulkan driver answers";
            return null;
        }

        try
        {
            uint count = 0;
            if (enumerate(instance, &count, null) != VkSuccess)
                count = 0;
            count = Math.Min(count, 64);
            nint* devices = stackalloc nint[64];
            if (count > 0 && enumerate(instance, &count, devices) < VkSuccess)
                count = 0;

            // VkPhysicalDeviceProperties is 824 bytes: five 32-bit fields, the driver's version being the second and the type the fifth, then char deviceName[256].
            byte* record = stackalloc byte[1024];
            var found = new List<VulkanDevice>((int)count);
            for (uint i = 0; i < count; i++)
            {
                properties(devices[i], record);
                string name = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(record + 20));
                found.Add(new VulkanDevice(name, *(int*)(record + 16) is > 0 and < VkPhysicalDeviceTypeCpu, *(uint*)(record + 4)));
            }

            whyNot = null;
            return found;
        }
        finally
        {
            destroy(instance, 0);
        }
    }

    /// <returns>The driver, or null and why there is none to compute with.</returns>
    public static CudaDriver? Cuda(out string? whyNot)
    {
        if (!TryLoad(OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1"], out nint driver))
        {
            whyNot = "no NVIDIA driver is installed";
            return null;
        }

        var init = (delegate* unmanaged<uint, int>)NativeLibrary.GetExport(driver, "cuInit");
        var driverVersion = (delegate* unmanaged<int*, int>)NativeLibrary.GetExport(driver, "cuDriverGetVersion");
        var getCount = (delegate* unmanaged<int*, int>)NativeLibrary.GetExport(driver, "cuDeviceGetCount");
        var getName = (delegate* unmanaged<byte*, int, int, int>)NativeLibrary.GetExport(driver, "cuDeviceGetName");
        int count = 0, version = 0;
        if (init(0) != 0 || getCount(&count) != 0 || count == 0)
        {
            whyNot = "the NVIDIA driver lists no device";
            return null;
        }

        driverVersion(&version); // 1000 times the major version and 10 times the minor.
        byte* name = stackalloc byte[256];
        var names = new List<string>(count);
        for (int device = 0; device < count; device++)
            names.Add(getName(name, 256, device) == 0 ? Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name)) : $"device {device}");
        whyNot = null;
        return new CudaDriver(new Version(version / 1000, version % 1000 / 10), names);
    }

    /// <returns>Null when CUDA's runtime libraries of this major version can be loaded, else which one is missing.</returns>
    public static string? MissingCudaRuntime(int major) =>
        (OperatingSystem.IsWindows() ? [$"cudart64_{major}.dll", $"cublas64_{major}.dll"] : new[] { $"libcudart.so.{major}", $"libcublas.so.{major}" })
        .FirstOrDefault(library => !TryLoad([library], out _));

    private static bool TryLoad(string[] names, out nint handle)
    {
        handle = 0;
        foreach (string name in names)
        {
            if (NativeLibrary.TryLoad(name, out handle))
                return true;
        }

        return false;
    }

    /// <summary>VkInstanceCreateInfo, all of whose optional parts stay empty.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct InstanceCreateInfo
    {
        public int StructureType;
        public nint Next;
        public uint Flags;
        public nint ApplicationInfo;
        public uint LayerCount;
        public nint Layers;
        public uint ExtensionCount;
        public nint Extensions;
    }
}
