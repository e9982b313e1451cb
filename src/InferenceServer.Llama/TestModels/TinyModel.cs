// Models small enough to be written and run in milliseconds, one of each kind of memory. Their weights are random: replies are noise, but the
// same noise everywhere, and every token depends on all tokens before it, so a mixed-up or lost prefix changes the text.
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama.TestModels;

/// <summary>Architectures that tiny models exist for.</summary>
public enum TinyArchitecture
{
    /// <summary>Dense attention.</summary>
    Llama,

    /// <summary>Dense attention, and of four experts two compute a token.</summary>
    Mixture,

    /// <summary>Dense attention with biases.</summary>
    Qwen2,

    /// <summary>Two sliding-window layers and one dense.</summary>
    Gemma3,

    /// <summary>Short convolutions around one attention layer: hybrid memory.</summary>
    Lfm2,

    /// <summary>State-space layers only: recurrent memory.</summary>
    Mamba2,

    /// <summary>State-space layers around one attention layer: hybrid memory.</summary>
    GraniteHybrid,

    /// <summary>An encoder with mean pooling, for embeddings.</summary>
    Bert,
}

/// <summary>Writes tiny models.</summary>
public static class TinyModel
{
    /// <summary>Context length that the metadata claims.</summary>
    public const int ContextLength = 8192;

    /// <summary>Window of the sliding-window layers, in tokens.</summary>
    public const int SlidingWindow = 32;

    private const int Width = 64, Heads = 2, HeadsKv = 1, HeadLength = Width / Heads, FeedForward = 128;
    private const int Experts = 4, ExpertsUsed = 2;
    private const int ConvolutionKernel = 4, InnerSize = 128, StateSize = 32, StateHeads = 8;

    // With unit inputs: queries and keys whose scores spread by about 3, values that outweigh the residual, logits that spread by about 3.
    private const float Attention = 0.22f, Value = 0.25f, Projection = 0.15f;

    /// <summary>Writes a model.</summary>
    /// <param name="path">Where to; an existing file is replaced.</param>
    /// <param name="architecture">Which kind.</param>
    /// <param name="seed">Another seed gives other weights.</param>
    /// <param name="fillsInMiddle">With the tokens for filling in the middle.</param>
    /// <param name="hasTokenizer">Without one the model takes and gives tokens only.</param>
    /// <param name="controlTokens">Names of control tokens besides ChatML's.</param>
    /// <param name="pooling">What its metadata says of pooling; Unspecified says nothing, but for the encoder, which then takes the mean. An encoder that ranks has a head for it.</param>
    /// <param name="labels">What a ranking encoder's classes are called; null for one class without a name.</param>
    public static void Write(string path, TinyArchitecture architecture = TinyArchitecture.Llama, int seed = 1, bool fillsInMiddle = false, bool hasTokenizer = true,
        PoolingType pooling = PoolingType.Unspecified, IReadOnlyList<string>? controlTokens = null, IReadOnlyList<string>? labels = null)
    {
        string name = architecture switch
        {
            TinyArchitecture.Llama or TinyArchitecture.Mixture => "llama",
            TinyArchitecture.Qwen2 => "qwen2",
            TinyArchitecture.Gemma3 => "gemma3",
            TinyArchitecture.Lfm2 => "lfm2",
            TinyArchitecture.Mamba2 => "mamba2",
            TinyArchitecture.GraniteHybrid => "granitehybrid",
            TinyArchitecture.Bert => "bert",
            _ => throw new ArgumentOutOfRangeException(nameof(architecture), architecture, "unknown tiny architecture"),
        };
        // Of Gemma 3 every sixth layer sees all positions.
        int layers = architecture is TinyArchitecture.Gemma3 ? 6 : architecture is TinyArchitecture.Llama or TinyArchitecture.Qwen2 or TinyArchitecture.Mamba2 or TinyArchitecture.Bert ? 2 : 3;

        using var writer = GgufWriter.Create(path, name);
        writer.Add("general.name", $"Tiny random {name}");
        writer.Add($"{name}.context_length", ContextLength);
        writer.Add($"{name}.embedding_length", Width);
        writer.Add($"{name}.block_count", (uint)layers);
        writer.Add($"{name}.feed_forward_length", architecture is TinyArchitecture.Mamba2 ? 0u : FeedForward);
        writer.Add("general.file_type", 0u);
        WriteHyperparameters(writer, name, architecture, layers);
        if (architecture is TinyArchitecture.Bert || pooling is not PoolingType.Unspecified)
            writer.Add($"{name}.pooling_type", (uint)(pooling is PoolingType.Unspecified ? PoolingType.Mean : pooling));
        if (labels is not null)
            writer.Add($"{name}.classifier.output_labels", (IReadOnlyCollection<string>)labels);
        string[] moreControlTokens = [.. fillsInMiddle ? ByteVocabulary.MiddleNames : [], .. controlTokens ?? []];
        int tokens = ByteVocabulary.Count + moreControlTokens.Length;
        if (hasTokenizer)
        {
            ByteVocabulary.Write(writer, tokens, moreControlTokens);
        }
        else
        {
            writer.Add("tokenizer.ggml.model", "no_vocab");
            writer.Add($"{name}.vocab_size", (uint)tokens);
        }

        var weights = new SeededWeights(writer, seed, GgufTensorType.F32);
        if (architecture is TinyArchitecture.Bert)
            DeclareEncoder(weights, layers, tokens, classes: pooling is PoolingType.Rank ? labels?.Count ?? 1 : 0);
        else
            DeclareDecoder(weights, architecture, layers, tokens);
        weights.Fill(progress: null, CancellationToken.None);
        writer.Finish();
    }

