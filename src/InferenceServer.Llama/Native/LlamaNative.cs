// The functions of llama.h and ggml that LLamaSharp does not offer, or offers at a cost in speed or safety: then the line above says which.
// Nothing else belongs here: argument checks live with the callers, because a failed GGML_ASSERT ends the process.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

using LLama.Native;

[assembly: DisableRuntimeMarshalling]

namespace InferenceServer.Llama.Native;

internal static unsafe partial class LlamaNative
{
    /// <summary>Resolved by <see cref="LlamaLibrary"/> to the library that LLamaSharp loaded.</summary>
    public const string Llama = "llama";

    /// <summary>Resolved by <see cref="LlamaLibrary"/>: the backend registry (libggml).</summary>
    public const string Ggml = "ggml";

    /// <summary>Resolved by <see cref="LlamaLibrary"/>: devices and buffers (libggml-base).</summary>
    public const string GgmlBase = "ggml-base";

    [LibraryImport(Llama)] public static partial byte* llama_version();
    [LibraryImport(GgmlBase)] public static partial byte* ggml_version();
    [LibraryImport(GgmlBase)] public static partial byte* ggml_commit();
    [LibraryImport(GgmlBase)] public static partial nint ggml_set_abort_callback(delegate* unmanaged[Cdecl]<byte*, void> callback);

    // LLamaSharp asks libggml for these two by a file name that the npm packages do not use.
    [LibraryImport(Ggml)] public static partial nuint ggml_backend_dev_count();
    [LibraryImport(Ggml)] public static partial nint ggml_backend_dev_get(nuint index);
    [LibraryImport(Ggml)] public static partial void ggml_backend_load_all_from_path(byte* dir_path);
    [LibraryImport(Ggml)] public static partial nint ggml_backend_reg_by_name(byte* name);
    [LibraryImport(GgmlBase)] public static partial void ggml_backend_dev_get_props(nint device, GgmlBackendDevProps* props);
    [LibraryImport(GgmlBase)] public static partial nint ggml_backend_cpu_buffer_type();
    [LibraryImport(GgmlBase)] public static partial nint ggml_backend_reg_get_proc_address(nint reg, byte* name);
    [LibraryImport(GgmlBase)] public static partial void ggml_threadpool_params_init(GgmlThreadpoolParams* p, int n_threads);

