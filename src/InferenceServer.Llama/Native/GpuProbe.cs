// Asks the drivers for GPUs before any llama.cpp library is loaded: a process can hold only one backend's build.
using System.Runtime.InteropServices;
using System.Text;

namespace InferenceServer.Llama.Native;

/// <summary>A device that the Vulkan loader lists, in its order.</summary>
internal sealed record VulkanDevice(string Name, bool IsHardware);

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

            // VkPhysicalDeviceProperties is 824 bytes: five 32-bit fields, the type being the fifth, then char deviceName[256].
            byte* record = stackalloc byte[1024];
            var found = new List<VulkanDevice>((int)count);
            for (uint i = 0; i < count; i++)
            {
                properties(devices[i], record);
                string name = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(record + 20));
                found.Add(new VulkanDevice(name, *(int*)(record + 16) is > 0 and < VkPhysicalDeviceTypeCpu));
            }

            whyNot = null;
            return found;
        }
        finally
        {
            destroy(instance, 0);
        }
    }

    /// <returns>Null when the CUDA 13 runtime and a device answer, else why CUDA cannot be used.</returns>
    public static string? WhyNoCuda()
    {
        bool windows = OperatingSystem.IsWindows();
        if (!TryLoad(windows ? ["nvcuda.dll"] : ["libcuda.so.1"], out nint driver))
            return "no NVIDIA driver is installed";
        var init = (delegate* unmanaged<uint, int>)NativeLibrary.GetExport(driver, "cuInit");
        var count = (delegate* unmanaged<int*, int>)NativeLibrary.GetExport(driver, "cuDeviceGetCount");
        int devices = 0;
        if (init(0) != 0 || count(&devices) != 0 || devices == 0)
            return "the NVIDIA driver lists no device";
        foreach (string library in windows ? ["cudart64_13.dll", "cublas64_13.dll"] : new[] { "libcudart.so.13", "libcublas.so.13" })
        {
            if (!TryLoad([library], out _))
                return $"the CUDA 13 runtime is missing ({library})";
        }

        return null;
    }

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
