// Build task: replaces a copied libLibTorchSharp.so by a private copy whose reference to GLIBCXX_3.4.32 is weak.
// Written for RoslynCodeTaskFactory (netstandard2.0, C# 7.3); ELF64 little-endian only.
using System;
using System.IO;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

public class WeakenGlibcxxReference : Task
{
    private const string Version = "GLIBCXX_3.4.32";
    private const int SectionVersionNeeds = 0x6ffffffe; // SHT_GNU_verneed
    private const ushort WeakFlag = 2;                  // VER_FLG_WEAK

    [Required] public string Library { get; set; }

    [Output] public bool ShimNeeded { get; set; }

    public override bool Execute()
    {
        ShimNeeded = false;
        if (!File.Exists(Library)) { Log.LogError("{0} is not in the output: the libtorch package did not restore.", Library); return false; }
        if (SystemHasVersion()) { return true; }
        byte[] image = File.ReadAllBytes(Library);
        int flags = FindFlags(image);
        if (flags < 0) { return true; }
        ShimNeeded = true;
        if (BitConverter.ToUInt16(image, flags) == WeakFlag) { return true; }
        image[flags] = (byte)WeakFlag;
        image[flags + 1] = 0;
        // Delete first: the file may be a link into the package folder, which must stay as it is.
        File.Delete(Library);
        File.WriteAllBytes(Library, image);
        Log.LogMessage(MessageImportance.High, "{0}: {1} made a weak reference, this system's libstdc++ is older.", Path.GetFileName(Library), Version);
        return true;
    }

    private static bool SystemHasVersion()
    {
        foreach (string folder in new[] { "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib" })
        {
            string path = Path.Combine(folder, "libstdc++.so.6");
            if (File.Exists(path)) { return Encoding.ASCII.GetString(File.ReadAllBytes(path)).Contains(Version + "\0"); }
        }

        return true; // No libstdc++ where it is expected: leave the package alone.
    }

    // Offset of vna_flags of the wanted version within the .gnu.version_r section, or -1.
    private static int FindFlags(byte[] image)
    {
        if (image.Length < 64 || image[0] != 0x7f || image[1] != 'E' || image[4] != 2 || image[5] != 1) { return -1; }
        long sections = BitConverter.ToInt64(image, 40);
        int size = BitConverter.ToUInt16(image, 58), count = BitConverter.ToUInt16(image, 60);
        for (int i = 0; i < count; i++)
        {
            int header = checked((int)(sections + (long)i * size));
            if (BitConverter.ToInt32(image, header + 4) != SectionVersionNeeds) { continue; }
            int strings = (int)(sections + (long)BitConverter.ToInt32(image, header + 40) * size);
            int stringBase = (int)BitConverter.ToInt64(image, strings + 24);
            int need = (int)BitConverter.ToInt64(image, header + 24);
            for (int files = BitConverter.ToInt32(image, header + 44); files > 0; files--)
            {
                int entry = need + BitConverter.ToInt32(image, need + 8);
                for (int versions = BitConverter.ToUInt16(image, need + 2); versions > 0; versions--)
                {
                    if (ReadString(image, stringBase + BitConverter.ToInt32(image, entry + 8)) == Version) { return entry + 4; }
                    entry += BitConverter.ToInt32(image, entry + 12);
                }

                need += BitConverter.ToInt32(image, need + 12);
            }
        }

        return -1;
    }

    private static string ReadString(byte[] image, int start)
    {
        int end = Array.IndexOf(image, (byte)0, start);
        return Encoding.ASCII.GetString(image, start, end - start);
    }
}
