// What must hold of an adapter's file before llama.cpp may see it. It compares two extents of each tensor and trusts the rest: what does not fit it asserts
// when a graph is built, and a failed assertion ends the process.
using System.Security.Cryptography;

using InferenceServer.Llama.Gguf;

namespace InferenceServer.Llama;

/// <summary>The file of a LoRA adapter, checked against the model that it changes.</summary>
/// <param name="Identity">SHA-256 of the whole file, in hex: equal files change a model equally.</param>
/// <param name="Rank">The largest of its tensors'.</param>
/// <param name="Alpha">Changes count alpha / rank times; 0 stands for once.</param>
/// <param name="SizeBytes">Bytes of its tensors.</param>
public sealed record LlamaAdapterFile(string Path, string Identity, int Rank, float Alpha, long SizeBytes)
{
    private const string SuffixA = ".lora_a", SuffixB = ".lora_b", IgnoredSuffix = "_norm.weight", Embeddings = "token_embd.weight", Output = "output.weight";
    private const string InvocationTokens = "adapter.alora.invocation_tokens";

    /// <summary>Reads and checks a file; all of it is read, for its identity.</summary>
    /// <exception cref="LlamaException">It cannot be used with this model; the message names the file and says why.</exception>
    public static LlamaAdapterFile Check(string path, LlamaModel model)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(model);
        try
        {
            if (Directory.Exists(path))
                throw new LlamaException($"the adapter {path} is a folder: name a GGUF file, which llama.cpp's convert_lora_to_gguf.py makes of it");
            if (!File.Exists(path))
                throw new LlamaException($"the adapter {path} does not exist: name a GGUF file");
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            GgufFile file = GgufReader.Read(stream);
            if ((TypeProblem(file, model) ?? SizeProblem(file)) is { } problem)
                throw Unusable(path, problem);
            int rank = RankOf(file, model.TensorsByName(), problem => Unusable(path, problem));
            stream.Position = 0;
            return new LlamaAdapterFile(path, Convert.ToHexStringLower(SHA256.HashData(stream)), rank, (float)(file.GetFloat("adapter.lora.alpha") ?? 0), file.TensorBytes);
        }
        catch (GgufException damaged)
        {
            throw Unusable(path, damaged.Message, damaged);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new LlamaException($"the adapter {path} cannot be read: {unreadable.Message}", unreadable);
        }
    }

    private static LlamaException Unusable(string path, string problem, Exception? inner = null) => inner is null ? new($"{path} is not a usable adapter: {problem}") : new($"{path} is not a usable adapter: {problem}", inner);

    private static string? TypeProblem(GgufFile file, LlamaModel model)
    {
        if (file.GetString("general.type") is not "adapter")
            return $"it holds a {file.GetString("general.type") ?? "model"}, not an adapter";
        if (file.GetString("adapter.type") is not "lora")
            return $"it is an adapter of the type '{file.GetString("adapter.type")}', and only lora can be used";
        if (file.Keys.Contains(InvocationTokens))
            return "it is an activated LoRA, which counts from certain tokens on only, and this server cannot run such a one";
        if (file.Architecture != model.Architecture)
            return $"it is for models of the architecture {file.Architecture}, and {model.Path} is {model.Architecture}";
        // Absent it counts as 0.
        return file.Keys.Contains("adapter.lora.alpha") && !(file.IsSingle("adapter.lora.alpha") && double.IsFinite(file.GetFloat("adapter.lora.alpha")!.Value))
            ? "adapter.lora.alpha is not a number of 32 bits"
            : null;
    }

    private static string? SizeProblem(GgufFile file) => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes is var memory && file.TensorBytes > memory
        ? $"it needs {ModelFileCheck.Gibibytes(file.TensorBytes)} of memory, and this machine has {ModelFileCheck.Gibibytes(memory)}"
        : null;

    /// <summary>The largest rank; throws where tensors do not make pairs that fit the model's.</summary>
    private static int RankOf(GgufFile file, Dictionary<string, GgufTensor> model, Func<string, LlamaException> unusable)
    {
        Dictionary<string, GgufTensor> own = file.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        long rank = 0;
        foreach (GgufTensor tensor in file.Tensors)
        {
            string name = tensor.Name;
            if (name.EndsWith(IgnoredSuffix, StringComparison.Ordinal))
                continue; // llama.cpp passes over them.
            bool isA = name.EndsWith(SuffixA, StringComparison.Ordinal);
            string target = isA || name.EndsWith(SuffixB, StringComparison.Ordinal) ? name[..^SuffixA.Length] : throw unusable($"its tensor {name} is neither a lora_a nor a lora_b");
            if (tensor.Type is not (GgufTensorType.F32 or GgufTensorType.F16 or GgufTensorType.BF16 or GgufTensorType.Q8_0))
                throw unusable($"its tensor {name} is stored as {tensor.Type}, and F32, F16, BF16 and Q8_0 can be used");
            if (target.Contains(".lora_", StringComparison.Ordinal))
                throw unusable($"its tensor {name} has two suffixes");
            if (!own.TryGetValue(target + (isA ? SuffixB : SuffixA), out GgufTensor? other))
                throw unusable($"its tensor {name} has no {(isA ? "lora_b" : "lora_a")} beside it");
            if (!model.TryGetValue(target, out GgufTensor? changed))
                throw unusable($"it changes {target}, which the model does not have: it is for another model");
            if (target is Embeddings && !model.ContainsKey(Output))
                throw unusable($"it changes {Embeddings}, which this model computes its logits with, too");
            if (isA)
                rank = Math.Max(rank, PairRank(tensor, other, changed, unusable));
        }

        return rank > 0 ? (int)Math.Min(rank, int.MaxValue) : throw unusable("it changes no tensor");
    }

    private static long PairRank(GgufTensor a, GgufTensor b, GgufTensor changed, Func<string, LlamaException> unusable)
    {
        long rank = b.Extent(0);
        // Of embeddings rows are taken, so there A lies the other way round (llm_graph_context::build_inp_embd).
        long[] wantedA = changed.Name is Embeddings ? [rank, changed.Extent(1)] : [changed.Extent(0), rank];
        long[] wantedB = [rank, changed.Name is Embeddings ? changed.Extent(0) : changed.Extent(1)];
        if (!Fits(a, wantedA) || !Fits(b, wantedB))
            throw unusable($"its change of {changed.Name}, ({Shape(a)}) by ({Shape(b)}), does not fit the model's ({Shape(changed)}): it is for another model, or its two parts are of different ranks");
        return rank;

        // A mixture of experts has a matrix each.
        bool Fits(GgufTensor tensor, long[] wanted) =>
            changed.Shape.Count >= 2 && tensor.Extent(0) == wanted[0] && tensor.Extent(1) == wanted[1] && tensor.Extent(2) == changed.Extent(2) && tensor.Extent(3) == changed.Extent(3);
        static string Shape(GgufTensor tensor) => string.Join(", ", tensor.Shape);
    }
}