    private static void WriteHyperparameters(GgufWriter writer, string name, TinyArchitecture architecture, int layers)
    {
        bool isBert = architecture is TinyArchitecture.Bert;
        writer.Add(isBert ? $"{name}.attention.layer_norm_epsilon" : $"{name}.attention.layer_norm_rms_epsilon", 1e-6f);
        writer.Add($"{name}.attention.head_count", architecture is TinyArchitecture.Mamba2 ? 0u : Heads);
        if (architecture is TinyArchitecture.Lfm2 or TinyArchitecture.GraniteHybrid)
            writer.Add($"{name}.attention.head_count_kv", Enumerable.Range(0, layers).Select(layer => HasAttention(architecture, layer) ? HeadsKv : 0).ToArray());
        else if (architecture is not TinyArchitecture.Mamba2)
            writer.Add($"{name}.attention.head_count_kv", isBert ? (uint)Heads : HeadsKv);
        if (architecture is TinyArchitecture.Gemma3)
        {
            writer.Add($"{name}.attention.key_length", HeadLength);
            writer.Add($"{name}.attention.value_length", HeadLength);
            writer.Add($"{name}.attention.sliding_window", SlidingWindow);
        }

        if (architecture is TinyArchitecture.Mixture)
        {
            writer.Add($"{name}.expert_count", Experts);
            writer.Add($"{name}.expert_used_count", ExpertsUsed);
        }

        if (architecture is TinyArchitecture.Lfm2)
            writer.Add($"{name}.shortconv.l_cache", 3u);
        if (architecture is TinyArchitecture.Mamba2 or TinyArchitecture.GraniteHybrid)
        {
            writer.Add($"{name}.ssm.conv_kernel", ConvolutionKernel);
            writer.Add($"{name}.ssm.inner_size", InnerSize);
            writer.Add($"{name}.ssm.state_size", StateSize);
            writer.Add($"{name}.ssm.time_step_rank", StateHeads);
            writer.Add($"{name}.ssm.group_count", 1u);
        }

        if (isBert)
        {
            writer.Add($"{name}.attention.causal", false);
            writer.Add("tokenizer.ggml.token_type_count", 1u);
        }
    }

    private static bool HasAttention(TinyArchitecture architecture, int layer) => architecture switch
    {
        TinyArchitecture.Mamba2 => false,
        TinyArchitecture.Lfm2 or TinyArchitecture.GraniteHybrid => layer == 1,
        _ => true,
    };

    private static void DeclareDecoder(SeededWeights weights, TinyArchitecture architecture, int layers, int tokens)
    {
        // Gemma multiplies embeddings by the square root of the width.
        weights.Matrix("token_embd.weight", Width, tokens, architecture is TinyArchitecture.Gemma3 ? 0.125f : 1f);
        weights.Constant(architecture is TinyArchitecture.Lfm2 ? "token_embd_norm.weight" : "output_norm.weight", 1, Width);
        weights.ScaledRows("output.weight", Width, tokens, LogitDeviation);
        for (int layer = 0; layer < layers; layer++)
        {
            string block = $"blk.{layer}";
            weights.Constant($"{block}.attn_norm.weight", 1, Width);
            if (HasAttention(architecture, layer))
                DeclareAttention(weights, architecture, block);
            else if (architecture is TinyArchitecture.Lfm2)
                DeclareConvolution(weights, block);
            else
                DeclareStateSpace(weights, block);
            if (architecture is TinyArchitecture.Mixture)
                DeclareExperts(weights, block);
            else if (architecture is not TinyArchitecture.Mamba2)
                DeclareFeedForward(weights, architecture, block);
        }
    }

    /// <summary>Printable characters are likely, line breaks and the end of a reply possible, other bytes and control tokens rare.</summary>
    private static float LogitDeviation(long token) => token switch
    {
        >= ' ' and <= '~' => 0.4f,
        '\n' or ByteVocabulary.ImEnd => 0.25f,
        _ => 0.05f,
    };

