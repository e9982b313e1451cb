// The functions of llama.h and ggml-backend.h that this project calls, named and typed as the headers of llama.cpp v0.5.0 have them.
// Nothing else belongs here: argument checks live with the callers, because a failed GGML_ASSERT ends the process.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace InferenceServer.Llama.Native;

internal static unsafe partial class LlamaNative
{
    /// <summary>Resolved by <see cref="LlamaLibrary"/> to the libllama of the chosen backend.</summary>
    public const string Llama = "llama";

    /// <summary>Resolved by <see cref="LlamaLibrary"/>: the backend registry (libggml).</summary>
    public const string Ggml = "ggml";

    /// <summary>Resolved by <see cref="LlamaLibrary"/>: devices and buffers (libggml-base).</summary>
    public const string GgmlBase = "ggml-base";

    [LibraryImport(Llama)] public static partial byte* llama_version();
    [LibraryImport(Llama)] public static partial LlamaModelParams llama_model_default_params();
    [LibraryImport(Llama)] public static partial LlamaContextParams llama_context_default_params();
    [LibraryImport(Llama)] public static partial LlamaModelQuantizeParams llama_model_quantize_default_params();
    [LibraryImport(Llama)] public static partial void llama_backend_init();
    [LibraryImport(Llama)] public static partial void llama_log_set(delegate* unmanaged[Cdecl]<int, byte*, nint, void> callback, nint user_data);
    [LibraryImport(Llama)] public static partial byte* llama_print_system_info();
    [LibraryImport(Llama)] public static partial nuint llama_max_devices();
    [LibraryImport(Llama)] public static partial nuint llama_max_parallel_sequences();

    [LibraryImport(Ggml)] public static partial void ggml_backend_load_all_from_path(byte* dir_path);
    [LibraryImport(Ggml)] public static partial nuint ggml_backend_dev_count();
    [LibraryImport(Ggml)] public static partial nint ggml_backend_dev_get(nuint index);
    [LibraryImport(Ggml)] public static partial nint ggml_backend_reg_by_name(byte* name);
    [LibraryImport(GgmlBase)] public static partial void ggml_backend_dev_get_props(nint device, GgmlBackendDevProps* props);
    [LibraryImport(GgmlBase)] public static partial void ggml_backend_dev_memory(nint device, nuint* free, nuint* total);
    [LibraryImport(GgmlBase)] public static partial nint ggml_backend_reg_get_proc_address(nint reg, byte* name);
    [LibraryImport(GgmlBase)] public static partial nint ggml_set_abort_callback(delegate* unmanaged[Cdecl]<byte*, void> callback);
    [LibraryImport(GgmlBase)] public static partial void ggml_threadpool_params_init(GgmlThreadpoolParams* p, int n_threads);

