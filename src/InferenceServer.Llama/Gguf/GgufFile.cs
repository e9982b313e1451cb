// What a GGUF file says about itself: metadata and where its tensors lie. Immutable, safe to share.
using System.Diagnostics.CodeAnalysis;

namespace InferenceServer.Llama.Gguf;

/// <summary>An array in the metadata. Long arrays (vocabularies) are checked and counted but not kept.</summary>
/// <param name="ElementType">Type of each element.</param>
/// <param name="Count">Number of elements.</param>
/// <param name="Offset">Where the first element lies in the file.</param>
/// <param name="Values">Integers and booleans of a short numeric array; empty when the array was long, or of another type.</param>
public sealed record GgufArray(GgufValueType ElementType, long Count, long Offset, IReadOnlyList<long> Values);

/// <summary>The header of a GGUF file, checked against the file's length.</summary>
public sealed class GgufFile
{
    private readonly Dictionary<string, object> _metadata;

    internal GgufFile(uint version, Dictionary<string, object> metadata, IReadOnlyList<GgufTensor> tensors, long dataOffset, int alignment)
    {
        Version = version;
        _metadata = metadata;
        Tensors = tensors;
        DataOffset = dataOffset;
        Alignment = alignment;
    }

    /// <summary>Format version: 2 or 3.</summary>
    public uint Version { get; }

    /// <summary>Every tensor, in file order.</summary>
    public IReadOnlyList<GgufTensor> Tensors { get; }

    /// <summary>Byte at which tensor data starts.</summary>
    public long DataOffset { get; }

    /// <summary>Alignment of tensors within the data section, in bytes.</summary>
    public int Alignment { get; }

    /// <summary><c>general.architecture</c>, such as <c>qwen2</c>.</summary>
    public string Architecture => GetString("general.architecture") ?? "";

    /// <summary>Names of all metadata entries.</summary>
    public IEnumerable<string> Keys => _metadata.Keys;

    /// <summary>Bytes of all tensors.</summary>
    public long TensorBytes => Tensors.Sum(t => t.SizeBytes);

    /// <summary>A string value, or null when the key is absent or of another type.</summary>
    public string? GetString(string key) => _metadata.GetValueOrDefault(key) as string;

    /// <summary>An integer value of any width, or null when the key is absent or of another type.</summary>
    public long? GetInteger(string key) => _metadata.GetValueOrDefault(key) is long value ? value : null;

    /// <summary>A float value, or null when the key is absent or of another type.</summary>
    public double? GetFloat(string key) => Wide(_metadata.GetValueOrDefault(key)) is double value ? value : null;

    /// <summary>Whether a value is a float of 32 bits: llama.cpp reads some so without asking, and asserts it.</summary>
    public bool IsSingle(string key) => _metadata.GetValueOrDefault(key) is float;

    /// <summary>A boolean, or null when the key is absent or of another type.</summary>
    public bool? GetBoolean(string key) => _metadata.GetValueOrDefault(key) is bool value ? value : null;

    /// <summary>An array, or null when the key is absent or of another type.</summary>
    public GgufArray? GetArray(string key) => _metadata.GetValueOrDefault(key) as GgufArray;

    /// <summary>An integer of the model's own architecture: <c>Hyper("block_count")</c> reads <c>qwen2.block_count</c>.</summary>
    public long? Hyper(string name) => GetInteger($"{Architecture}.{name}");

    /// <summary>Every value but arrays, by name: string, long, double or bool.</summary>
    public IEnumerable<KeyValuePair<string, object>> Scalars() => _metadata.Where(entry => entry.Value is not GgufArray).Select(entry => KeyValuePair.Create(entry.Key, Wide(entry.Value)!));

    /// <summary>A value as text, as <c>llama_model_meta_val_str</c> would give it; false for arrays and unknown keys.</summary>
    public bool TryGetText(string key, [NotNullWhen(true)] out string? text)
    {
        text = Wide(_metadata.GetValueOrDefault(key)) switch
        {
            string value => value,
            long value => value.ToString(System.Globalization.CultureInfo.InvariantCulture),
            double value => value.ToString(System.Globalization.CultureInfo.InvariantCulture),
            bool value => value ? "true" : "false",
            _ => null,
        };
        return text is not null;
    }

    private static object? Wide(object? value) => value is float single ? (double)single : value;
}
