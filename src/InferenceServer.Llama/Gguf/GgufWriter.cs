// Writes GGUF version 3. Tensors stream through: memory use does not grow with the model. Plain C#; no native library.
using System.Buffers.Binary;
using System.Text;

namespace InferenceServer.Llama.Gguf;

/// <summary>
/// Writes a model file: add metadata, declare every tensor, then append the tensors' values in the order of declaration, then finish.
/// The file appears under its name only when it is complete. Not safe for use by several threads.
/// </summary>
public sealed class GgufWriter : IDisposable
{
    private const int Alignment = 32;
    private const int ChunkElements = 1 << 14; // A multiple of every block size below.

    private readonly string _path;
    private readonly string _temporaryPath;
    private readonly FileStream _stream;
    private readonly MemoryStream _metadata = new();
    private readonly BinaryWriter _metadataWriter;
    private readonly HashSet<string> _keys = new(StringComparer.Ordinal);
    private readonly List<GgufTensor> _tensors = [];
    private readonly HashSet<string> _tensorNames = new(StringComparer.Ordinal);
    private readonly byte[] _chunk = new byte[ChunkElements * sizeof(float)];
    private long _nextOffset;
    private long _dataStart = -1;
    private int _current;
    private long _written;
    private bool _finished;

    private GgufWriter(string path)
    {
        _path = path;
        _temporaryPath = $"{path}.{Environment.ProcessId}.tmp";
        _metadataWriter = new BinaryWriter(_metadata, Encoding.UTF8, leaveOpen: true);
        _stream = new FileStream(_temporaryPath, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
    }

    /// <summary>Starts a file that will replace <paramref name="path"/> when finished.</summary>
    /// <param name="path">Where the finished file goes.</param>
    /// <param name="architecture"><c>general.architecture</c>, such as <c>qwen2</c>.</param>
    public static GgufWriter Create(string path, string architecture)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(architecture);
        var writer = new GgufWriter(path);
        writer.Add("general.architecture", architecture);
        return writer;
    }

    /// <summary>Adds a text.</summary>
    public void Add(string key, string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        Key(key, GgufValueType.String);
        String(value);
    }

    /// <summary>Adds a 32-bit unsigned integer, the type of nearly all hyperparameters.</summary>
    public void Add(string key, uint value)
    {
        Key(key, GgufValueType.UInt32);
        _metadataWriter.Write(value);
    }

    /// <summary>Adds a 32-bit float.</summary>
    public void Add(string key, float value)
    {
        Key(key, GgufValueType.Float32);
        _metadataWriter.Write(value);
    }

    /// <summary>Adds a boolean.</summary>
    public void Add(string key, bool value)
    {
        Key(key, GgufValueType.Bool);
        _metadataWriter.Write(value ? (byte)1 : (byte)0);
    }

    /// <summary>Adds an array of texts.</summary>
    public void Add(string key, IReadOnlyCollection<string> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        Array(key, GgufValueType.String, values.Count);
        foreach (string value in values)
            String(value);
    }

    /// <summary>Adds an array of 32-bit integers.</summary>
    public void Add(string key, ReadOnlySpan<int> values)
    {
        Array(key, GgufValueType.Int32, values.Length);
        foreach (int value in values)
            _metadataWriter.Write(value);
    }

    /// <summary>Adds an array of 32-bit floats.</summary>
    public void Add(string key, ReadOnlySpan<float> values)
    {
        Array(key, GgufValueType.Float32, values.Length);
        foreach (float value in values)
            _metadataWriter.Write(value);
    }

    /// <summary>Adds an array of booleans.</summary>
    public void Add(string key, ReadOnlySpan<bool> values)
    {
        Array(key, GgufValueType.Bool, values.Length);
        foreach (bool value in values)
            _metadataWriter.Write(value ? (byte)1 : (byte)0);
    }

