using System.Collections.Frozen;
using InferenceServer.Llama;

namespace InferenceServer.Models;

/// <summary>What a loaded file says of itself, for those who list models.</summary>
public sealed record ServedModelFile
{
    public static ServedModelFile None { get; } = new();

    public string Architecture { get; init; } = "";

    public long ParameterCount { get; init; }

    /// <summary>Bytes of all tensors.</summary>
    public long SizeBytes { get; init; }

    /// <summary>Of these, what lies on GPUs: by layers, taken as equally large where only some do.</summary>
    public long GpuBytes { get; init; }

    /// <summary>The type that most bytes are stored as, such as Q8_0.</summary>
    public string Quantization { get; init; } = "";

    /// <summary>In hex; equal for equal files.</summary>
    public string Digest { get; init; } = "";

    /// <summary>The template that renders chats.</summary>
    public string ChatTemplate { get; init; } = "";

    /// <summary>Texts, integers (long), floats (double) and booleans by name; without the chat template.</summary>
    public IReadOnlyDictionary<string, object> Metadata { get; init; } = FrozenDictionary<string, object>.Empty;

    public static ServedModelFile Of(LlamaModel model, string chatTemplate) => new()
    {
        Architecture = model.Architecture,
        ParameterCount = model.ParameterCount,
        SizeBytes = model.SizeBytes,
        GpuBytes = model.SizeBytes / (model.LayerCount + 1) * Math.Min(model.GpuLayers, model.LayerCount + 1),
        Quantization = model.MainTensorType.ToString(),
        Digest = Convert.ToHexStringLower(model.ContentHash()),
        ChatTemplate = chatTemplate,
        Metadata = model.ScalarMetadata().Where(entry => entry.Key != "tokenizer.chat_template").ToFrozenDictionary(),
    };
}