    [LibraryImport(Llama)] public static partial nint llama_model_load_from_file(byte* path_model, LlamaModelParams parameters);
    [LibraryImport(Llama)] public static partial void llama_model_free(nint model);
    [LibraryImport(Llama)] public static partial nint llama_model_get_vocab(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_ctx_train(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_embd(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_embd_out(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_layer(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_head(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_head_kv(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_n_swa(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial int llama_model_rope_type(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial uint llama_model_n_cls_out(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte* llama_model_cls_label(LlamaModelHandle model, uint i);
    [LibraryImport(Llama)] public static partial int llama_model_desc(LlamaModelHandle model, byte* buf, nuint buf_size);
    [LibraryImport(Llama)] public static partial ulong llama_model_size(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial ulong llama_model_n_params(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte* llama_model_chat_template(LlamaModelHandle model, byte* name);
    [LibraryImport(Llama)] public static partial byte llama_model_has_encoder(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte llama_model_has_decoder(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte llama_model_is_recurrent(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte llama_model_is_hybrid(LlamaModelHandle model);
    [LibraryImport(Llama)] public static partial byte llama_model_is_diffusion(LlamaModelHandle model);
    [LibraryImport(Llama)]
    public static partial uint llama_model_quantize(byte* fname_inp, byte* fname_out, LlamaModelQuantizeParams* parameters);

    [LibraryImport(Llama)] public static partial int llama_vocab_type(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_n_tokens(nint vocab);
    [LibraryImport(Llama)] public static partial byte llama_vocab_is_eog(nint vocab, int token);
    [LibraryImport(Llama)] public static partial byte llama_vocab_is_control(nint vocab, int token);
    [LibraryImport(Llama)] public static partial int llama_vocab_get_attr(nint vocab, int token);
    [LibraryImport(Llama)] public static partial int llama_vocab_bos(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_eos(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_eot(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_sep(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_nl(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_pad(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_fim_pre(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_fim_suf(nint vocab);
    [LibraryImport(Llama)] public static partial int llama_vocab_fim_mid(nint vocab);
    [LibraryImport(Llama)] public static partial byte llama_vocab_get_add_bos(nint vocab);
    [LibraryImport(Llama)] public static partial byte llama_vocab_get_add_eos(nint vocab);
    [LibraryImport(Llama)] public static partial byte llama_vocab_get_add_sep(nint vocab);
    [LibraryImport(Llama)]
    public static partial int llama_tokenize(
        nint vocab, byte* text, int text_len, int* tokens, int n_tokens_max, byte add_special, byte parse_special);
    [LibraryImport(Llama)]
    public static partial int llama_token_to_piece(nint vocab, int token, byte* buf, int length, int lstrip, byte special);

    [LibraryImport(Llama)] public static partial nint llama_init_from_model(LlamaModelHandle model, LlamaContextParams parameters);
    [LibraryImport(Llama)] public static partial void llama_free(nint ctx);
    [LibraryImport(Llama)] public static partial uint llama_n_ctx(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial uint llama_n_ctx_seq(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial uint llama_n_batch(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial uint llama_n_ubatch(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial uint llama_n_seq_max(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial int llama_pooling_type(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial nint llama_get_memory(LlamaContextHandle ctx);
    [LibraryImport(Llama)] public static partial void llama_attach_threadpool(LlamaContextHandle ctx, nint threadpool, nint threadpool_batch);
    [LibraryImport(Llama)] public static partial void llama_synchronize(LlamaContextHandle ctx);

    // Called once a token or a row: the context's owner holds the handle, so the raw pointer spares a reference count on each call.
    [LibraryImport(Llama)] public static partial int llama_decode(nint ctx, NativeBatch batch);
    [LibraryImport(Llama)] public static partial float* llama_get_logits_ith(nint ctx, int i);
    [LibraryImport(Llama)] public static partial float* llama_get_embeddings_ith(nint ctx, int i);
    [LibraryImport(Llama)] public static partial float* llama_get_embeddings_seq(nint ctx, int seq_id);

    [LibraryImport(Llama)] public static partial void llama_memory_clear(nint mem, byte data);
    [LibraryImport(Llama)] public static partial byte llama_memory_seq_rm(nint mem, int seq_id, int p0, int p1);
    [LibraryImport(Llama)] public static partial void llama_memory_seq_cp(nint mem, int seq_id_src, int seq_id_dst, int p0, int p1);
    [LibraryImport(Llama)] public static partial int llama_memory_seq_pos_min(nint mem, int seq_id);
    [LibraryImport(Llama)] public static partial int llama_memory_seq_pos_max(nint mem, int seq_id);

    [LibraryImport(Llama)] public static partial nuint llama_state_seq_get_size_ext(nint ctx, int seq_id, uint flags);
    [LibraryImport(Llama)] public static partial nuint llama_state_seq_get_data_ext(nint ctx, byte* dst, nuint size, int seq_id, uint flags);
    [LibraryImport(Llama)] public static partial nuint llama_state_seq_set_data_ext(nint ctx, byte* src, nuint size, int dest_seq_id, uint flags);
}
