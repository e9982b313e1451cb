// Build task: where libstdc++ is older than libLibTorchSharp.so wants, replaces the copied library by one that does without the newer version.
// Written for RoslynCodeTaskFactory (netstandard2.0, C# 7.3); ELF64 little-endian only.
using System;
using System.IO;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

public class OlderGlibcxx : Task
{
    private const string Version = "GLIBCXX_3.4.32";
    // The version's only symbol here. Older libraries initialise their streams from every file that includes <iostream>, so there is nothing left
    // for it to do: any function without arguments and effects will serve in its place.
    private const string Symbol = "_ZSt21ios_base_library_initv", Instead = "getpid\0";
    private const int DynamicSymbols = 11, VersionNeeds = 0x6ffffffe, SymbolVersions = 0x6fffffff; // SHT_DYNSYM, SHT_GNU_verneed, SHT_GNU_versym
    private const int SymbolSize = 24;
    private const ushort Unversioned = 1, WeakFlag = 2; // VER_NDX_GLOBAL, VER_FLG_WEAK

    [Required] public string Library { get; set; }

    public override bool Execute()
    {
        if (!File.Exists(Library)) { Log.LogError("{0} is not in the output: the libtorch package did not restore.", Library); return false; }
        if (SystemHasVersion()) { return true; }
        byte[] image = File.ReadAllBytes(Library);
        if (image.Length < 64 || image[0] != 0x7f || image[1] != 'E' || image[4] != 2 || image[5] != 1) { return true; }
        int need = FindVersion(image);
        if (need < 0 || BitConverter.ToUInt16(image, need + 4) == WeakFlag) { return true; }
        if (!ReplaceSymbol(image, BitConverter.ToUInt16(image, need + 6)))
        {
            Log.LogError("{0} wants more of {1} than {2}, and this system's libstdc++ is older.", Path.GetFileName(Library), Version, Symbol);
            return false;
        }

        image[need + 4] = (byte)WeakFlag;
        image[need + 5] = 0;
        // Delete first: the file may be a link into the package folder, which must stay as it is.
        File.Delete(Library);
        File.WriteAllBytes(Library, image);
        Log.LogMessage(MessageImportance.High, "{0}: does without {1}, since this system's libstdc++ is older.", Path.GetFileName(Library), Version);
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

    // Offset of the Elf64_Vernaux of the wanted version, or -1.
    private static int FindVersion(byte[] image)
    {
        int header = FindSection(image, VersionNeeds);
        if (header < 0) { return -1; }
        int strings = LinkedSection(image, header), need = SectionOffset(image, header);
        for (int files = BitConverter.ToInt32(image, header + 44); files > 0; files--)
        {
            int entry = need + BitConverter.ToInt32(image, need + 8);
            for (int versions = BitConverter.ToUInt16(image, need + 2); versions > 0; versions--)
            {
                if (ReadString(image, strings + BitConverter.ToInt32(image, entry + 8)) == Version) { return entry; }
                entry += BitConverter.ToInt32(image, entry + 12);
            }

            need += BitConverter.ToInt32(image, need + 12);
        }

        return -1;
    }

    // Gives the one symbol of this version another name, without a version; false when others have the version, or share its name's letters.
    private static bool ReplaceSymbol(byte[] image, ushort version)
    {
        int symbols = FindSection(image, DynamicSymbols), versions = FindSection(image, SymbolVersions);
        if (symbols < 0 || versions < 0) { return false; }
        int strings = LinkedSection(image, symbols), first = SectionOffset(image, symbols), count = (int)(BitConverter.ToInt64(image, symbols + 32) / SymbolSize);
        int versionOf = SectionOffset(image, versions), found = -1;
        for (int i = 0; i < count; i++)
        {
            if (BitConverter.ToUInt16(image, versionOf + 2 * i) != version) { continue; }
            if (found >= 0 || ReadString(image, strings + BitConverter.ToInt32(image, first + i * SymbolSize)) != Symbol) { return false; }
            found = i;
        }

        if (found < 0) { return false; }
        int name = BitConverter.ToInt32(image, first + found * SymbolSize);
        for (int i = 0; i < count; i++)
        {
            int other = BitConverter.ToInt32(image, first + i * SymbolSize);
            if (i != found && other >= name && other < name + Instead.Length) { return false; }
        }

        Encoding.ASCII.GetBytes(Instead, 0, Instead.Length, image, strings + name);
        BitConverter.GetBytes(Unversioned).CopyTo(image, versionOf + 2 * found);
        return true;
    }

    // Offset of the header of the first section of a type, or -1.
    private static int FindSection(byte[] image, int type)
    {
        int count = BitConverter.ToUInt16(image, 60);
        for (int i = 0; i < count; i++)
        {
            if (BitConverter.ToInt32(image, SectionHeader(image, i) + 4) == type) { return SectionHeader(image, i); }
        }

        return -1;
    }

    private static int SectionHeader(byte[] image, int index) => checked((int)(BitConverter.ToInt64(image, 40) + (long)index * BitConverter.ToUInt16(image, 58)));

    private static int SectionOffset(byte[] image, int header) => checked((int)BitConverter.ToInt64(image, header + 24));

    private static int LinkedSection(byte[] image, int header) => SectionOffset(image, SectionHeader(image, BitConverter.ToInt32(image, header + 40)));

    private static string ReadString(byte[] image, int start)
    {
        int end = Array.IndexOf(image, (byte)0, start);
        return Encoding.ASCII.GetString(image, start, end - start);
    }
}
