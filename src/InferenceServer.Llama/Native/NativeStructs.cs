// Blittable mirrors of the structs of llama.cpp and ggml that LLamaSharp does not have, the same in both builds of llama.cpp. A C bool is one byte here.
// The tests compile a C probe against the release's headers and compare every size and offset with these and with LLamaSharp's.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace InferenceServer.Llama.Native;

/// <summary>ggml_threadpool_params</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GgmlThreadpoolParams
{
    public CpuMask cpumask;
    public int n_threads;
    public int prio;
    public uint poll;
    public byte strict_cpu;
    public byte paused;

    /// <summary>bool[GGML_MAX_N_THREADS]; all zero means the default affinity.</summary>
    [InlineArray(512)]
    public struct CpuMask
    {
        private byte _first;
    }
}

/// <summary>ggml_backend_dev_props</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct GgmlBackendDevProps
{
    public byte* name;
    public byte* description;
    public nuint memory_free;
    public nuint memory_total;
    public int type;
    public byte* device_id;
    public byte caps_async;
    public byte caps_host_buffer;
    public byte caps_buffer_from_host_ptr;
    public byte caps_events;
    public byte caps_mmap_support;
}

/// <summary>llama_perf_context_data</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LlamaPerfContextData
{
    public double t_start_ms;
    public double t_load_ms;
    public double t_p_eval_ms;
    public double t_eval_ms;
    public int n_p_eval;
    public int n_eval;
    public int n_reused;
}

/// <summary>ggml_init_params</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct GgmlInitParams
{
    public nuint mem_size;
    public void* mem_buffer;
    public byte no_alloc;
}

/// <summary>ggml_tensor</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct GgmlTensor
{
    public int type;
    public nint buffer;
    public Lengths ne;
    public Strides nb;
    public int op;
    public Parameters op_params;
    public int flags;
    public Sources src;
    public GgmlTensor* view_src;
    public nuint view_offs;
    public void* data;
    public Name name;
    public void* extra;
    public long padding;

    /// <summary>int64_t[GGML_MAX_DIMS]</summary>
    [InlineArray(4)]
    public struct Lengths
    {
        private long _first;
    }

    /// <summary>size_t[GGML_MAX_DIMS]</summary>
    [InlineArray(4)]
    public struct Strides
    {
        private nuint _first;
    }

    /// <summary>int32_t[GGML_MAX_OP_PARAMS / 4]</summary>
    [InlineArray(16)]
    public struct Parameters
    {
        private int _first;
    }

    /// <summary>ggml_tensor *[GGML_MAX_SRC]</summary>
    [InlineArray(10)]
    public struct Sources
    {
        private nint _first;
    }

    /// <summary>char[GGML_MAX_NAME]</summary>
    [InlineArray(64)]
    public struct Name
    {
        private byte _first;
    }
}

/// <summary>llama_sampler_chain_params</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LlamaSamplerChainParams
{
    public byte no_perf;
}

/// <summary>llama_sampler</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LlamaSampler
{
    public LlamaSamplerInterface* iface;
    public void* ctx;
}

/// <summary>llama_sampler_data</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LlamaSamplerData
{
    public GgmlTensor* logits;
    public GgmlTensor* probs;
    public GgmlTensor* sampled;
    public GgmlTensor* candidates;
}

/// <summary>llama_sampler_i. LLamaSharp's build ends after backend_set_input, and its backend_init has no last parameter.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LlamaSamplerInterface
{
    public delegate* unmanaged[Cdecl]<LlamaSampler*, byte*> name;
    public nint accept;
    public nint apply;
    public nint reset;
    public nint clone;
    public nint free;
    public delegate* unmanaged[Cdecl]<LlamaSampler*, nint, uint, byte> backend_init;
    public nint backend_accept;
    public delegate* unmanaged[Cdecl]<LlamaSampler*, nint, nint, LlamaSamplerData*, void> backend_apply;
    public delegate* unmanaged[Cdecl]<LlamaSampler*, void> backend_set_input;
    public nint backend_reset;
    public nint copy_state;
}
