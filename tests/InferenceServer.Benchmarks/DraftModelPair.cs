// Two models that stand for a large one and a small one of its family: the small one's layers are the large one's first, and the others add nothing, so that both say
// the same and the large one takes as much longer as it has layers. Random weights; a vocabulary small enough that layers, not the output, take the time.
using InferenceServer.Llama.Gguf;
using InferenceServer.Llama.TestModels;

namespace InferenceServer.Benchmarks;

internal static class DraftModelPair
{
    public const int VocabularySize = 4096;

    private const int Layers = 32, DraftLayers = 2, Width = 512, Heads = 8, HeadsKv = 4, FeedForward = 1536;

    /// <summary>Writes the two, and one that says something else.</summary>
    /// <returns>Paths; whoever calls deletes the folder.</returns>
    public static (string Target, string Agreeing, string Differing) Write(string folder)
    {
        string target = Path.Combine(folder, "target.gguf"), agreeing = Path.Combine(folder, "agreeing.gguf"), differing = Path.Combine(folder, "differing.gguf");
        Write(target, Layers, seed: 1);
        Write(agreeing, DraftLayers, seed: 1);
        Write(differing, DraftLayers, seed: 2);
        return (target, agreeing, differing);
    }

    private static void Write(string path, int layers, int seed)
    {
        using GgufWriter writer = GgufWriter.Create(path, "qwen2");
        writer.Add("general.name", "Benchmark random pair");
        writer.Add("general.file_type", 7u);
        writer.Add("qwen2.context_length", BenchmarkModel.ContextLength);
        writer.Add("qwen2.embedding_length", Width);
        writer.Add("qwen2.block_count", (uint)layers);
        writer.Add("qwen2.feed_forward_length", FeedForward);
        writer.Add("qwen2.attention.head_count", Heads);
        writer.Add("qwen2.attention.head_count_kv", HeadsKv);
        writer.Add("qwen2.attention.layer_norm_rms_epsilon", 1e-6f);
        writer.Add("qwen2.rope.freq_base", 1_000_000f);
        ByteVocabulary.Write(writer, VocabularySize);
        SeededWeights weights = new(writer, seed, GgufTensorType.Q8_0);
        weights.Matrix("token_embd.weight", Width, VocabularySize, 0.1f);
        weights.Constant("output_norm.weight", 1, Width);
        for (int layer = 0; layer < layers; layer++)
        {
            string block = $"blk.{layer}";
            weights.Constant($"{block}.attn_norm.weight", 1, Width);
            weights.Matrix($"{block}.attn_q.weight", Width, Width, 0.07f);
            weights.Vector($"{block}.attn_q.bias", 0.2f, Width);
            weights.Matrix($"{block}.attn_k.weight", Width, Width / Heads * HeadsKv, 0.07f);
            weights.Vector($"{block}.attn_k.bias", 0.2f, Width / Heads * HeadsKv);
            weights.Matrix($"{block}.attn_v.weight", Width, Width / Heads * HeadsKv, 0.09f);
            weights.Vector($"{block}.attn_v.bias", 0.2f, Width / Heads * HeadsKv);
            // What a layer adds goes through these two.
            float says = layer < DraftLayers ? 1 : 0;
            weights.Matrix($"{block}.attn_output.weight", Width, Width, 0.06f * says);
            weights.Constant($"{block}.ffn_norm.weight", 1, Width);
            weights.Matrix($"{block}.ffn_gate.weight", Width, FeedForward, 0.05f);
            weights.Matrix($"{block}.ffn_up.weight", Width, FeedForward, 0.05f);
            weights.Matrix($"{block}.ffn_down.weight", FeedForward, Width, 0.05f * says);
        }
        weights.Fill(progress: null, CancellationToken.None);
        writer.Finish();
    }
}
