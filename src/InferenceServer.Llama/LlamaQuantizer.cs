using InferenceServer.Llama.Native;

using LLama.Native;

namespace InferenceServer.Llama;

/// <summary>Converts model files to smaller number formats with llama.cpp.</summary>
public static class LlamaQuantizer
{
    /// <summary>Writes a Q8_0 version of an F32 or F16 model.</summary>
    /// <param name="library">The loaded llama.cpp.</param>
    /// <param name="source">The model to read.</param>
    /// <param name="target">The file to write.</param>
    /// <exception cref="LlamaException">The source is not usable, or the target cannot be written.</exception>
    public static void QuantizeToQ8(LlamaLibrary library, string source, string target)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentException.ThrowIfNullOrEmpty(target);
        ModelFileCheck.Check(source, long.MaxValue / 4);
        LLamaModelQuantizeParams parameters = LLamaModelQuantizeParams.Default();
        parameters.nthread = Environment.ProcessorCount;
        parameters.ftype = LLamaFtype.MOSTLY_Q8_0;
        NativeLog.ClearError();
        if (NativeApi.llama_model_quantize(source, target, ref parameters) != 0)
            throw new LlamaException($"{source} could not be quantized to {target}: {NativeLog.LastError ?? "llama.cpp gave no reason"}");
    }
}
