// One file of the disk tier: saved KV state with all that is needed to place it in the tree and to trust it. Disk thread only.
//
//   offset  bytes  content (little endian)
//   0       8      magic
//   8       4      version of this layout
//   12      4      start: first position of the state; equal to the end for a checkpoint
//   16      4      end: one past its last position
//   20      4      zero
//   24      32     fingerprint: SHA-256 over model, adapter, KV types and native build
//   56      32     namespace: SHA-256 of its name, which itself is never written
//   88      8      payload bytes
//   96      32     SHA-256 of the payload
//   128     4*end  the tokens of positions 0 to end: a state depends on all before it, and a file must survive the loss of any other
//   ...     32     SHA-256 of everything above, and so of the whole file
//   ...            payload: what the decoder wrote

using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace InferenceServer.Engine.Cache;

internal enum CacheFileFault
{
    None,

    /// <summary>Whole, but of another model, adapter, KV type, build or layout.</summary>
    Foreign,

    /// <summary>Truncated, changed, or never one of ours.</summary>
    Damaged,
}

/// <param name="Tokens">Of positions 0 to End.</param>
/// <param name="PayloadHash">SHA-256.</param>
internal sealed record CacheFileHeader(string NamespaceKey, int Start, int[] Tokens, long PayloadBytes, byte[] PayloadHash)
{
    public int End => Tokens.Length;

    public long FileBytes => CacheFile.BytesOf(End, PayloadBytes);
}

internal static class CacheFile
{
    private const ulong Magic = 0x315F564B_53464E49; // "INFSKV_1"
    private const int Version = 1;
    private const int FixedBytes = 128;

    /// <summary>Longer than any context in use; keeps a forged length from asking for gigabytes.</summary>
    private const int MostTokens = 1 << 24;

    public static long BytesOf(int tokens, long payloadBytes) => FixedBytes + (4L * tokens) + SHA256.HashSizeInBytes + payloadBytes;

    /// <summary>Writes a file that is whole or not there: under another name first, flushed, then renamed. Mode 0600.</summary>
    /// <exception cref="IOException">The disk is full or failing; nothing is left behind.</exception>
    public static void Write(string path, string temporaryPath, byte[] fingerprint, string namespaceKey, int start, int[] tokens, byte[] payload)
    {
        byte[] head = new byte[FixedBytes + (4 * tokens.Length) + SHA256.HashSizeInBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(head, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(head.AsSpan(8), Version);
        BinaryPrimitives.WriteInt32LittleEndian(head.AsSpan(12), start);
        BinaryPrimitives.WriteInt32LittleEndian(head.AsSpan(16), tokens.Length);
        fingerprint.CopyTo(head, 24);
        Convert.FromHexString(namespaceKey).CopyTo(head, 56);
        BinaryPrimitives.WriteInt64LittleEndian(head.AsSpan(88), payload.LongLength);
        SHA256.HashData(payload, head.AsSpan(96));
        WriteTokens(tokens, head.AsSpan(FixedBytes));
        SHA256.HashData(head.AsSpan(0, head.Length - SHA256.HashSizeInBytes), head.AsSpan(head.Length - SHA256.HashSizeInBytes));

        WriteWhole(path, temporaryPath, head, payload);
    }

    /// <summary>As <see cref="Write"/>, of any content.</summary>
    /// <exception cref="IOException">As there.</exception>
    public static void WriteWhole(string path, string temporaryPath, byte[] head, byte[] rest)
    {
        FileStreamOptions options = new()
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            BufferSize = 0,
            // A full disk is noticed before anything is written.
            PreallocationSize = head.LongLength + rest.LongLength,
        };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        try
        {
            using (FileStream stream = new(temporaryPath, options))
            {
                stream.Write(head);
                stream.Write(rest);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporaryPath, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporaryPath);
            throw;
        }
    }

    /// <summary>Reads and checks all but the payload. Null when the file must not be used; the fault says why.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static CacheFileHeader? ReadHeader(FileStream stream, byte[] fingerprint, out CacheFileFault fault)
    {
        fault = CacheFileFault.Damaged;
        Span<byte> head = stackalloc byte[FixedBytes];
        if (stream.ReadAtLeast(head, FixedBytes, throwOnEndOfStream: false) < FixedBytes || BinaryPrimitives.ReadUInt64LittleEndian(head) != Magic)
            return null;
        if (BinaryPrimitives.ReadInt32LittleEndian(head[8..]) != Version)
        {
            fault = CacheFileFault.Foreign;
            return null;
        }
        int start = BinaryPrimitives.ReadInt32LittleEndian(head[12..]);
        int end = BinaryPrimitives.ReadInt32LittleEndian(head[16..]);
        long payloadBytes = BinaryPrimitives.ReadInt64LittleEndian(head[88..]);
        if (start < 0 || end < start || end == 0 || end > MostTokens || payloadBytes <= 0 || payloadBytes > Array.MaxLength
            || stream.Length != BytesOf(end, payloadBytes))
            return null;

        byte[] rest = new byte[(4 * end) + SHA256.HashSizeInBytes];
        stream.ReadExactly(rest);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(head);
        hash.AppendData(rest.AsSpan(0, 4 * end));
        Span<byte> computed = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(computed);
        if (!computed.SequenceEqual(rest.AsSpan(4 * end)))
            return null;
        if (!head.Slice(24, 32).SequenceEqual(fingerprint))
        {
            fault = CacheFileFault.Foreign;
            return null;
        }
        fault = CacheFileFault.None;
        return new CacheFileHeader(Convert.ToHexString(head.Slice(56, 32)), start, ReadTokens(rest, end), payloadBytes, head.Slice(96, 32).ToArray());
    }

    /// <summary>Reads the payload that follows the header just read. Null when it is not what was written.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static byte[]? ReadPayload(FileStream stream, CacheFileHeader header)
    {
        byte[] payload = GC.AllocateUninitializedArray<byte>((int)header.PayloadBytes);
        if (stream.ReadAtLeast(payload, payload.Length, throwOnEndOfStream: false) < payload.Length)
            return null;
        return SHA256.HashData(payload).AsSpan().SequenceEqual(header.PayloadHash) ? payload : null;
    }

    private static void WriteTokens(ReadOnlySpan<int> tokens, Span<byte> to)
    {
        if (BitConverter.IsLittleEndian)
            MemoryMarshal.AsBytes(tokens).CopyTo(to);
        else
            for (int i = 0; i < tokens.Length; i++)
                BinaryPrimitives.WriteInt32LittleEndian(to[(4 * i)..], tokens[i]);
    }

    private static int[] ReadTokens(ReadOnlySpan<byte> from, int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
            tokens[i] = BinaryPrimitives.ReadInt32LittleEndian(from[(4 * i)..]);
        return tokens;
    }
}
