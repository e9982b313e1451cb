// Structs cross the border by value, so a library of another release would corrupt memory without a word. Checked before the first real call.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>Compares the library's version and the defaults it writes with what the mirrored structs expect at their offsets.</summary>
internal static unsafe partial class AbiCheck
{
    /// <exception cref="LlamaException">The library at <paramref name="path"/> is not the release this project mirrors.</exception>
    public static void Verify(string path)
    {
        string version;
        ModelParamsProbe model;
        ContextParamsProbe context;
        QuantizeParamsProbe quantize;
        try
        {
            version = Marshal.PtrToStringUTF8((nint)LlamaNative.llama_version()) ?? "";
            model = llama_model_default_params();
            context = llama_context_default_params();
            quantize = llama_model_quantize_default_params();
        }
        catch (EntryPointNotFoundException missing)
        {
            throw new LlamaException($"{path} is not llama.cpp {NativePackage.Release}: {missing.Message}; delete native/node_modules and build again", missing);
        }

        // A release is stamped "0.5.0", a build made off the tag "0.5.0-dev"; the npm packages carry the latter.
        if (version != NativePackage.Release && !version.StartsWith(NativePackage.Release + "-", StringComparison.Ordinal))
            throw new LlamaException($"{path} is llama.cpp {version}, this server needs {NativePackage.Release}; delete native/node_modules and build again");
        string? differing = FirstDifference(model.Value) ?? FirstDifference(context.Value) ?? FirstDifference(quantize.Value);
        if (differing is not null)
            throw new LlamaException($"{path} lays out {differing} otherwise than llama.cpp {NativePackage.Release}; delete native/node_modules and build again");
    }

    // The defaults written in llama.cpp v0.5.0 (llama-model.cpp, llama-context.cpp, llama-quant.cpp).
    private static string? FirstDifference(in LlamaModelParams p) =>
        p is { n_gpu_layers: -1, split_mode: 1, load_mode: -1, lazy_mode: 1, main_gpu: 0, vocab_only: 0, check_tensors: 0, use_extra_bufts: 1, no_host: 0, no_alloc: 0, load_mtp: 0 }
        && p.devices == null && p.tensor_split == null && p.progress_callback == null && p.kv_overrides == 0
            ? null
            : "llama_model_params";

    private static string? FirstDifference(in LlamaContextParams p) =>
        p is
        {
            n_ctx: 512, n_batch: 2048, n_ubatch: 512, n_seq_max: 1, n_rs_seq: 0, n_outputs_max: 0, n_outputs_max_per_seq: 1, n_threads: > 0, n_threads_batch: > 0,
            ctx_type: 0, rope_scaling_type: -1, pooling_type: -1, attention_type: -1, flash_attn_type: -1, rope_freq_base: 0, yarn_ext_factor: -1,
            yarn_beta_slow: -1, yarn_orig_ctx: 0, defrag_thold: -1, cb_eval: 0, type_k: 1, type_v: 1, abort_callback_data: 0,
            embeddings: 0, offload_kqv: 1, no_perf: 1, op_offload: 1, swa_full: 1, kv_unified: 0, samplers: 0, ctx_other: 0
        } && p.n_samplers == 0 && p.abort_callback == null
            ? null
            : "llama_context_params";

    private static string? FirstDifference(in LlamaModelQuantizeParams p) =>
        p is { nthread: 0, allow_requantize: 0, quantize_output_tensor: 1, only_copy: 0, pure: 0, keep_split: 0, dry_run: 0, imatrix: 0, kv_overrides: 0, tt_overrides: 0, prune_layers: 0 }
            ? null
            : "llama_model_quantize_params";

    // Returned through a pointer to the caller's memory: the spare room keeps a larger struct of another release from writing past it.
    [LibraryImport(LlamaNative.Llama)] private static partial ModelParamsProbe llama_model_default_params();
    [LibraryImport(LlamaNative.Llama)] private static partial ContextParamsProbe llama_context_default_params();
    [LibraryImport(LlamaNative.Llama)] private static partial QuantizeParamsProbe llama_model_quantize_default_params();

#pragma warning disable CS0649 // Filled by native code.
    [InlineArray(512)]
    private struct SpareRoom
    {
        private byte _first;
    }

    private struct ModelParamsProbe
    {
        public LlamaModelParams Value;
        public SpareRoom Spare;
    }

    private struct ContextParamsProbe
    {
        public LlamaContextParams Value;
        public SpareRoom Spare;
    }

    private struct QuantizeParamsProbe
    {
        public LlamaModelQuantizeParams Value;
        public SpareRoom Spare;
    }
#pragma warning restore CS0649
}
