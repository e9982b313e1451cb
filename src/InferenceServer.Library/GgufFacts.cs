using InferenceServer.Llama.Gguf;

namespace InferenceServer.Library;

/// <summary>What the headers of a model's files say, and whether the files belong together.</summary>
internal static class GgufFacts
{
    /// <summary>Reads the headers of all GGUF files of a model.</summary>
    /// <param name="pathOf">Where a file lies.</param>
    /// <exception cref="LibraryException">One is no GGUF file, or is not what it is taken for.</exception>
    public static ModelDetails Check(IReadOnlyList<LibraryFile> files, Func<LibraryFile, string> pathOf)
    {
        ModelDetails? details = null;
        Dictionary<GgufTensorType, long> bytes = [];
        long parameters = 0;
        LibraryFile[] weights = [.. files.Where(file => file.Role is LibraryFileRole.Model or LibraryFileRole.Shard)];
        foreach (LibraryFile file in files.Where(file => file.Role != LibraryFileRole.Template))
        {
            GgufFile header = Read(file, pathOf(file));
            LibraryFileRole kind = header.GetString("general.type") switch
            {
                "adapter" => LibraryFileRole.Adapter,
                "mmproj" => LibraryFileRole.Projector,
                _ when header.Architecture == "clip" => LibraryFileRole.Projector,
                _ => LibraryFileRole.Model,
            };
            if (kind != (file.Role == LibraryFileRole.Shard ? LibraryFileRole.Model : file.Role))
                throw Bad(file, $"it is {Article(kind)}, and should be {Article(file.Role)}");
            int part = Array.IndexOf(weights, file);
            if (part < 0)
                continue;
            long count = Math.Max(header.GetInteger("split.count") ?? 1, 1);
            if (count != weights.Length || (count > 1 && header.GetInteger("split.no") != part))
                throw Bad(file, count == 1 ? "it is a whole model, and was taken for a part" : $"it is part {header.GetInteger("split.no") + 1} of {count}, and {weights.Length} files are there: all parts are needed, in their order");
            foreach (GgufTensor tensor in header.Tensors)
            {
                parameters += tensor.ElementCount;
                bytes[tensor.Type] = bytes.GetValueOrDefault(tensor.Type) + tensor.SizeBytes;
            }

            details ??= new ModelDetails(header.Architecture, 0, "", (int)Math.Clamp(header.Hyper("context_length") ?? 0, 0, int.MaxValue), header.GetString("tokenizer.chat_template") is { Length: > 0 }, ModelDetails.UseOf(header));
        }

        return details! with { ParameterCount = parameters, Quantization = bytes.Count == 0 ? "" : bytes.MaxBy(type => type.Value).Key.ToString() };
    }

    /// <summary>The role that a file's own header claims.</summary>
    public static GgufFile Read(LibraryFile file, string path)
    {
        try
        {
            return GgufReader.Read(path);
        }
        catch (GgufException damaged)
        {
            throw Bad(file, damaged.Message);
        }
    }

    private static LibraryException Bad(LibraryFile file, string why) => new(LibraryProblem.BadFile, $"{ModelName.Shown(file.Name)} is not usable: {why}");

    private static string Article(LibraryFileRole role) => role switch
    {
        LibraryFileRole.Adapter => "an adapter",
        LibraryFileRole.Projector => "a projector",
        _ => "a model",
    };
}
