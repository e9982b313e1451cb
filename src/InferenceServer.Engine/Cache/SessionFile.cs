// The names of sessions, for the next run: one small file a model, beside the cache files. They are apart from those because a name moves on with
// each turn and can be dropped while a file stays for others; a file replaced as a whole is right after a kill. Disk thread only.
//
//   offset  bytes  content (little endian)
//   0       8      magic
//   8       4      version of this layout
//   12      4      number of sessions
//   16      32     fingerprint, as in cache files
//   48      ...    sessions, most recently used first:
//                    32 namespace, as in cache files; 8 last use (UTC ticks); 2 length of the id, and its UTF-16;
//                    2 number of ends, newest turn first, each: 1 number of places, deepest first, each: 16 file, 4 position
//   ...     32     SHA-256 of everything above

using System.Buffers.Binary;
using System.Security.Cryptography;

namespace InferenceServer.Engine.Cache;

/// <param name="Ends">Of its turns, the newest one's first; that one may have no place.</param>
internal sealed record SavedSession(string NamespaceKey, string Id, DateTimeOffset LastUsed, IReadOnlyList<SavedEnd> Ends);

/// <summary>Where a turn ends, and what it builds on: if the deepest file was lost, the next one is as far as it is known.</summary>
internal sealed record SavedEnd(IReadOnlyList<SavedPlace> Places);

/// <param name="File">Its name.</param>
/// <param name="Position">How much of the file's path belongs to the turn, in tokens from the beginning.</param>
internal readonly record struct SavedPlace(string File, int Position);

internal static class SessionFile
{
    /// <summary>Longest id that is kept, in characters; no request can name a longer one.</summary>
    public const int MostIdLength = 512;

    /// <summary>Ends kept of one session, and places of one end.</summary>
    public const int MostEnds = 256;
    public const int MostPlaces = 4;

    /// <summary>The names used longest ago do not fit in any more.</summary>
    private const int MostBytes = 4 << 20;
    private const ulong Magic = 0x314E5353_53464E49; // "INFSSSN1"
    private const int Version = 1;
    private const int FixedBytes = 48;
    private const int KeyBytes = 32;

    /// <summary>The whole file.</summary>
    public static byte[] Encode(IEnumerable<SavedSession> sessions, byte[] fingerprint)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write(Magic);
        writer.Write(Version);
        writer.Write(0);
        writer.Write(fingerprint);
        int count = 0;
        long end = stream.Position;
        foreach (SavedSession session in sessions)
        {
            WriteSession(writer, session);
            if (stream.Position > MostBytes)
                break;
            (count, end) = (count + 1, stream.Position);
        }
        stream.SetLength(end);
        byte[] bytes = [.. stream.ToArray(), .. new byte[SHA256.HashSizeInBytes]];
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), count);
        SHA256.HashData(bytes.AsSpan(0, (int)end), bytes.AsSpan((int)end));
        return bytes;
    }

    /// <summary>Null when the file must not be used; the fault says why.</summary>
    public static List<SavedSession>? Decode(byte[] bytes, byte[] fingerprint, out CacheFileFault fault)
    {
        fault = CacheFileFault.Damaged;
        int end = bytes.Length - SHA256.HashSizeInBytes;
        if (end < FixedBytes || BinaryPrimitives.ReadUInt64LittleEndian(bytes) != Magic || !SHA256.HashData(bytes.AsSpan(0, end)).AsSpan().SequenceEqual(bytes.AsSpan(end)))
            return null;
        // Whole from here on: what a checksum covers we have written ourselves.
        if (BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(8)) != Version || !bytes.AsSpan(16, KeyBytes).SequenceEqual(fingerprint))
        {
            fault = CacheFileFault.Foreign;
            return null;
        }
        using BinaryReader reader = new(new MemoryStream(bytes, FixedBytes, end - FixedBytes));
        List<SavedSession> sessions = [];
        for (int left = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(12)); left > 0; left--)
            sessions.Add(ReadSession(reader));
        fault = CacheFileFault.None;
        return sessions;
    }

    private static void WriteSession(BinaryWriter writer, SavedSession session)
    {
        writer.Write(Convert.FromHexString(session.NamespaceKey));
        writer.Write(session.LastUsed.UtcTicks);
        writer.Write((ushort)session.Id.Length);
        // As UTF-16, so that any string comes back as it was.
        foreach (char c in session.Id)
            writer.Write((ushort)c);
        writer.Write((ushort)session.Ends.Count);
        foreach (SavedEnd end in session.Ends)
        {
            writer.Write((byte)end.Places.Count);
            foreach (SavedPlace place in end.Places)
            {
                writer.Write(DiskStore.IdOf(place.File).ToByteArray());
                writer.Write(place.Position);
            }
        }
    }

    private static SavedSession ReadSession(BinaryReader reader)
    {
        string key = Convert.ToHexString(reader.ReadBytes(KeyBytes));
        DateTimeOffset lastUsed = new(reader.ReadInt64(), TimeSpan.Zero);
        char[] id = new char[reader.ReadUInt16()];
        for (int i = 0; i < id.Length; i++)
            id[i] = (char)reader.ReadUInt16();
        SavedEnd[] ends = new SavedEnd[reader.ReadUInt16()];
        for (int i = 0; i < ends.Length; i++)
        {
            SavedPlace[] places = new SavedPlace[reader.ReadByte()];
            for (int j = 0; j < places.Length; j++)
                places[j] = new SavedPlace(DiskStore.NameOf(new Guid(reader.ReadBytes(16))), reader.ReadInt32());
            ends[i] = new SavedEnd(places);
        }
        return new SavedSession(key, new string(id), lastUsed, ends);
    }
}
