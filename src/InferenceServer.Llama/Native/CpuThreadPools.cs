// Persistent worker threads for the CPU backend. The npm builds have no OpenMP, so without a pool every llama_decode creates and
// joins its threads: 16 streams ran 1.4 times as fast with one attached. NuGet's have it, and a pool is only their state between graphs (OpenMp.cs).
using System.Runtime.CompilerServices;

namespace InferenceServer.Llama.Native;

/// <summary>One pool for decoding and one for prompts where their thread counts differ. Freed after the context that uses them.</summary>
internal sealed unsafe class CpuThreadPools
{
    private readonly delegate* unmanaged[Cdecl]<nint, void> _free;
    private nint _decode;
    private nint _batch;

    private CpuThreadPools(nint decode, nint batch, delegate* unmanaged[Cdecl]<nint, void> free)
    {
        _decode = decode;
        _batch = batch;
        _free = free;
    }

    public nint Decode => _decode;

    public nint Batch => _batch;

    /// <param name="threads">Threads for single-token steps, the calling one included.</param>
    /// <param name="batchThreads">Threads for prompts and larger steps.</param>
    /// <param name="poll">0 to sleep between graphs at once, up to 100 to spin; spinning steals cores from the HTTP side.</param>
    public static CpuThreadPools Create(int threads, int batchThreads, int poll)
    {
        nint registry;
        nint create;
        nint free;
        fixed (byte* name = "CPU\0"u8, newName = "ggml_threadpool_new\0"u8, freeName = "ggml_threadpool_free\0"u8)
        {
            registry = LlamaNative.ggml_backend_reg_by_name(name);
            if (registry == 0)
                throw new LlamaException("llama.cpp registered no CPU backend: the native package is incomplete; build again");
            create = LlamaNative.ggml_backend_reg_get_proc_address(registry, newName);
            free = LlamaNative.ggml_backend_reg_get_proc_address(registry, freeName);
        }

        if (create == 0 || free == 0)
            throw new LlamaException("the CPU backend offers no thread pool: the native package is of another release; build again");
        var newPool = (delegate* unmanaged[Cdecl]<GgmlThreadpoolParams*, nint>)create;
        nint decode = New(newPool, threads, poll);
        nint batch = batchThreads == threads ? decode : New(newPool, batchThreads, poll);
        return new CpuThreadPools(decode, batch, (delegate* unmanaged[Cdecl]<nint, void>)free);
    }

    public void Free()
    {
        if (_batch != 0 && _batch != _decode)
            _free(_batch);
        if (_decode != 0)
            _free(_decode);
        _decode = _batch = 0;
    }

    private static nint New(delegate* unmanaged[Cdecl]<GgmlThreadpoolParams*, nint> create, int threads, int poll)
    {
        Unsafe.SkipInit(out GgmlThreadpoolParams parameters);
        LlamaNative.ggml_threadpool_params_init(&parameters, threads);
        parameters.poll = (uint)poll;
        nint pool = create(&parameters);
        return pool != 0 ? pool : throw new LlamaException($"could not create {threads} CPU threads: lower --threads");
    }
}
