// LLamaSharp's form of the functions of llama.cpp v0.5.0 that take or return these structs; the linker finds every other one in the library behind.
// Compiled with -DCHECK, it only compares its structs with those of that release's llama.h.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What both forms have in a row, without a gap at its end. Types that are only passed on are void *, enums are ints.
struct model_head { void *devices, *tensor_buft_overrides; int32_t n_gpu_layers, split_mode; };
struct model_tail { float *tensor_split; void *progress_callback, *progress_callback_user_data, *kv_overrides; bool flags[6]; };
struct context_head { uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max; };
struct context_middle {
    int32_t n_threads, n_threads_batch, ctx_type, rope_scaling_type, pooling_type, attention_type, flash_attn_type;
    float rope_freq_base, rope_freq_scale, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
    uint32_t yarn_orig_ctx;
    float defrag_thold;
};
struct context_tail {
    void *cb_eval, *cb_eval_user_data;
    int32_t type_k, type_v;
    void *abort_callback, *abort_callback_data;
    bool flags[6];
    void *samplers;
    size_t n_samplers;
    void *ctx_other;
};
struct quantize { int32_t nthread, ftype, output_tensor_type, token_embedding_type; bool flags[6]; void *imatrix, *kv_overrides, *tt_overrides, *prune_layers; };

struct sharp_model { struct model_head head; int32_t load_mode, main_gpu; struct model_tail tail; };
struct release_model { struct model_head head; int32_t load_mode, lazy_mode, main_gpu; struct model_tail tail; };
struct sharp_context { struct context_head head; struct context_middle middle; struct context_tail tail; };
struct release_context { struct context_head head; uint32_t n_outputs_max_per_seq; struct context_middle middle; struct context_tail tail; };
struct release_quantize { struct quantize head; size_t max_buf_size; };

#ifndef CHECK
// The library behind is loaded before this one, and next in its own search list.
#define NEXT(result, name, ...) ((result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

struct sharp_model llama_model_default_params(void) {
    struct release_model p = NEXT(struct release_model, llama_model_default_params, void)();
    return (struct sharp_model){p.head, p.load_mode, p.main_gpu, p.tail};
}

struct sharp_context llama_context_default_params(void) {
    struct release_context p = NEXT(struct release_context, llama_context_default_params, void)();
    return (struct sharp_context){p.head, p.middle, p.tail};
}

struct quantize llama_model_quantize_default_params(void) {
    return NEXT(struct release_quantize, llama_model_quantize_default_params, void)().head;
}

void *llama_model_load_from_file(const char *path, struct sharp_model sharp) {
    struct release_model p = NEXT(struct release_model, llama_model_default_params, void)();
    p.head = sharp.head, p.load_mode = sharp.load_mode, p.main_gpu = sharp.main_gpu, p.tail = sharp.tail;
    return NEXT(void *, llama_model_load_from_file, const char *, struct release_model)(path, p);
}

void *llama_init_from_model(void *model, struct sharp_context sharp) {
    struct release_context p = NEXT(struct release_context, llama_context_default_params, void)();
    p.head = sharp.head, p.middle = sharp.middle, p.tail = sharp.tail;
    return NEXT(void *, llama_init_from_model, void *, struct release_context)(model, p);
}

uint32_t llama_model_quantize(const char *input, const char *output, const struct quantize *sharp) {
    struct release_quantize p = NEXT(struct release_quantize, llama_model_quantize_default_params, void)();
    p.head = *sharp;
    return NEXT(uint32_t, llama_model_quantize, const char *, const char *, const struct release_quantize *)(input, output, &p);
}
#endif
