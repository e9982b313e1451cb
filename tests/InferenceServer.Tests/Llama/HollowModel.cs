using InferenceServer.Llama.Gguf;

namespace InferenceServer.Tests.Llama;

/// <summary>Models of real sizes without weights: files of many gigabytes that take some kilobytes on the disk, to plan with.</summary>
internal static class HollowModel
{
    /// <summary>The shape of Llama 3 8B.</summary>
    public static string Dense8B(string folder) => Write(folder, "dense-8b", "llama", layers: 32, width: 4096, heads: 32, headsKv: 8, headLength: 128, forward: 14_336, vocabulary: 128_256, context: 131_072);

    /// <summary>The shape of Qwen 3 30B-A3B: 128 experts, of which 8 compute a token.</summary>
    public static string Mixture30B(string folder) => Write(folder, "mixture-30b", "qwen3moe", layers: 48, width: 2048, heads: 32, headsKv: 4, headLength: 128, forward: 768, vocabulary: 151_936, context: 40_960, experts: 128, used: 8);

    /// <summary>The shape of Gemma 3 4B: five of six layers keep 1,024 tokens.</summary>
    public static string Windowed4B(string folder) => Write(folder, "windowed-4b", "gemma3", layers: 34, width: 2560, heads: 8, headsKv: 4, headLength: 256, forward: 10_240, vocabulary: 262_144, context: 131_072, window: 1024);

    private static string Write(string folder, string name, string architecture, uint layers, uint width, uint heads, uint headsKv, uint headLength, uint forward, uint vocabulary, uint context, uint experts = 0, uint used = 0, uint window = 0)
    {
        string path = Path.Combine(folder, $"{name}.gguf");
        if (File.Exists(path))
            return path;
        using var writer = GgufWriter.Create(path, architecture);
        writer.Add("general.name", $"Hollow {name}");
        writer.Add($"{architecture}.context_length", context);
        writer.Add($"{architecture}.embedding_length", width);
        writer.Add($"{architecture}.block_count", layers);
        writer.Add($"{architecture}.feed_forward_length", forward);
        writer.Add($"{architecture}.attention.head_count", heads);
        writer.Add($"{architecture}.attention.head_count_kv", headsKv);
        writer.Add($"{architecture}.attention.key_length", headLength);
        writer.Add($"{architecture}.attention.value_length", headLength);
        writer.Add($"{architecture}.attention.layer_norm_rms_epsilon", 1e-6f);
        if (window > 0)
            writer.Add($"{architecture}.attention.sliding_window", window);
        if (experts > 0)
        {
            writer.Add($"{architecture}.expert_count", experts);
            writer.Add($"{architecture}.expert_used_count", used);
            writer.Add($"{architecture}.expert_feed_forward_length", forward);
        }

        writer.Add("tokenizer.ggml.model", "no_vocab");
        writer.Add($"{architecture}.vocab_size", vocabulary);
        Matrix("token_embd.weight", width, vocabulary);
        Vector("output_norm.weight", width);
        if (window == 0)
            Matrix("output.weight", width, vocabulary);
        for (int layer = 0; layer < layers; layer++)
        {
            string block = $"blk.{layer}";
            foreach (string norm in window > 0 ? ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"] : (string[])["attn_norm", "ffn_norm"])
                Vector($"{block}.{norm}.weight", width);
            if (architecture is not "llama")
                foreach (string norm in (string[])["attn_q_norm", "attn_k_norm"])
                    Vector($"{block}.{norm}.weight", headLength);
            Matrix($"{block}.attn_q.weight", width, heads * headLength);
            Matrix($"{block}.attn_k.weight", width, headsKv * headLength);
            Matrix($"{block}.attn_v.weight", width, headsKv * headLength);
            Matrix($"{block}.attn_output.weight", heads * headLength, width);
            if (experts > 0)
                writer.Declare($"{block}.ffn_gate_inp.weight", GgufTensorType.F32, width, experts);
            string kind = experts > 0 ? "_exps" : "";
            Matrix($"{block}.ffn_gate{kind}.weight", width, forward, experts);
            Matrix($"{block}.ffn_up{kind}.weight", width, forward, experts);
            Matrix($"{block}.ffn_down{kind}.weight", forward, width, experts);
        }

        writer.FinishHollow();
        return path;

        void Matrix(string tensor, long columns, long rows, long count = 0) => writer.Declare(tensor, GgufTensorType.Q8_0, count > 0 ? [columns, rows, count] : [columns, rows]);
        void Vector(string tensor, long length) => writer.Declare(tensor, GgufTensorType.F32, length);
    }
}
