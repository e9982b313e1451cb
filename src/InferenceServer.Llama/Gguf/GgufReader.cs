// Reads the header of a GGUF file from an untrusted source. Every count and length is checked against the bytes that are left before anything
// is allocated for it, so a damaged file costs no more than its own size and ends in a GgufException that says what is wrong and where.
using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace InferenceServer.Llama.Gguf;

/// <summary>Parses metadata and tensor entries; tensor data is not read.</summary>
public sealed class GgufReader
{
    private const int MaxKeyLength = 65_535;          // docs/gguf.md: at most 2^16 - 1 bytes.
    private const int MaxStringLength = 16 << 20;     // Chat templates are the longest strings in use, well under 1 MiB.
    private const int MaxTensorNameLength = 63;       // GGML_MAX_NAME - 1
    private const int MaxMetadataCount = 1 << 16;
    private const int MaxTensorCount = 1 << 20;
    private const int MaxKeptArray = 4_096;           // Per-layer numbers; vocabularies are only counted.
    private const int DefaultAlignment = 32;

    private readonly Stream _stream;
    private readonly long _length;
    private readonly byte[] _buffer = new byte[64 << 10];
    private int _bufferStart;
    private int _bufferEnd;
    private long _position;

    private GgufReader(Stream stream)
    {
        _stream = stream;
        _length = stream.Length;
    }

