// Structs cross the border by value, so a library of another commit would corrupt memory without a word. Checked before the first real call.
using System.Runtime.InteropServices;

using LLama.Native;

namespace InferenceServer.Llama.Native;

/// <summary>Compares the library's version, and the defaults it writes into LLamaSharp's structs, with what is expected.</summary>
internal static unsafe class AbiCheck
{
    /// <returns>llama.cpp's release or commit.</returns>
    /// <exception cref="LlamaException">The library is not the one that the structs were written for.</exception>
    public static string Verify(NativeBuild build)
    {
        string version, wanted;
        try
        {
            string ggml = Text(LlamaNative.ggml_version());
            (version, wanted) = build.Source is NativeSource.NuGet
                ? ($"{Text(LlamaNative.ggml_commit())} (ggml {ggml})", $"{NativeBuild.NuGetCommit} (ggml {NativeBuild.NuGetGgml})")
                : (Text(LlamaNative.llama_version()), NativeBuild.NpmRelease);
        }
        catch (EntryPointNotFoundException missing)
        {
            throw new LlamaException($"{build.LlamaPath} is another llama.cpp than this server was built for: {missing.Message}; build again", missing);
        }

        // A release is stamped "0.5.0", a build made off the tag "0.5.0-dev"; the npm packages carry the latter.
        if (version != wanted && !version.StartsWith(wanted + "-", StringComparison.Ordinal))
            throw new LlamaException($"{build.LlamaPath} is llama.cpp {version}, this server needs {wanted}; build again");
        string? differing = FirstDifference(LLamaModelParams.Default()) ?? FirstDifference(LLamaContextParams.Default()) ?? FirstDifference(LLamaModelQuantizeParams.Default());
        return differing is null ? version : throw new LlamaException($"{build.LlamaPath} lays out {differing} otherwise than LLamaSharp; build again");
    }

    // The defaults written in llama-model.cpp, llama-context.cpp and llama-quant.cpp. Both builds have the same, but that the newer one chooses how to read a file.
    private static string? FirstDifference(in LLamaModelParams p) =>
        p is { n_gpu_layers: -1, split_mode: GPUSplitMode.Layer, load_mode: LLamaLoadMode.MemoryMap or (LLamaLoadMode)(-1), main_gpu: 0, progress_callback: null }
        && p is { vocab_only: false, check_tensors: false, use_extra_bufts: true, no_host: false, no_alloc: false, load_mtp: false }
        && p.devices == null && p.tensor_split == null && p.kv_overrides == null && p.tensor_buft_overrides == null
            ? null
            : "llama_model_params";

    private static string? FirstDifference(in LLamaContextParams p) =>
        p is
        {
            n_ctx: 512, n_batch: 2048, n_ubatch: 512, n_seq_max: 1, n_rs_seq: 0, n_outputs_max: 0, n_threads: > 0, n_threads_batch: > 0,
            rope_scaling_type: (RopeScalingType)(-1), llama_pooling_type: LLamaPoolingType.Unspecified, attention_type: (LLamaAttentionType)(-1),
            llama_flash_attn_type: LLamaFlashAttentionType.LLAMA_FLASH_ATTENTION_TYPE_AUTO, rope_freq_base: 0, yarn_ext_factor: -1,
            yarn_beta_slow: -1, yarn_orig_ctx: 0, defrag_threshold: -1, cb_eval: 0, type_k: GGMLType.GGML_TYPE_F16, type_v: GGMLType.GGML_TYPE_F16,
            abort_callback: 0, abort_callback_user_data: 0, embeddings: false, offload_kqv: true, no_perf: true, op_offload: true, swa_full: true,
            kv_unified: false, samplers: 0, ctx_other: 0
        } && p.n_samplers == 0 && (int)p.context_type == 0
            ? null
            : "llama_context_params";

    private static string? FirstDifference(LLamaModelQuantizeParams p) =>
        p is
        {
            nthread: 0, allow_requantize: false, quantize_output_tensor: true, only_copy: false, pure: false, keep_split: false, dry_run: false,
            imatrix: 0, kv_overrides: 0, tensor_types: 0, prune_layers: 0
        }
            ? null
            : "llama_model_quantize_params";

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";
}
