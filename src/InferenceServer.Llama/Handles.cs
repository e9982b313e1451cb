// Owners of native objects: whoever drops the last reference frees them, in any order of disposal.
using System.Runtime.InteropServices;

using InferenceServer.Llama.Native;

namespace InferenceServer.Llama;

/// <summary>Owns a llama_model.</summary>
internal sealed class LlamaModelHandle : SafeHandle
{
    public LlamaModelHandle(nint model) : base(0, ownsHandle: true) => SetHandle(model);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        LlamaNative.llama_model_free(handle);
        return true;
    }
}

/// <summary>Owns a llama_context and the thread pool attached to it; keeps its model alive until the context is freed.</summary>
internal sealed class LlamaContextHandle : SafeHandle
{
    private readonly LlamaModelHandle _model;
    private readonly CpuThreadPools _threadPools;
    private readonly int[] _abortFlag; // Pinned; held here so that it outlives the context that reads it.

    /// <summary>Takes over the context, its thread pools and the flag its abort callback reads; adds a reference to the model.</summary>
    public LlamaContextHandle(nint context, LlamaModelHandle model, CpuThreadPools threadPools, int[] abortFlag) : base(0, ownsHandle: true)
    {
        bool added = false;
        model.DangerousAddRef(ref added);
        _model = model;
        _threadPools = threadPools;
        _abortFlag = abortFlag;
        SetHandle(context);
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        LlamaNative.llama_free(handle);
        _threadPools.Free(); // After the context, whose backends still point at the pools.
        GC.KeepAlive(_abortFlag);
        _model.DangerousRelease();
        return true;
    }
}
