namespace InferenceServer.Library;

/// <summary>What somebody means by a model: a file, a repository of a hub, or a name of the library.</summary>
public abstract record ModelReference
{
    private const int MaxLength = 512;
    private const int MaxPart = 96;
    private const string OllamaPrefix = "ollama:";

    private static readonly string[] HubPrefixes = ["hf:", "hf.co/", "huggingface.co/", "https://hf.co/", "https://huggingface.co/"];

    /// <summary>
    /// Reads <c>hf:owner/repo[:quant]</c>, <c>ollama:[namespace/]name[:tag]</c>, a path (it begins with '/', '.' or '~', has a '\', ends in .gguf, or is a file that is there), or
    /// else a name of the library.
    /// </summary>
    /// <exception cref="LibraryException">It is none of these.</exception>
    public static ModelReference Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length is 0 or > MaxLength || text.Any(char.IsControl))
            throw new LibraryException(LibraryProblem.Invalid, text.Length == 0 ? "the model's name is empty" : $"'{ModelName.Shown(text)}' is no model: a name has 1 to {MaxLength} characters and no control characters");
        if (Array.Find(HubPrefixes, prefix => text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)) is { } hub)
            return ParseHub(text, text[hub.Length..]);
        if (text.StartsWith(OllamaPrefix, StringComparison.OrdinalIgnoreCase))
            return ParseOllama(text, text[OllamaPrefix.Length..]);
        return LooksLikePath(text) ? new FileReference(text.StartsWith("~/", StringComparison.Ordinal) ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), text[2..]) : text)
            : new NameReference(ModelName.Parse(text));
    }

    /// <summary>As <see cref="Parse"/>, and a bare name is one to fetch: <c>owner/repo</c> of Hugging Face, <c>name</c> of Ollama.</summary>
    /// <exception cref="LibraryException">It cannot be fetched.</exception>
    public static ModelReference ParseRemote(string text) => (IsRemote(text) || !ModelName.TryParse(text, out ModelName? bare) || IsFileName(text) ? Parse(text) : new NameReference(bare)) switch
    {
        NameReference { Name: { Owner: { } owner } name } => new HubReference(owner, name.Name, name.Tag == ModelName.DefaultTag ? null : name.Tag),
        NameReference { Name: var name } => new OllamaReference("library", name.Name, name.Tag),
        FileReference => throw new LibraryException(LibraryProblem.Invalid, $"'{ModelName.Shown(text)}' is a path: take a file into the library with import"),
        var other => other,
    };

    /// <summary>Whether a text names a hub: no name of the library is meant, and no file.</summary>
    public static bool IsRemote(string text) => Array.Exists(HubPrefixes, prefix => text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)) || text.StartsWith(OllamaPrefix, StringComparison.OrdinalIgnoreCase);

    private static bool IsFileName(string text) => text.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase);

    private static HubReference ParseHub(string text, string rest)
    {
        (string path, string? quant) = ModelName.SplitTag(rest);
        string[] parts = path.Split('/');
        string? fault = parts.Length != 2 ? "it is not owner/repo" : ModelName.Fault(parts[0], MaxPart) is { } owner ? $"its owner {owner}" : ModelName.Fault(parts[1], MaxPart) is { } repo ? $"its repository {repo}" : null;
        if (quant is not null)
            fault ??= quant.Split('/').Select(part => ModelName.Fault(part, MaxPart)).FirstOrDefault(wrong => wrong is not null) is { } wrong ? $"its quant {wrong}" : null;
        return fault is null ? new HubReference(parts[0], parts[1], quant)
            : throw new LibraryException(LibraryProblem.Invalid, $"'{ModelName.Shown(text)}' is no model of Hugging Face: {fault}. Write hf:owner/repo, hf:owner/repo:Q4_K_M or hf:owner/repo:file.gguf");
    }

    private static OllamaReference ParseOllama(string text, string rest)
    {
        try
        {
            ModelName name = ModelName.Parse(rest);
            return new OllamaReference(name.Owner ?? "library", name.Name, name.Tag);
        }
        catch (LibraryException error)
        {
            throw new LibraryException(LibraryProblem.Invalid, $"'{ModelName.Shown(text)}' is no model of Ollama: write ollama:name, ollama:name:tag or ollama:namespace/name:tag", error);
        }
    }

    private static bool LooksLikePath(string text) => text[0] is '/' or '.' or '~' || text.Contains('\\', StringComparison.Ordinal) || IsFileName(text)
        || (text.Length > 1 && text[1] == ':' && OperatingSystem.IsWindows()) || File.Exists(text);
}

/// <summary>A file of this machine.</summary>
public sealed record FileReference(string Path) : ModelReference
{
    public override string ToString() => Path;
}

/// <summary>A name that the library may hold.</summary>
public sealed record NameReference(ModelName Name) : ModelReference
{
    public override string ToString() => Name.Display;
}

/// <summary>A repository of Hugging Face.</summary>
/// <param name="Quant">Null leaves it to the machine's memory; else its label, or a file's name.</param>
public sealed record HubReference(string Owner, string Repo, string? Quant) : ModelReference
{
    public override string ToString() => Quant is null ? $"hf:{Owner}/{Repo}" : $"hf:{Owner}/{Repo}:{Quant}";
}

/// <summary>A model of Ollama's registry.</summary>
public sealed record OllamaReference(string Namespace, string Name, string Tag) : ModelReference
{
    internal string LibraryName => Namespace == "library" ? $"{Name}:{Tag}" : $"{Namespace}/{Name}:{Tag}";

    public override string ToString() => $"ollama:{LibraryName}";
}
