// Writes a trained model as GGUF: weights, tokenizer and chat template, as llama.cpp reads arch "llama". And a LoRA adapter of one.
using InferenceServer.Llama.Gguf;
using InferenceServer.Training.Model;
using InferenceServer.Training.Tokenizer;
using TorchSharp;

namespace InferenceServer.Training.Export;

public static class GgufExporter
{
    /// <summary>ChatML: every message between its markers, then the opening of the reply.</summary>
    public const string ChatTemplate =
        "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{%- endfor %}"
        + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

    private const int Normal = 1, Control = 3;                    // llama_token_type
    private const uint FileTypeF16 = 1, FileTypeQ8 = 7;           // llama_ftype

    /// <summary>Writes the model; matrices in <paramref name="type"/> (F16, Q8_0 or F32), norm gains in F32.</summary>
    public static void Write(Transformer model, BpeTokenizer tokenizer, string path, GgufTensorType type)
    {
        ModelConfig config = model.Config;
        if (config.VocabularySize != tokenizer.VocabularySize)
        {
            throw new InvalidDataException($"The model has {config.VocabularySize} tokens, the tokenizer {tokenizer.VocabularySize}.");
        }

        using var writer = GgufWriter.Create(path, "llama");
        writer.Add("general.name", "Chat Small");
        writer.Add("general.file_type", type == GgufTensorType.Q8_0 ? FileTypeQ8 : type == GgufTensorType.F16 ? FileTypeF16 : 0u);
        writer.Add("llama.context_length", (uint)config.ContextLength);
        writer.Add("llama.embedding_length", (uint)config.Width);
        writer.Add("llama.block_count", (uint)config.Layers);
        writer.Add("llama.feed_forward_length", (uint)config.FeedForward);
        writer.Add("llama.attention.head_count", (uint)config.Heads);
        writer.Add("llama.attention.head_count_kv", (uint)config.KvHeads);
        writer.Add("llama.attention.layer_norm_rms_epsilon", (float)config.NormEpsilon);
        writer.Add("llama.rope.dimension_count", (uint)config.HeadSize);
        writer.Add("llama.rope.freq_base", (float)config.RopeTheta);
        writer.Add("llama.vocab_size", (uint)config.VocabularySize);
        AddTokenizer(writer, tokenizer);
        Append(writer, model.Weights, weight => weight.dim() == 1 ? GgufTensorType.F32 : type);
        writer.Finish();
    }

    /// <summary>Writes an adapter, in F32: it is small.</summary>
    public static void Write(LoraAdapter adapter, string path)
    {
        using var writer = GgufWriter.Create(path, "llama");
        writer.Add("general.type", "adapter");
        writer.Add("general.name", "Chat Small LoRA");
        writer.Add("adapter.type", "lora");
        writer.Add("adapter.lora.alpha", (float)adapter.Options.Alpha);
        Append(writer, adapter.Parameters, _ => GgufTensorType.F32);
        writer.Finish();
    }

    private static void Append(GgufWriter writer, IReadOnlyDictionary<string, torch.Tensor> weights, Func<torch.Tensor, GgufTensorType> typeOf)
    {
        foreach ((string name, torch.Tensor weight) in weights)
        {
            long[] shape = [.. weight.shape.Reverse()];
            writer.Declare(name, typeOf(weight), shape);
        }

        foreach (torch.Tensor weight in weights.Values)
        {
            using torch.Tensor plain = weight.detach().cpu().contiguous();
            writer.Append(plain.data<float>().ToArray());
        }
    }

    private static void AddTokenizer(GgufWriter writer, BpeTokenizer tokenizer)
    {
        TokenizerFile file = tokenizer.File;
        string[] tokens = [.. file.Tokens, .. file.Specials];
        int[] types = [.. file.Tokens.Select(_ => Normal), .. file.Specials.Select(_ => Control)];
        writer.Add("tokenizer.ggml.model", "gpt2");
        writer.Add("tokenizer.ggml.pre", "qwen2");
        writer.Add("tokenizer.ggml.tokens", tokens);
        writer.Add("tokenizer.ggml.token_type", types);
        writer.Add("tokenizer.ggml.merges", [.. file.Merges.Select(m => m[0] + " " + m[1])]);
        writer.Add("tokenizer.ggml.bos_token_id", (uint)tokenizer.EndOfTextId);
        writer.Add("tokenizer.ggml.eos_token_id", (uint)tokenizer.MessageEndId);
        writer.Add("tokenizer.ggml.padding_token_id", (uint)tokenizer.EndOfTextId);
        writer.Add("tokenizer.ggml.add_bos_token", false);
        writer.Add("tokenizer.chat_template", ChatTemplate);
    }
}
