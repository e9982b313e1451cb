using System.Text;

using InferenceServer.Llama.Native;

namespace InferenceServer.Llama;

/// <summary>Converts model files to smaller number formats with llama.cpp.</summary>
public static class LlamaQuantizer
{
    private const int MostlyQ8 = 7; // LLAMA_FTYPE_MOSTLY_Q8_0

    /// <summary>Writes a Q8_0 version of an F32 or F16 model.</summary>
    /// <param name="library">The loaded llama.cpp.</param>
    /// <param name="source">The model to read.</param>
    /// <param name="target">The file to write.</param>
    /// <exception cref="LlamaException">The source is not usable, or the target cannot be written.</exception>
    public static unsafe void QuantizeToQ8(LlamaLibrary library, string source, string target)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentException.ThrowIfNullOrEmpty(target);
        ModelFileCheck.Check(source, long.MaxValue / 4);
        LlamaModelQuantizeParams parameters = LlamaNative.llama_model_quantize_default_params();
        parameters.nthread = Environment.ProcessorCount;
        parameters.ftype = MostlyQ8;
        library.Log.ClearError();
        uint code;
        fixed (byte* input = Encoding.UTF8.GetBytes(source + '\0'), output = Encoding.UTF8.GetBytes(target + '\0'))
            code = LlamaNative.llama_model_quantize(input, output, &parameters);
        if (code != 0)
            throw new LlamaException($"{source} could not be quantized to {target}: {library.Log.LastError ?? "llama.cpp gave no reason"}");
    }
}
