// A LoRA adapter in memory. Loading and freeing one changes its model's list of adapters, which a context walks when it reserves its graphs
// (llama_context::graph_max_nodes): both belong on the thread that decodes, between two calls.
using System.Text;

using InferenceServer.Llama.Native;

namespace InferenceServer.Llama;

/// <summary>Low-rank changes to a model's weights, which contexts of that model can compute with. It keeps the model alive.</summary>
public sealed class LlamaAdapter : IDisposable
{
    /// <summary>Most adapters that a context computes with at once; each costs two products more for every weight that it changes.</summary>
    public const int MostAtOnce = 16;

    private readonly LlamaModel _model;
    private nint _pointer;

    private LlamaAdapter(LlamaModel model, LlamaAdapterFile file, nint pointer) => (_model, File, _pointer) = (model, file, pointer);

    /// <summary>What it was loaded from.</summary>
    public LlamaAdapterFile File { get; }

    /// <summary>Loads a file that was checked against the model.</summary>
    /// <exception cref="LlamaException">llama.cpp cannot load it: the file changed since, or memory is short.</exception>
    public static unsafe LlamaAdapter Load(LlamaModel model, LlamaAdapterFile file)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(file);
        bool counted = false;
        model.Handle.DangerousAddRef(ref counted);
        NativeLog.ClearError();
        nint pointer;
        fixed (byte* path = Encoding.UTF8.GetBytes(file.Path + '\0'))
            pointer = LlamaNative.llama_adapter_lora_init(model.Handle, path);
        if (pointer != 0)
            return new LlamaAdapter(model, file, pointer);
        model.Handle.DangerousRelease();
        throw new LlamaException($"llama.cpp {model.Library.Version} cannot load the adapter {file.Path}: {NativeLog.LastError ?? "it gave no reason"}");
    }

    /// <summary>Frees it. No context may compute with it any more.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _pointer, 0) is not (not 0 and var pointer))
            return;
        LlamaNative.llama_adapter_lora_free(pointer);
        _model.Handle.DangerousRelease();
    }

    internal bool IsDisposed => _pointer == 0;

    internal nint PointerFor(LlamaModel model) => _pointer is not 0 and var pointer && _model == model
        ? pointer
        : throw new ArgumentException($"the adapter {File.Path} is another model's, or was disposed");
}
