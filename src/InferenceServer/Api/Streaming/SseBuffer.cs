using System.Buffers;
using System.Buffers.Text;
using System.IO.Pipelines;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace InferenceServer.Api.Streaming;

/// <summary>Appends to the response's pipe without allocating: prepared bytes, JSON strings, numbers, and whole objects where speed does not matter.</summary>
internal sealed class SseBuffer(PipeWriter pipe) : IDisposable
{
    private readonly Utf8JsonWriter _json = new(pipe, new JsonWriterOptions
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    });

    /// <summary>Whether anything was appended since the last flush.</summary>
    public bool Pending { get; private set; }

    /// <summary>A text as JSON, for bytes that are prepared.</summary>
    public static string Quote(string text) => $"\"{JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";

    public void Raw(ReadOnlySpan<byte> bytes)
    {
        pipe.Write(bytes);
        Pending = true;
    }

    public void JsonString(string text)
    {
        _json.WriteStringValue(text);
        Commit();
    }

    public void Number(int value)
    {
        Span<byte> digits = stackalloc byte[11];
        _ = Utf8Formatter.TryFormat(value, digits, out int length);
        Raw(digits[..length]);
    }

    public void Json<T>(T value, JsonTypeInfo<T> type)
    {
        JsonSerializer.Serialize(_json, value, type);
        Commit();
    }

    public ValueTask<FlushResult> FlushAsync()
    {
        Pending = false;
        return pipe.FlushAsync();
    }

    public void Dispose() => _json.Dispose();

    private void Commit()
    {
        _json.Flush();
        _json.Reset();
        Pending = true;
    }
}