    // Private imports there.
    [LibraryImport(Llama)] public static partial nint llama_model_get_vocab(SafeLlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_embd_out(SafeLlamaModelHandle model);
    [LibraryImport(Llama)] public static partial uint llama_model_n_cls_out(SafeLlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte* llama_model_cls_label(SafeLlamaModelHandle model, uint i);
    [LibraryImport(Llama)] public static partial byte llama_vocab_get_add_sep(nint vocab);
    [LibraryImport(Llama)] public static partial nint llama_get_memory(SafeLLamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial uint llama_n_ctx_seq(SafeLLamaContextHandle ctx);

    [LibraryImport(Llama)] public static partial byte llama_model_is_hybrid(SafeLlamaModelHandle model);
    [LibraryImport(Llama)] public static partial void llama_attach_threadpool(SafeLLamaContextHandle ctx, nint threadpool, nint threadpool_batch);

    // SafeLlamaModelHandle.Tokenize runs the tokenizer twice, once to count.
    [LibraryImport(Llama)]
    public static partial int llama_tokenize(
        nint vocab, byte* text, int text_len, int* tokens, int n_tokens_max, byte add_special, byte parse_special);

    // SafeLLamaContextHandle.Decode and Synchronize take one lock for all contexts; its batch is pinned array by array.
    [LibraryImport(Llama)] public static partial int llama_decode(nint ctx, LLamaNativeBatch batch);
    [LibraryImport(Llama)] public static partial void llama_synchronize(nint ctx);

    // Called once a row, where LLamaSharp counts references and asks for the vocabulary's size; its embeddings have the width of the input.
    [LibraryImport(Llama)] public static partial float* llama_get_logits_ith(nint ctx, int i);
    [LibraryImport(Llama)] public static partial float* llama_get_embeddings_ith(nint ctx, int i);
    [LibraryImport(Llama)] public static partial float* llama_get_embeddings_seq(nint ctx, int seq_id);

    [LibraryImport(Llama)] public static partial LlamaPerfContextData llama_perf_context(nint ctx);

    [LibraryImport(Llama)] public static partial nuint llama_state_seq_get_size_ext(nint ctx, int seq_id, uint flags);
    [LibraryImport(Llama)] public static partial nuint llama_state_seq_get_data_ext(nint ctx, byte* dst, nuint size, int seq_id, uint flags);
    [LibraryImport(Llama)] public static partial nuint llama_state_seq_set_data_ext(nint ctx, byte* src, nuint size, int dest_seq_id, uint flags);

    // A sampler of one's own that computes on the device: LLamaSharp's ends where the host's interface does.
    [LibraryImport(Llama)] public static partial nint llama_sampler_chain_init(LlamaSamplerChainParams p);
    [LibraryImport(Llama)] public static partial nint llama_sampler_init(LlamaSamplerInterface* iface, void* ctx);
    [LibraryImport(Llama)] public static partial void llama_sampler_chain_add(nint chain, nint smpl);
    [LibraryImport(Llama)] public static partial void llama_sampler_free(nint smpl);
    [LibraryImport(Llama)] public static partial byte llama_set_sampler(nint ctx, int seq_id, nint smpl);
    [LibraryImport(Llama)] public static partial int llama_get_sampled_token_ith(nint ctx, int i);

    // LLamaSharp's adapter keeps no reference to its model, and its list of adapters is made anew for each call.
    [LibraryImport(Llama)] public static partial nint llama_adapter_lora_init(SafeLlamaModelHandle model, byte* path_lora);
    [LibraryImport(Llama)] public static partial void llama_adapter_lora_free(nint adapter);
    [LibraryImport(Llama)] public static partial int llama_set_adapters_lora(nint ctx, nint* adapters, nuint n_adapters, float* scales);

    // The graph of that sampler.
    [LibraryImport(GgmlBase)] public static partial nint ggml_init(GgmlInitParams p);
    [LibraryImport(GgmlBase)] public static partial void ggml_free(nint ctx);
    [LibraryImport(GgmlBase)] public static partial nuint ggml_tensor_overhead();
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_get_first_tensor(nint ctx);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_get_next_tensor(nint ctx, GgmlTensor* tensor);
    [LibraryImport(GgmlBase)] public static partial nint ggml_backend_buft_get_device(nint buft);
    [LibraryImport(GgmlBase)] public static partial byte ggml_backend_dev_supports_op(nint device, GgmlTensor* op);
    [LibraryImport(GgmlBase)] public static partial void ggml_backend_tensor_set(GgmlTensor* tensor, void* data, nuint offset, nuint size);
    [LibraryImport(GgmlBase)] public static partial void ggml_set_input(GgmlTensor* tensor);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_new_tensor_2d(nint ctx, int type, long ne0, long ne1);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_view_1d(nint ctx, GgmlTensor* a, long ne0, nuint offset);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_view_2d(nint ctx, GgmlTensor* a, long ne0, long ne1, nuint nb1, nuint offset);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_reshape_2d(nint ctx, GgmlTensor* a, long ne0, long ne1);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_cast(nint ctx, GgmlTensor* a, int type);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_add(nint ctx, GgmlTensor* a, GgmlTensor* b);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_sub(nint ctx, GgmlTensor* a, GgmlTensor* b);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_mul(nint ctx, GgmlTensor* a, GgmlTensor* b);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_scale_bias(nint ctx, GgmlTensor* a, float s, float b);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_soft_max(nint ctx, GgmlTensor* a);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_cumsum(nint ctx, GgmlTensor* a);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_step(nint ctx, GgmlTensor* a);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_sum_rows(nint ctx, GgmlTensor* a);
    [LibraryImport(GgmlBase)] public static partial GgmlTensor* ggml_argmax(nint ctx, GgmlTensor* a);
}