    /// <summary>Reads the header of the file at <paramref name="path"/>.</summary>
    /// <exception cref="GgufException">It is not a usable GGUF file.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static GgufFile Read(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        return Read(stream);
    }

    /// <summary>Reads a header from the start of a seekable stream, whose length bounds everything.</summary>
    /// <exception cref="GgufException">It is not a usable GGUF file.</exception>
    public static GgufFile Read(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        stream.Position = 0;
        return new GgufReader(stream).ReadFile();
    }

    /// <summary>Reads the elements of an array of strings that <see cref="Read(Stream)"/> only counted.</summary>
    /// <exception cref="GgufException">The file changed since.</exception>
    public static IEnumerable<string> ReadStrings(Stream stream, GgufArray array)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(array);
        if (array.ElementType is not GgufValueType.String)
            throw new ArgumentException($"the array holds {array.ElementType}, not strings", nameof(array));
        stream.Position = array.Offset;
        var reader = new GgufReader(stream) { _position = array.Offset };
        for (long i = 0; i < array.Count; i++)
            yield return reader.ReadString(MaxStringLength, "an element");
    }

    private GgufFile ReadFile()
    {
        if (_length < 24)
            throw new GgufException($"the file is {_length} bytes long, too short for a GGUF header");
        if (ReadUInt32() != 0x46554747) // "GGUF"
            throw new GgufException("the file does not start with GGUF");
        uint version = ReadUInt32();
        if (version is not (2 or 3))
        {
            throw new GgufException(BinaryPrimitives.ReverseEndianness(version) is 2 or 3
                ? "the file is big-endian GGUF, which this machine cannot use"
                : $"GGUF version {version} is not supported (2 and 3 are)");
        }

        int tensorCount = ReadCount("tensors", MaxTensorCount, bytesEach: 24);
        int metadataCount = ReadCount("metadata entries", MaxMetadataCount, bytesEach: 13);
        var metadata = new Dictionary<string, object>(StringComparer.Ordinal);
        for (int i = 0; i < metadataCount; i++)
        {
            string key = ReadString(MaxKeyLength, "a metadata key");
            if (key.Length == 0)
                throw new GgufException($"metadata entry {i} has no key");
            if (!metadata.TryAdd(key, ReadValue(ReadValueType(key), key)))
                throw new GgufException($"metadata key '{Shorten(key)}' occurs twice");
        }

        if (metadata.GetValueOrDefault("general.architecture") is not string { Length: > 0 })
            throw new GgufException("general.architecture is missing");
        int alignment = DefaultAlignment;
        if (metadata.TryGetValue("general.alignment", out object? stated))
        {
            if (stated is not long value || value is < 8 or > 1 << 20 || !BitOperations.IsPow2(value))
                throw new GgufException("general.alignment is not a power of two from 8 to 1 MiB");
            alignment = (int)value;
        }

        var tensors = new List<GgufTensor>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < tensorCount; i++)
        {
            GgufTensor tensor = ReadTensor(alignment);
            if (!names.Add(tensor.Name))
                throw new GgufException($"tensor '{Shorten(tensor.Name)}' occurs twice");
            tensors.Add(tensor);
        }

        long dataOffset = (_position + alignment - 1) / alignment * alignment;
        foreach (GgufTensor tensor in tensors)
        {
            if (tensor.SizeBytes > _length - dataOffset || tensor.Offset > _length - dataOffset - tensor.SizeBytes)
                throw new GgufException($"tensor '{tensor.Name}' lies past the end of the file: it is truncated");
        }

        return new GgufFile(version, metadata, tensors, dataOffset, alignment);
    }

    private GgufTensor ReadTensor(int alignment)
    {
        string name = ReadString(MaxTensorNameLength, "a tensor name");
        uint dimensions = ReadUInt32();
        if (dimensions is 0 or > 4)
            throw new GgufException($"tensor '{name}' has {dimensions} dimensions (1 to 4 are allowed)");
        var shape = new long[dimensions];
        long elements = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            ulong extent = ReadUInt64();
            if (extent is 0 or > long.MaxValue || elements > long.MaxValue / 8 / (long)extent)
                throw new GgufException($"tensor '{name}' has an impossible shape");
            shape[i] = (long)extent;
            elements *= shape[i];
        }

        uint typeNumber = ReadUInt32();
        if (typeNumber > int.MaxValue || GgufTensorTypes.BlockOf((GgufTensorType)typeNumber) is not { } block)
            throw new GgufException($"tensor '{name}' has type {typeNumber}, which this server does not know");
        if (shape[0] % block.BlockElements != 0)
            throw new GgufException($"tensor '{name}' has rows of {shape[0]} elements, not a multiple of {block.BlockElements}");
        ulong offset = ReadUInt64();
        if (offset > long.MaxValue || offset % (ulong)alignment != 0)
            throw new GgufException($"tensor '{name}' lies at offset {offset}, which is not aligned to {alignment}");
        return new GgufTensor(name, shape, (GgufTensorType)typeNumber, (long)offset, elements / block.BlockElements * block.BlockBytes);
    }

    private GgufValueType ReadValueType(string key)
    {
        uint type = ReadUInt32();
        return type <= (uint)GgufValueType.Float64
            ? (GgufValueType)type
            : throw new GgufException($"metadata key '{Shorten(key)}' has unknown type {type}");
    }

    private object ReadValue(GgufValueType type, string key) => type switch
    {
        GgufValueType.String => ReadString(MaxStringLength, $"the value of {Shorten(key)}"),
        GgufValueType.Array => ReadArray(key),
        GgufValueType.Float32 => BitConverter.UInt32BitsToSingle(ReadUInt32()),
        GgufValueType.Float64 => BitConverter.UInt64BitsToDouble(ReadUInt64()),
        GgufValueType.Bool => ReadInteger(type, key) != 0,
        _ => ReadInteger(type, key),
    };

    private GgufArray ReadArray(string key)
    {
        GgufValueType elementType = ReadValueType(key);
        if (elementType is GgufValueType.Array)
            throw new GgufException($"metadata key '{Shorten(key)}' nests arrays, which no model uses");
        int size = SizeOf(elementType);
        int count = ReadCount($"elements in {Shorten(key)}", int.MaxValue, size);
        long offset = _position;
        bool integers = elementType is not (GgufValueType.String or GgufValueType.Float32 or GgufValueType.Float64);
        var kept = new List<long>();
        if (elementType is GgufValueType.String)
        {
            for (int i = 0; i < count; i++)
                Skip(ReadLength(MaxStringLength, $"an element of {Shorten(key)}"));
        }
        else if (integers && count <= MaxKeptArray)
        {
            for (int i = 0; i < count; i++)
                kept.Add(ReadInteger(elementType, key));
        }
        else
        {
            Skip((long)count * size);
        }

        return new GgufArray(elementType, count, offset, kept);
    }

    private long ReadInteger(GgufValueType type, string key)
    {
        ReadOnlySpan<byte> bytes = Take(SizeOf(type));
        switch (type)
        {
            case GgufValueType.UInt8: return bytes[0];
            case GgufValueType.Int8: return (sbyte)bytes[0];
            case GgufValueType.UInt16: return BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            case GgufValueType.Int16: return BinaryPrimitives.ReadInt16LittleEndian(bytes);
            case GgufValueType.UInt32: return BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            case GgufValueType.Int32: return BinaryPrimitives.ReadInt32LittleEndian(bytes);
            case GgufValueType.Int64: return BinaryPrimitives.ReadInt64LittleEndian(bytes);
            case GgufValueType.UInt64:
                ulong value = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
                return value <= long.MaxValue ? (long)value : throw new GgufException($"metadata key '{Shorten(key)}' is larger than 2^63 - 1");
            case GgufValueType.Bool:
                return bytes[0] <= 1 ? bytes[0] : throw new GgufException($"metadata key '{Shorten(key)}' is a boolean of value {bytes[0]}");
            default: throw new GgufException($"metadata key '{Shorten(key)}' is no integer");
        }
    }

    /// <summary>Bytes of a value; for strings the least one can take.</summary>
    private static int SizeOf(GgufValueType type) => type switch
    {
        GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Bool => 1,
        GgufValueType.UInt16 or GgufValueType.Int16 => 2,
        GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
        _ => 8,
    };

    private int ReadCount(string what, int limit, int bytesEach)
    {
        ulong count = ReadUInt64();
        if (count > (ulong)limit || count > (ulong)((_length - _position) / bytesEach))
            throw new GgufException($"the header claims {count} {what}, more than the file can hold");
        return (int)count;
    }

    private int ReadLength(int limit, string what)
    {
        ulong length = ReadUInt64();
        if (length > (ulong)limit || length > (ulong)(_length - _position))
            throw new GgufException($"{what} claims {length} bytes at offset {_position}, more than is allowed or left");
        return (int)length;
    }

    private string ReadString(int limit, string what)
    {
        int length = ReadLength(limit, what);
        if (length <= _buffer.Length)
            return Encoding.UTF8.GetString(Take(length));
        byte[] bytes = new byte[length];
        for (int done = 0; done < length;)
        {
            ReadOnlySpan<byte> part = Take(Math.Min(_buffer.Length, length - done));
            part.CopyTo(bytes.AsSpan(done));
            done += part.Length;
        }

        return Encoding.UTF8.GetString(bytes);
    }

    private uint ReadUInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    private ulong ReadUInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    /// <summary>The next bytes, at most a buffer full; valid until the next call.</summary>
    private ReadOnlySpan<byte> Take(int count)
    {
        if (_bufferEnd - _bufferStart < count)
        {
            Buffer.BlockCopy(_buffer, _bufferStart, _buffer, 0, _bufferEnd - _bufferStart);
            _bufferEnd -= _bufferStart;
            _bufferStart = 0;
            while (_bufferEnd < count)
            {
                int read = _stream.Read(_buffer, _bufferEnd, _buffer.Length - _bufferEnd);
                if (read == 0)
                    throw new GgufException($"the file ends inside its header, at offset {_position}");
                _bufferEnd += read;
            }
        }

        ReadOnlySpan<byte> bytes = _buffer.AsSpan(_bufferStart, count);
        _bufferStart += count;
        _position += count;
        return bytes;
    }

    private void Skip(long count)
    {
        if (count > _length - _position)
            throw new GgufException($"the file ends inside its header, at offset {_position}");
        int buffered = (int)Math.Min(count, _bufferEnd - _bufferStart);
        _bufferStart += buffered;
        if (count > buffered)
        {
            _stream.Seek(count - buffered, SeekOrigin.Current);
            _bufferStart = _bufferEnd = 0;
        }

        _position += count;
    }

    private static string Shorten(string name) => name.Length <= 80 ? name : name[..80] + "...";
}