    /// <summary>Declares the next tensor.</summary>
    /// <param name="name">At most 63 bytes.</param>
    /// <param name="type">F32, F16 or Q8_0.</param>
    /// <param name="shape">One to four extents, the contiguous one first: a matrix of m rows of n values is (n, m).</param>
    public void Declare(string name, GgufTensorType type, params ReadOnlySpan<long> shape)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (_dataStart >= 0)
            throw new InvalidOperationException("tensors are declared before any data is written");
        if (Encoding.UTF8.GetByteCount(name) > 63 || _tensorNames.Contains(name))
            throw new ArgumentException($"tensor name '{name}' is longer than 63 bytes or was declared before", nameof(name));
        if (type is not (GgufTensorType.F32 or GgufTensorType.F16 or GgufTensorType.Q8_0))
            throw new ArgumentOutOfRangeException(nameof(type), type, "only F32, F16 and Q8_0 can be written");
        if (shape.Length is 0 or > 4 || shape.ContainsAnyInRange(long.MinValue, 0))
            throw new ArgumentException($"tensor '{name}' needs one to four positive extents", nameof(shape));
        (int blockElements, int blockBytes) = GgufTensorTypes.BlockOf(type)!.Value;
        if (shape[0] % blockElements != 0)
            throw new ArgumentException($"tensor '{name}' has rows of {shape[0]} values, not a multiple of {blockElements}", nameof(shape));
        long elements = 1;
        foreach (long extent in shape)
            elements = checked(elements * extent);
        long bytes = checked(elements / blockElements * blockBytes);
        _tensorNames.Add(name);
        _tensors.Add(new GgufTensor(name, shape.ToArray(), type, _nextOffset, bytes));
        _nextOffset += Align(bytes);
    }

    /// <summary>Appends values to the first tensor that is not full, converting them to its type.</summary>
    /// <param name="values">Any part of one tensor, or all of it; for Q8_0 a multiple of 32.</param>
    public void Append(ReadOnlySpan<float> values)
    {
        if (_dataStart < 0)
            WriteHeader();
        if (_current == _tensors.Count)
            throw new InvalidOperationException("all tensors are full");
        GgufTensor tensor = _tensors[_current];
        if (values.Length > tensor.ElementCount - _written)
            throw new ArgumentException($"tensor '{tensor.Name}' has room for {tensor.ElementCount - _written} values, not {values.Length}", nameof(values));
        if (tensor.Type is GgufTensorType.Q8_0 && values.Length % 32 != 0)
            throw new ArgumentException($"tensor '{tensor.Name}' takes values 32 at a time, not {values.Length}", nameof(values));
        while (!values.IsEmpty)
        {
            ReadOnlySpan<float> part = values[..Math.Min(values.Length, ChunkElements)];
            _stream.Write(_chunk, 0, Encode(tensor.Type, part));
            _written += part.Length;
            values = values[part.Length..];
        }

        if (_written == tensor.ElementCount)
        {
            Pad(_stream, Align(tensor.SizeBytes) - tensor.SizeBytes);
            _current++;
            _written = 0;
        }
    }

    /// <summary>Completes the file and gives it its name.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor is not full.</exception>
    public void Finish()
    {
        if (_dataStart < 0)
            WriteHeader();
        if (_current < _tensors.Count)
            throw new InvalidOperationException($"tensor '{_tensors[_current].Name}' has {_written} of {_tensors[_current].ElementCount} values");
        Complete();
    }

    /// <summary>Completes a file whose tensors are a hole: zeros that take no space on the disk. A model of any size to plan with.</summary>
    internal void FinishHollow()
    {
        WriteHeader();
        _stream.SetLength(_dataStart + _nextOffset);
        Complete();
    }

    private void Complete()
    {
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_temporaryPath, _path, overwrite: true);
        _finished = true;
    }

    /// <summary>Closes the file; one that was not finished is deleted.</summary>
    public void Dispose()
    {
        _metadataWriter.Dispose();
        _metadata.Dispose();
        _stream.Dispose();
        if (!_finished)
            File.Delete(_temporaryPath);
    }

    private void WriteHeader()
    {
        using var header = new BinaryWriter(_stream, Encoding.UTF8, leaveOpen: true);
        header.Write("GGUF"u8);
        header.Write(3u);
        header.Write((ulong)_tensors.Count);
        header.Write((ulong)_keys.Count);
        _metadataWriter.Flush();
        header.Write(_metadata.GetBuffer().AsSpan(0, (int)_metadata.Length));
        foreach (GgufTensor tensor in _tensors)
        {
            String(header, tensor.Name);
            header.Write((uint)tensor.Shape.Count);
            foreach (long extent in tensor.Shape)
                header.Write((ulong)extent);
            header.Write((uint)tensor.Type);
            header.Write((ulong)tensor.Offset);
        }

        header.Flush();
        Pad(_stream, Align(_stream.Position) - _stream.Position);
        _dataStart = _stream.Position;
    }

    private int Encode(GgufTensorType type, ReadOnlySpan<float> values)
    {
        switch (type)
        {
            case GgufTensorType.F16:
                for (int i = 0; i < values.Length; i++)
                    BinaryPrimitives.WriteHalfLittleEndian(_chunk.AsSpan(i * 2), (Half)values[i]);
                return values.Length * 2;
            case GgufTensorType.Q8_0:
                for (int block = 0; block < values.Length / 32; block++)
                    EncodeQ8Block(values.Slice(block * 32, 32), _chunk.AsSpan(block * 34, 34));
                return values.Length / 32 * 34;
            default:
                for (int i = 0; i < values.Length; i++)
                    BinaryPrimitives.WriteSingleLittleEndian(_chunk.AsSpan(i * 4), values[i]);
                return values.Length * 4;
        }
    }

    /// <summary>Q8_0: a half-precision scale, then 32 signed bytes, value = scale * byte.</summary>
    private static void EncodeQ8Block(ReadOnlySpan<float> values, Span<byte> block)
    {
        float largest = 0;
        foreach (float value in values)
            largest = Math.Max(largest, Math.Abs(value));
        float scale = largest / 127;
        float inverse = scale > 0 ? 1 / scale : 0;
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        for (int i = 0; i < 32; i++)
            block[2 + i] = (byte)(sbyte)MathF.Round(values[i] * inverse, MidpointRounding.AwayFromZero);
    }

    private void Key(string key, GgufValueType type)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        if (_dataStart >= 0)
            throw new InvalidOperationException("metadata is added before any data is written");
        if (!_keys.Add(key))
            throw new ArgumentException($"metadata key '{key}' was added before", nameof(key));
        String(key);
        _metadataWriter.Write((uint)type);
    }

    private void Array(string key, GgufValueType elementType, int count)
    {
        Key(key, GgufValueType.Array);
        _metadataWriter.Write((uint)elementType);
        _metadataWriter.Write((ulong)count);
    }

    private void String(string value) => String(_metadataWriter, value);

    private static void String(BinaryWriter writer, string value)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(value);
        writer.Write((ulong)utf8.Length);
        writer.Write(utf8);
    }

    private static long Align(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private static void Pad(Stream stream, long bytes)
    {
        for (long i = 0; i < bytes; i++)
            stream.WriteByte(0);
    }
}