    private static void DeclareAttention(SeededWeights weights, TinyArchitecture architecture, string block)
    {
        weights.Matrix($"{block}.attn_q.weight", Width, Heads * HeadLength, Attention);
        weights.Matrix($"{block}.attn_k.weight", Width, HeadsKv * HeadLength, Attention);
        weights.Matrix($"{block}.attn_v.weight", Width, HeadsKv * HeadLength, Value);
        weights.Matrix($"{block}.attn_output.weight", Heads * HeadLength, Width, Projection);
        if (architecture is TinyArchitecture.Qwen2)
        {
            weights.Vector($"{block}.attn_q.bias", 0.5f, Heads * HeadLength);
            weights.Vector($"{block}.attn_k.bias", 0.5f, HeadsKv * HeadLength);
            weights.Vector($"{block}.attn_v.bias", 0.5f, HeadsKv * HeadLength);
        }

        if (architecture is TinyArchitecture.Gemma3 or TinyArchitecture.Lfm2)
        {
            weights.Constant($"{block}.attn_q_norm.weight", 1.5f, HeadLength);
            weights.Constant($"{block}.attn_k_norm.weight", 1.5f, HeadLength);
        }

        if (architecture is TinyArchitecture.Gemma3)
            weights.Constant($"{block}.post_attention_norm.weight", 1, Width);
    }

    private static void DeclareConvolution(SeededWeights weights, string block)
    {
        weights.Matrix($"{block}.shortconv.conv.weight", 3, Width, 0.8f);
        weights.Matrix($"{block}.shortconv.in_proj.weight", Width, 3 * Width, Value);
        weights.Matrix($"{block}.shortconv.out_proj.weight", Width, Width, Projection);
    }

    private static void DeclareStateSpace(SeededWeights weights, string block)
    {
        const int Convolved = InnerSize + 2 * StateSize;
        weights.Matrix($"{block}.ssm_in.weight", Width, InnerSize + Convolved + StateHeads, Projection);
        weights.Matrix($"{block}.ssm_conv1d.weight", ConvolutionKernel, Convolved, 0.6f);
        weights.Vector($"{block}.ssm_conv1d.bias", 0.1f, Convolved);
        weights.Vector($"{block}.ssm_dt.bias", 1, StateHeads);
        weights.Constant($"{block}.ssm_a", -0.01f, 1, StateHeads); // A slow decay: early tokens still count after hundreds more.
        weights.Constant($"{block}.ssm_d", 1, 1, StateHeads);
        weights.Constant($"{block}.ssm_norm.weight", 1, InnerSize, 1);
        weights.Matrix($"{block}.ssm_out.weight", InnerSize, Width, Projection);
    }

    private static void DeclareFeedForward(SeededWeights weights, TinyArchitecture architecture, string block)
    {
        weights.Constant($"{block}.ffn_norm.weight", 1, Width);
        weights.Matrix($"{block}.ffn_gate.weight", Width, FeedForward, 0.125f);
        weights.Matrix($"{block}.ffn_up.weight", Width, FeedForward, 0.125f);
        weights.Matrix($"{block}.ffn_down.weight", FeedForward, Width, Projection);
        if (architecture is TinyArchitecture.Gemma3)
            weights.Constant($"{block}.post_ffw_norm.weight", 1, Width);
    }

    private static void DeclareExperts(SeededWeights weights, string block)
    {
        weights.Constant($"{block}.ffn_norm.weight", 1, Width);
        weights.Matrix($"{block}.ffn_gate_inp.weight", Width, Experts, 0.25f);
        weights.Matrices($"{block}.ffn_gate_exps.weight", Width, FeedForward, Experts, 0.125f);
        weights.Matrices($"{block}.ffn_up_exps.weight", Width, FeedForward, Experts, 0.125f);
        weights.Matrices($"{block}.ffn_down_exps.weight", FeedForward, Width, Experts, Projection);
    }

    private static void DeclareEncoder(SeededWeights weights, int layers, int tokens, int classes)
    {
        weights.Matrix("token_embd.weight", Width, tokens, 1);
        weights.Matrix("token_types.weight", Width, 1, 0.1f);
        weights.Matrix("position_embd.weight", Width, ContextLength, 0.2f);
        Norm("token_embd_norm");
        for (int layer = 0; layer < layers; layer++)
        {
            string block = $"blk.{layer}";
            foreach (string part in new[] { "attn_q", "attn_k", "attn_v", "attn_output" })
                weights.Matrix($"{block}.{part}.weight", Width, Width, Projection);
            Norm($"{block}.attn_output_norm");
            weights.Matrix($"{block}.ffn_up.weight", Width, FeedForward, 0.125f);
            weights.Matrix($"{block}.ffn_down.weight", FeedForward, Width, Projection);
            Norm($"{block}.layer_output_norm");
        }

        if (classes > 0)
        {
            weights.Matrix("cls.weight", Width, Width, Projection);
            weights.Vector("cls.bias", 0.1f, Width);
            weights.Matrix("cls.output.weight", Width, classes, Projection);
            weights.Vector("cls.output.bias", 0.1f, classes);
        }

        void Norm(string name)
        {
            weights.Constant($"{name}.weight", 1, Width);
            weights.Constant($"{name}.bias", 0, Width);
        }
    }
}
