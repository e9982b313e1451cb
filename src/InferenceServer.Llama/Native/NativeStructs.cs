// Blittable mirrors of the structs that LLamaSharp does not have, the same in both builds of llama.cpp. A C bool is one byte here.
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
