// The sampler that llama.cpp makes part of the model's graph. llama.cpp asks a sampler for a graph of one row; here the first one asked makes the graph
// of all rows of the batch, and each takes its element of the outcome: a kernel then works on all rows at once, and a sampler without a row costs one view.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>What the samplers of one context share. Native memory, because native code holds its address.</summary>
internal unsafe struct DeviceSampler
{
    private const int F32 = 0, I32 = 26; // GGML_TYPE_F32, GGML_TYPE_I32

    /// <summary>More tensors than the graph has.</summary>
    private const int MostTensors = 32;

    private LlamaSamplerInterface _interface;
    private Sequence* _first;
    private byte _supported;

    // Of the graph that was built last, the only one that llama.cpp computes again without building it.
    private GgmlTensor* _logits;
    private GgmlTensor* _scales;
    private GgmlTensor* _uniforms;
    private GgmlTensor* _greedy;
    private GgmlTensor* _tokens;

    /// <summary>One sequence's sampler.</summary>
    public struct Sequence
    {
        public DeviceSampler* Shared;

        /// <summary>1 / temperature; anything finite where greedy.</summary>
        public float Scale;

        /// <summary>From 0 to below 1.</summary>
        public float Uniform;

        /// <summary>1 for the largest logit, else 0.</summary>
        public float Greedy;

        /// <summary>Among the rows that the graph computes logits for.</summary>
        public int Row;
    }

    /// <summary>Whether the device has every operation; known once a sampler was attached.</summary>
    public readonly bool IsSupported => _supported != 0;

    /// <summary>A block for the samplers of a context.</summary>
    /// <param name="first">The sampler of the lowest sequence id, which llama.cpp asks first (build_sampling walks a map).</param>
    public static DeviceSampler* Create(Sequence* first)
    {
        var shared = (DeviceSampler*)NativeMemory.AllocZeroed((nuint)sizeof(DeviceSampler));
        shared->_first = first;
        shared->_interface.name = &OnName;
        shared->_interface.backend_init = &OnInit;
        shared->_interface.backend_apply = &OnApply;
        shared->_interface.backend_set_input = &OnSetInput;
        return shared;
    }

    /// <summary>A chain of one sampler, as llama_set_sampler wants it.</summary>
    public static nint CreateChain(DeviceSampler* shared, Sequence* sequence)
    {
        sequence->Shared = shared;
        nint chain = LlamaNative.llama_sampler_chain_init(new LlamaSamplerChainParams { no_perf = 1 });
        LlamaNative.llama_sampler_chain_add(chain, LlamaNative.llama_sampler_init(&shared->_interface, sequence));
        return chain;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte* OnName(LlamaSampler* sampler) => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference("device\0"u8)); // A literal does not move.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte OnInit(LlamaSampler* sampler, nint bufferType, uint mostOutputs)
    {
        DeviceSampler* shared = ((Sequence*)sampler->ctx)->Shared;
        return shared->_supported = Supports(shared, LlamaNative.ggml_backend_buft_get_device(bufferType)) ? (byte)1 : (byte)0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnApply(LlamaSampler* sampler, nint context, nint graph, LlamaSamplerData* data)
    {
        var sequence = (Sequence*)sampler->ctx;
        DeviceSampler* shared = sequence->Shared;
        // Only where llama.cpp counts a sampler's nodes is the row no view of the batch's.
        GgmlTensor* logits = data->logits->view_src == null ? data->logits : data->logits->view_src;
        sequence->Row = (int)(data->logits->view_offs / logits->nb[1]);
        if (sequence == shared->_first || logits != shared->_logits)
            shared->Build(context, logits);
        data->sampled = LlamaNative.ggml_view_1d(context, shared->_tokens, 1, (nuint)sequence->Row * sizeof(int));
        data->logits = null; // Else they would be copied to the host.
    }

    /// <summary>Called for each sampler that has a row.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnSetInput(LlamaSampler* sampler)
    {
        var sequence = (Sequence*)sampler->ctx;
        DeviceSampler* shared = sequence->Shared;
        Set(shared->_scales, sequence->Row, sequence->Scale);
        Set(shared->_uniforms, sequence->Row, sequence->Uniform);
        Set(shared->_greedy, sequence->Row, sequence->Greedy);

        static void Set(GgmlTensor* tensor, int row, float value)
        {
            if (tensor->buffer != 0) // What was not allocated is not computed, and writing to it would end the process.
                LlamaNative.ggml_backend_tensor_set(tensor, &value, (nuint)row * sizeof(float), sizeof(float));
        }
    }

    private static bool Supports(DeviceSampler* shared, nint device)
    {
        if (device == 0)
            return true; // The CPU, as llama.cpp's own samplers read it.
        nint context = LlamaNative.ggml_init(new GgmlInitParams { mem_size = MostTensors * LlamaNative.ggml_tensor_overhead(), no_alloc = 1 });
        if (context == 0)
            return false;
        shared->Build(context, LlamaNative.ggml_new_tensor_2d(context, F32, 128 * 1024, 2));
        bool supported = true;
        for (GgmlTensor* tensor = LlamaNative.ggml_get_first_tensor(context); tensor != null; tensor = LlamaNative.ggml_get_next_tensor(context, tensor))
            supported &= tensor->op == 0 || LlamaNative.ggml_backend_dev_supports_op(device, tensor) != 0;
        LlamaNative.ggml_free(context);
        shared->_logits = null; // Freed with the context, and its address may come again.
        return supported;
    }

    /// <summary>The token of each row: the largest logit's, or the first at which the cumulative weight exceeds uniform * total.</summary>
    private void Build(nint context, GgmlTensor* logits)
    {
        long vocabulary = logits->ne[0], rows = logits->ne[1];
        _logits = logits;
        _scales = Input(context, rows);
        _uniforms = Input(context, rows);
        _greedy = Input(context, rows);

        GgmlTensor* cumulative = LlamaNative.ggml_cumsum(context, LlamaNative.ggml_soft_max(context, LlamaNative.ggml_mul(context, logits, _scales)));
        // Against the last sum rather than 1, which rounding may leave out of reach: the target is below it, so the token has a weight.
        GgmlTensor* total = LlamaNative.ggml_view_2d(context, cumulative, 1, rows, cumulative->nb[1], (nuint)(vocabulary - 1) * sizeof(float));
        GgmlTensor* target = LlamaNative.ggml_mul(context, _uniforms, total);
        GgmlTensor* above = LlamaNative.ggml_sum_rows(context, LlamaNative.ggml_step(context, LlamaNative.ggml_sub(context, cumulative, target)));
        // Counts of tokens are exact in floats. Where nothing can be drawn, none is above, and the token is outside the vocabulary.
        GgmlTensor* drawn = LlamaNative.ggml_scale_bias(context, above, -1, vocabulary);

        GgmlTensor* largest = LlamaNative.ggml_cast(context, LlamaNative.ggml_argmax(context, logits), F32);
        GgmlTensor* apart = LlamaNative.ggml_sub(context, LlamaNative.ggml_reshape_2d(context, largest, 1, rows), drawn);
        _tokens = LlamaNative.ggml_cast(context, LlamaNative.ggml_add(context, drawn, LlamaNative.ggml_mul(context, apart, _greedy)), I32);
    }

    /// <summary>A number a row, set by the host before each run.</summary>
    private static GgmlTensor* Input(nint context, long rows)
    {
        GgmlTensor* input = LlamaNative.ggml_new_tensor_2d(context, F32, 1, rows);
        LlamaNative.ggml_set_input(input);
        return input;
    }
}
