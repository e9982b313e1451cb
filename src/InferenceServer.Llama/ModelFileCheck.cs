// What must hold of a model file before llama.cpp may see it: some of what it assumes, it asserts, and a failed assertion ends the process.
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama;

/// <summary>Checks of a GGUF file that need no native library.</summary>
internal static class ModelFileCheck
{
    private static readonly (string Key, GgufValueType[] Allowed)[] VocabularyArrays =
    [
        ("tokenizer.ggml.tokens", [GgufValueType.String]),
        ("tokenizer.ggml.merges", [GgufValueType.String]),
        ("tokenizer.ggml.scores", [GgufValueType.Float32, GgufValueType.Int32]),
        ("tokenizer.ggml.token_type", [GgufValueType.Int32, GgufValueType.UInt32]),
    ];

    /// <param name="path">The file.</param>
    /// <param name="deviceMemoryBytes">Memory of all GPUs, which can hold a part of the model.</param>
    /// <exception cref="LlamaException">The file cannot be used; the message says why and what to do.</exception>
    public static GgufFile Check(string path, long deviceMemoryBytes)
    {
        GgufFile file;
        try
        {
            if (Directory.Exists(path))
                throw new LlamaException($"--model {path} is a folder: name a .gguf file");
            if (!File.Exists(path))
                throw new LlamaException($"--model {path} does not exist: name a .gguf file");
            file = GgufReader.Read(path);
        }
        catch (GgufException damaged)
        {
            throw new LlamaException($"{path} is not a usable model: {damaged.Message}; fetch it again or choose another --model", damaged);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new LlamaException($"{path} cannot be read: {unreadable.Message}", unreadable);
        }

        if (Problem(file) is { } problem)
            throw new LlamaException($"{path} is not a usable model: {problem}; fetch it again or choose another --model");
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (file.TensorBytes > memory + deviceMemoryBytes)
            throw new LlamaException($"{path} needs {Gibibytes(file.TensorBytes)} of memory, this machine has {Gibibytes(memory + deviceMemoryBytes)}: choose a smaller or more strongly quantized --model");
        return file;
    }

    private static string? Problem(GgufFile file)
    {
        if (file.GetString("general.type") is { } type && type is not "model")
            return $"it holds a {type}, not a model";
        if (file.Tensors.Count == 0)
            return "it holds no tensors (a vocabulary alone)";
        if (file.Hyper("block_count") is not (> 0 and <= 4096))
            return $"{file.Architecture}.block_count is missing or out of range";
        if (file.Hyper("embedding_length") is not (> 0 and <= 1 << 20))
            return $"{file.Architecture}.embedding_length is missing or out of range";
        if (file.Hyper("context_length") is not (> 0 and <= 1 << 30))
            return $"{file.Architecture}.context_length is missing or out of range";
        foreach ((string key, GgufValueType[] allowed) in VocabularyArrays)
        {
            if (file.GetArray(key) is { } array ? !allowed.Contains(array.ElementType) : file.Keys.Contains(key))
                return $"{key} has the wrong type";
        }

        if (file.GetArray("tokenizer.ggml.tokens") is { } tokens)
        {
            foreach (string key in new[] { "tokenizer.ggml.scores", "tokenizer.ggml.token_type" })
            {
                if (file.GetArray(key) is { } array && array.Count != tokens.Count)
                    return $"{key} has {array.Count} entries for {tokens.Count} tokens";
            }
        }

        return null;
    }

    private static string Gibibytes(long bytes) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.#} GiB");
}
