// The model that speed is measured on: the shape of a 100M-parameter qwen2 with a real vocabulary's size, random weights.
using InferenceServer.Llama;
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Benchmarks;

/// <summary>Makes the benchmark model: 8 layers, width 512, 8 heads, 4 of them for keys and values, 151,936 tokens, tied embeddings, Q8_0.</summary>
internal static class BenchmarkModel
{
    /// <summary>Context length that the metadata claims.</summary>
    public const int ContextLength = 32_768;

    /// <summary>Number of tokens, that of Qwen2.</summary>
    public const int VocabularySize = 151_936;

    private const int Layers = 8, Width = 512, Heads = 8, HeadsKv = 4, FeedForward = 1536;

    /// <summary>Writes the model if it is not there yet.</summary>
    /// <param name="library">Quantizes it.</param>
    /// <param name="path">Where it goes, 119 MB; twice that is needed beside it for a while.</param>
    /// <param name="progress">Told the fraction done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops between chunks of weights.</param>
    public static void Create(LlamaLibrary library, string path, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (File.Exists(path))
            return;
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
            Directory.CreateDirectory(folder);
        string full = $"{path}.f16";
        string quantized = $"{path}.{Environment.ProcessId}.q8";
        try
        {
            WriteHalfPrecision(full, progress, cancellationToken);
            LlamaQuantizer.QuantizeToQ8(library, full, quantized);
            File.Move(quantized, path, overwrite: true);
        }
        finally
        {
            File.Delete(full);
            File.Delete(quantized);
        }

        progress?.Report(1);
    }

    private static void WriteHalfPrecision(string path, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        using var writer = GgufWriter.Create(path, "qwen2");
        writer.Add("general.name", "Benchmark random qwen2 100M");
        writer.Add("general.file_type", 1u);
        writer.Add("qwen2.context_length", ContextLength);
        writer.Add("qwen2.embedding_length", Width);
        writer.Add("qwen2.block_count", Layers);
        writer.Add("qwen2.feed_forward_length", FeedForward);
        writer.Add("qwen2.attention.head_count", Heads);
        writer.Add("qwen2.attention.head_count_kv", HeadsKv);
        writer.Add("qwen2.attention.layer_norm_rms_epsilon", 1e-6f);
        writer.Add("qwen2.rope.freq_base", 1_000_000f);
        ByteVocabulary.Write(writer, VocabularySize);

        var weights = new SeededWeights(writer, seed: 1, GgufTensorType.F16);
        // Small against what the layers add, or greedy decoding with tied embeddings would repeat the last token for ever.
        weights.Matrix("token_embd.weight", Width, VocabularySize, 0.1f);
        weights.Constant("output_norm.weight", 1, Width);
        for (int layer = 0; layer < Layers; layer++)
        {
            string block = $"blk.{layer}";
            weights.Constant($"{block}.attn_norm.weight", 1, Width);
            weights.Matrix($"{block}.attn_q.weight", Width, Width, 0.07f);
            weights.Vector($"{block}.attn_q.bias", 0.2f, Width);
            weights.Matrix($"{block}.attn_k.weight", Width, Width / Heads * HeadsKv, 0.07f);
            weights.Vector($"{block}.attn_k.bias", 0.2f, Width / Heads * HeadsKv);
            weights.Matrix($"{block}.attn_v.weight", Width, Width / Heads * HeadsKv, 0.09f);
            weights.Vector($"{block}.attn_v.bias", 0.2f, Width / Heads * HeadsKv);
            weights.Matrix($"{block}.attn_output.weight", Width, Width, 0.06f);
            weights.Constant($"{block}.ffn_norm.weight", 1, Width);
            weights.Matrix($"{block}.ffn_gate.weight", Width, FeedForward, 0.05f);
            weights.Matrix($"{block}.ffn_up.weight", Width, FeedForward, 0.05f);
            weights.Matrix($"{block}.ffn_down.weight", FeedForward, Width, 0.05f);
        }

        weights.Fill(progress is null ? null : new Part(progress), cancellationToken);
        writer.Finish();
    }

    /// <summary>Writing takes about four fifths of the time, quantizing the rest.</summary>
    private sealed class Part(IProgress<double> whole) : IProgress<double>
    {
        public void Report(double value) => whole.Report(value * 0.8);
    }
}
