// What becomes of the process when llama.cpp gives up: a failed assertion, or a device that reports an error, ends in ggml_abort, from which no call returns.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace InferenceServer.Llama.Native;

/// <summary>Tells failures of a device from those of a model, and lets a thread that serves requests fail them before it is lost.</summary>
internal static unsafe class NativeFailure
{
    /// <summary>How ggml's backends for devices name themselves, their files and their libraries in what they log.</summary>
    private static readonly string[] DeviceWords = ["CUDA", "cuBLAS", "NCCL", "Vulkan", "vk::", "Metal", "MTL"];

    /// <summary>How the line begins that a process ends with.</summary>
    public const string GaveUp = "llama.cpp gave up: ";

    /// <summary>How llama.cpp and its backends say that memory is wanting.</summary>
    private static readonly string[] MemoryWords = ["out of memory", "OutOfDeviceMemory", "OutOfHostMemory", "failed to allocate", "unable to allocate", "memory allocation", "allocation limit", "cudaMalloc failed"];

    [ThreadStatic]
    private static Action<string>? _onThisThread;

    /// <summary>Takes over for the life of the process.</summary>
    public static void Attach() => LlamaNative.ggml_set_abort_callback(&OnAbort);

    /// <summary>What this thread does with the cause when it is lost in a native call.</summary>
    public static void OnThisThread(Action<string>? handler) => _onThisThread = handler;

    /// <summary>Whether an error speaks of a device rather than of a model.</summary>
    public static bool IsOfDevice(string error) => DeviceWords.Any(word => error.Contains(word, StringComparison.OrdinalIgnoreCase));

    /// <summary>Whether an error says that memory was wanting.</summary>
    public static bool IsOfMemory(string error) => MemoryWords.Any(word => error.Contains(word, StringComparison.OrdinalIgnoreCase));

    /// <summary>What helps against an error: another model only where the model is the cause.</summary>
    public static string Advice(string error) =>
        !IsOfDevice(error) ? "choose another --model"
        : error.Contains("out of memory", StringComparison.OrdinalIgnoreCase) || error.Contains("OutOfDeviceMemory", StringComparison.Ordinal) ? "lower --gpu-layers or --ctx-size"
        : "update the device's driver, or choose another --backend";

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnAbort(byte* message)
    {
        try
        {
            string text = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(message));
            string where = text[(text.LastIndexOfAny(['/', '\\']) + 1)..].ReplaceLineEndings(" ").Trim();
            // A device's own words were logged just before; an assertion's are in the message.
            string cause = NativeLog.LastError is { } said && IsOfDevice(said) ? $"{said} ({where})" : where;
            if (_onThisThread is { } handler)
            {
                handler(cause);
                Thread.Sleep(Timeout.Infinite); // Returning would end the process, and with it the answers that say why.
            }

            Console.Error.WriteLine($"{GaveUp}{cause}; {Advice(cause)}");
            Console.Error.Flush();
        }
        finally
        {
            // Without a debugger's trace and a core dump.
            if (NativeLibrary.TryGetExport(NativeLibrary.GetMainProgramHandle(), "_exit", out nint exit)
                || (NativeLibrary.TryLoad("ucrtbase.dll", out nint runtime) && NativeLibrary.TryGetExport(runtime, "_exit", out exit)))
                ((delegate* unmanaged[Cdecl]<int, void>)exit)(1);
        }
    }
}
