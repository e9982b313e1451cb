using System.Runtime.InteropServices;

using InferenceServer.Llama;

namespace InferenceServer.Tests.Llama;

/// <summary>Has ggml give up as it does when a device fails: the error is logged, then ggml_abort is called. It does not return.</summary>
internal static unsafe class NativeAbort
{
    public static void Raise(LlamaLibrary library, string words)
    {
        library.Log.OnNativeLog(LLama.Native.LLamaLogLevel.Error, words + "\n");
        var abort = (delegate* unmanaged[Cdecl]<byte*, int, byte*, void>)NativeLibrary.GetExport(NativeLibrary.Load(library.Build.GgmlBasePath), "ggml_abort");
        fixed (byte* file = "ggml/src/ggml-test.cu\0"u8, format = "device error\0"u8)
            abort(file, 103, format);
    }
}
