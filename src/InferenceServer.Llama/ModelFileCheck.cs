// What must hold of a model file before llama.cpp may see it: some of what it assumes, it asserts, and a failed assertion ends the process.
using System.Text.RegularExpressions;
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama;

/// <summary>Checks of a GGUF file that need no native library.</summary>
internal static partial class ModelFileCheck
{
    private const int MaxLayers = 512;   // LLAMA_MAX_LAYERS
    private const int MaxExperts = 1024; // LLAMA_MAX_EXPERTS

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
        string? problem;
        try
        {
            if (Directory.Exists(path))
                throw new LlamaException($"--model {path} is a folder: name a .gguf file");
            if (!File.Exists(path))
                throw new LlamaException($"--model {path} does not exist: name a .gguf file");
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            file = GgufReader.Read(stream);
            if (file.GetInteger("split.no") is > 0 and var part)
                throw new LlamaException($"--model {path} is part {part + 1} of {file.GetInteger("split.count")} of a split model: name part 1, {PartOf(path, 1)}");
            problem = Problem(file) ?? TokenProblem(file, stream);
        }
        catch (GgufException damaged)
        {
            throw new LlamaException($"{path} is not a usable model: {damaged.Message}; fetch it again or choose another --model", damaged);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new LlamaException($"{path} cannot be read: {unreadable.Message}", unreadable);
        }

        if (problem is not null)
            throw new LlamaException($"{path} is not a usable model: {problem}; fetch it again or choose another --model");
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (file.TensorBytes > memory + deviceMemoryBytes)
            throw new LlamaException($"{path} needs {Gibibytes(file.TensorBytes)} of memory, this machine has {Gibibytes(memory + deviceMemoryBytes)}: choose a smaller or more strongly quantized --model");
        return file;
    }

    /// <summary>The path of another part of a split model.</summary>
    internal static string PartOf(string path, int part) => PartPattern().Replace(path, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"-{part:D5}$1"));

    /// <summary>Bytes in words.</summary>
    internal static string Gibibytes(long bytes) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.#} GiB");

    // llama.cpp's names of parts.
    [GeneratedRegex(@"-\d{5}(-of-\d{5}\.gguf)$")]
    private static partial Regex PartPattern();

    /// <summary>The first thing wrong with a model's header; null when nothing is.</summary>
    private static string? Problem(GgufFile file)
    {
        if (file.GetString("general.type") is { } type && type is not "model")
            return $"it holds a {type}, not a model";
        if (file.Tensors.Count == 0 && file.GetInteger("split.count") is null or 0)
            return "it holds no tensors (a vocabulary alone)";
        return ShapeProblem(file) ?? ExpertProblem(file) ?? VocabularyProblem(file);
    }

    private static string? ShapeProblem(GgufFile file)
    {
        if (file.Hyper("block_count") is not (> 0 and <= MaxLayers))
            return $"{file.Architecture}.block_count is missing or not 1 to {MaxLayers}";
        if (file.Hyper("embedding_length") is not (> 0 and <= 1 << 20))
            return $"{file.Architecture}.embedding_length is missing or out of range";
        if (file.Hyper("context_length") is not (> 0 and <= 1 << 30))
            return $"{file.Architecture}.context_length is missing or out of range";
        if ((file.Hyper("nextn_predict_layers") ?? 0) > file.Hyper("block_count"))
            return $"{file.Architecture}.nextn_predict_layers exceeds block_count";
        if (file.GetString($"{file.Architecture}.rope.scaling.type") is { } scaling && scaling is not ("none" or "linear" or "yarn" or "longrope"))
            return $"{file.Architecture}.rope.scaling.type is unknown";
        foreach (string name in new[] { "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count" })
        {
            IEnumerable<long> values = file.GetArray($"{file.Architecture}.{name}")?.Values ?? [file.Hyper(name) ?? 0];
            if (values.Any(v => v is < 0 or > 1 << 16))
                return $"{file.Architecture}.{name} is out of range";
        }

        return null;
    }

    /// <summary>What llama_model_base::load_hparams asserts of mixtures of experts.</summary>
    private static string? ExpertProblem(GgufFile file)
    {
        long experts = file.Hyper("expert_count") ?? 0;
        string usedKey = $"{file.Architecture}.expert_used_count";
        long used = file.GetArray(usedKey)?.Values.DefaultIfEmpty().Max() ?? file.GetInteger(usedKey) ?? 0;
        long groups = file.Hyper("expert_group_count") ?? 0;
        long groupsUsed = file.Hyper("expert_group_used_count") ?? 0;
        if (experts is < 0 or > MaxExperts)
            return $"{file.Architecture}.expert_count is not 0 to {MaxExperts}";
        if (used > experts || used < 0 || (experts > 0 && used == 0))
            return $"{usedKey} is {used} of {experts} experts";
        if (groups < 0 || (groups > 0 && groups >= experts)
            || (groups > 1 && (experts % groups != 0 || groupsUsed <= 0 || groupsUsed >= groups)))
            return $"{file.Architecture}.expert_group_count is {groups} of {experts} experts, {groupsUsed} used";
        return null;
    }

    private static string? VocabularyProblem(GgufFile file)
    {
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

    /// <summary>llama.cpp asserts that tokens are distinct, and looks bytes up without asking whether they are there.</summary>
    private static string? TokenProblem(GgufFile file, Stream stream)
    {
        if (file.GetArray("tokenizer.ggml.tokens") is not { } tokens)
            return null;
        var seen = new HashSet<string>((int)tokens.Count, StringComparer.Ordinal);
        long index = 0;
        foreach (string token in GgufReader.ReadStrings(stream, tokens))
        {
            if (!seen.Add(token.Length == 0 ? $"[EMPTY_{index}]" : token))
                return $"token {index} of its vocabulary occurs twice";
            index++;
        }

        if (file.GetString("tokenizer.ggml.model") is "llama")
        {
            for (int value = 0; value < 256; value++)
            {
                if (!seen.Contains($"<0x{value:X2}>") && !(value < 128 && seen.Contains(((char)value).ToString())))
                    return $"its vocabulary has no token for byte 0x{value:X2}";
            }
        }

        return null;
    }
}
