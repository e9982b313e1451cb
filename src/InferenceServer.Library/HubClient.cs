using System.Globalization;
using System.Text.Json;

namespace InferenceServer.Library;

/// <summary>What a hub has under a name: the files to fetch, and what it says of them.</summary>
internal sealed record RemoteModel(ModelReference Source, IReadOnlyList<RemoteFile> Files)
{
    public string? Revision { get; init; }

    public string? Quant { get; init; }

    public string? QuantReason { get; init; }

    public string? License { get; init; }

    public string? System { get; init; }

    public IReadOnlyDictionary<string, JsonElement> Parameters { get; init; } = new Dictionary<string, JsonElement>();

    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>What the library calls it unless it is told otherwise.</summary>
    public required ModelName Name { get; init; }
}

/// <summary>Reads what Hugging Face's hub, or a mirror of it, and Ollama's registry say of a model. Every name, hash and size in their answers is checked.</summary>
internal sealed class HubClient(HubHttp http, LibraryOptions options)
{
    // The list of a repository with thousands of files is some MiB; Ollama's documents are some KiB.
    private const int MaxListBytes = 16 << 20;
    private const int MaxManifestBytes = 1 << 20;
    private const int MaxLayerBytes = 1 << 20;
    private const long MaxFileBytes = 1L << 43;
    private const int MaxParts = 1000;
    private const string ManifestType = "application/vnd.docker.distribution.manifest.v2+json";

    private static readonly JsonDocumentOptions Json = new() { MaxDepth = 32 };

    /// <param name="freeBytes">Memory of what computes, for the choice of a quant.</param>
    /// <exception cref="LibraryException">It is not there, or may not be had, or makes no sense.</exception>
    public Task<RemoteModel> FindAsync(ModelReference reference, long freeBytes, CancellationToken cancellation) => reference switch
    {
        HubReference hub => FindAsync(hub, freeBytes, cancellation),
        OllamaReference ollama => FindAsync(ollama, cancellation),
        _ => throw new ArgumentException($"{reference} is no model of a hub", nameof(reference)),
    };

    private async Task<RemoteModel> FindAsync(HubReference reference, long freeBytes, CancellationToken cancellation)
    {
        CheckOnline(reference);
        string repository = $"{reference.Owner}/{reference.Repo}";
        byte[] answer = await http.GetDocumentAsync(Under(options.HubEndpoint, $"api/models/{repository}?blobs=true"), $"model '{repository}'", "application/json", MaxListBytes, null, cancellation);
        using JsonDocument document = Parse(answer, repository);
        JsonElement root = document.RootElement;
        string revision = Text(root, "sha") is { Length: > 0 and <= 64 } sha && sha.All(char.IsAsciiHexDigit) ? sha : "main";
        List<RemoteFile> files = [];
        if (root.TryGetProperty("siblings", out JsonElement siblings) && siblings.ValueKind == JsonValueKind.Array)
            foreach (JsonElement sibling in siblings.EnumerateArray())
                if (Text(sibling, "rfilename") is { } name && name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))
                    files.Add(ReadFile(reference, revision, name, sibling));
        IReadOnlyList<QuantVariant> variants = Quantization.Variants(files);
        if (variants.Count == 0)
            throw new LibraryException(LibraryProblem.NotFound, $"{repository} has no GGUF files: look for a repository whose name ends in -GGUF");
        (QuantVariant chosen, string? reason) = reference.Quant is { } asked ? (Quantization.Find(variants, asked, repository), null) : Quantization.Choose(variants, freeBytes);
        List<RemoteFile> parts = CheckParts(chosen, repository);
        RemoteFile[] projectors = [.. files.Where(file => Quantization.IsProjector(file.Name))];
        if (projectors.Length > 0)
            parts.Add(projectors.OrderBy(file => Quantization.LabelOf(file.Name) is "F16" ? 0 : 1).ThenBy(file => file.Size).First() with { Role = LibraryFileRole.Projector });
        string tag = chosen.Label is { } label && chosen.Stem.EndsWith(label, StringComparison.OrdinalIgnoreCase) && reference.Quant?.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) != true
            ? reference.Quant ?? label : ModelName.TagOf(Path.GetFileName(chosen.Stem));
        return new RemoteModel(reference with { Quant = reference.Quant ?? chosen.Label }, parts)
        {
            Name = ModelName.Parse($"{Clip(reference.Owner, 48)}/{reference.Repo}:{ModelName.TagOf(tag)}"),
            Revision = revision,
            Quant = chosen.Label,
            QuantReason = reason,
            License = LicenseOf(root),
        };
    }

    private RemoteFile ReadFile(HubReference reference, string revision, string name, JsonElement sibling)
    {
        // The name becomes no path here; one that would be a bad one is a sign of bad intent.
        if (name.Length > 255 || name.Any(c => char.IsControl(c) || c is '\\' or ':') || name.Split('/').Any(part => part is "" or "." or ".."))
            throw new LibraryException(LibraryProblem.BadFile, $"{reference.Owner}/{reference.Repo} names a file '{ModelName.Shown(name)}', which is no plain path: nothing of it was fetched");
        string? sha = null;
        long size = 0;
        if (sibling.TryGetProperty("lfs", out JsonElement lfs) && lfs.ValueKind == JsonValueKind.Object)
            (sha, size) = (Text(lfs, "sha256"), Number(lfs, "size"));
        if (size == 0)
            size = Number(sibling, "size");
        return sha is not null && IsSha(sha) && size is > 0 and <= MaxFileBytes
            ? new RemoteFile(Under(options.HubEndpoint, $"{reference.Owner}/{reference.Repo}/resolve/{revision}/{string.Join('/', name.Split('/').Select(Uri.EscapeDataString))}"), name, sha.ToLowerInvariant(), size,
                Quantization.PartOf(name) is { Number: > 1 } ? LibraryFileRole.Shard : LibraryFileRole.Model)
            : throw new LibraryException(LibraryProblem.BadFile, $"{options.HubEndpoint.Host} names no SHA-256 and size of {ModelName.Shown(name)}, so that nobody could tell whether it came whole: it is not fetched");
    }

    private static List<RemoteFile> CheckParts(QuantVariant variant, string repository)
    {
        if (Quantization.PartOf(variant.Parts[0].Name) is not { Count: var count })
            return [variant.Parts[0]];
        int[] numbers = [.. variant.Parts.Select(part => Quantization.PartOf(part.Name)!.Value.Number)];
        return count <= MaxParts && numbers.SequenceEqual(Enumerable.Range(1, count)) ? [.. variant.Parts]
            : throw new LibraryException(LibraryProblem.BadFile, $"{repository} has parts {string.Join(", ", numbers.Take(20))} of the {count} that {ModelName.Shown(variant.Stem)} is split into: it is incomplete there");
    }

    private async Task<RemoteModel> FindAsync(OllamaReference reference, CancellationToken cancellation)
    {
        string path = $"{reference.Namespace}/{reference.Name}";
        (byte[] manifest, string? local) = LocalManifest(reference) is { } here ? (await File.ReadAllBytesAsync(here.Manifest, cancellation), here.Folder) : (null!, null);
        if (manifest is null)
        {
            CheckOnline(reference);
            manifest = await http.GetDocumentAsync(Under(options.OllamaRegistry, $"v2/{path}/manifests/{reference.Tag}"), $"model '{reference.LibraryName}'", ManifestType, MaxManifestBytes, null, cancellation);
        }

        using JsonDocument document = Parse(manifest, reference.LibraryName);
        List<RemoteFile> files = [];
        List<string> notes = [];
        RemoteModel model = new(reference, files) { Name = ModelName.Parse(reference.LibraryName), Notes = notes };
        if (!document.RootElement.TryGetProperty("layers", out JsonElement layers) || layers.ValueKind != JsonValueKind.Array || layers.GetArrayLength() > MaxParts)
            throw new LibraryException(LibraryProblem.BadFile, $"the manifest of {reference} lists no layers");
        if (document.RootElement.TryGetProperty("config", out JsonElement config) && await SmallAsync(config) is { } settings)
        {
            using JsonDocument read = Parse(settings, reference.LibraryName);
            model = model with { Quant = Text(read.RootElement, "file_type") is { Length: > 0 and <= 16 } quant ? quant : null };
        }

        foreach (JsonElement layer in layers.EnumerateArray())
        {
            switch ((Text(layer, "mediaType") ?? "").Split(';')[0])
            {
                case "application/vnd.ollama.image.model":
                    files.Add(LayerFile(layer, files.Count == 0 ? LibraryFileRole.Model : LibraryFileRole.Shard));
                    break;
                case "application/vnd.ollama.image.projector":
                    files.Add(LayerFile(layer, LibraryFileRole.Projector));
                    break;
                case "application/vnd.ollama.image.adapter":
                    files.Add(LayerFile(layer, LibraryFileRole.Adapter));
                    break;
                case "application/vnd.ollama.image.system":
                    model = model with { System = Utf8(await SmallAsync(layer)) };
                    break;
                case "application/vnd.ollama.image.license":
                    model = model with { License = FirstLine(Utf8(await SmallAsync(layer))) ?? model.License };
                    break;
                case "application/vnd.ollama.image.params":
                    using (JsonDocument read = Parse(await SmallAsync(layer) ?? [], reference.LibraryName))
                        model = model with { Parameters = ModelParameters.Read(read.RootElement, (name, why) => notes.Add($"its parameter {name} was left out: {why}")) };
                    break;
                case "application/vnd.ollama.image.template":
                    notes.Add("Ollama's own template of it is written in Go's template language; the template in the model's file is used.");
                    break;
                case "application/vnd.ollama.image.messages":
                    notes.Add("its example messages were left out.");
                    break;
            }
        }

        return files.Any(file => file.Role == LibraryFileRole.Model) ? model
            : throw new LibraryException(LibraryProblem.BadFile, $"{reference} holds no GGUF file: this server runs nothing else");

        RemoteFile LayerFile(JsonElement layer, LibraryFileRole role)
        {
            (string sha, long size) = Layer(layer, MaxFileBytes);
            string? blob = local is null ? null : Path.Combine(local, "blobs", $"sha256-{sha}");
            return new RemoteFile(Under(options.OllamaRegistry, $"v2/{path}/blobs/sha256:{sha}"), $"{reference.Name}-{role.ToString().ToLowerInvariant()}.gguf", sha, size, role,
                blob is not null && File.Exists(blob) ? blob : LocalBlob(sha));
        }

        async Task<byte[]?> SmallAsync(JsonElement layer)
        {
            (string sha, long size) = Layer(layer, MaxLayerBytes);
            if (LocalBlob(sha) is { } blob && new FileInfo(blob).Length == size)
                return await File.ReadAllBytesAsync(blob, cancellation);
            CheckOnline(reference);
            return await http.GetDocumentAsync(Under(options.OllamaRegistry, $"v2/{path}/blobs/sha256:{sha}"), $"a layer of {reference}", null, MaxLayerBytes, sha, cancellation);
        }

        (string Sha, long Size) Layer(JsonElement layer, long most) =>
            Text(layer, "digest") is { } digest && digest.StartsWith("sha256:", StringComparison.Ordinal) && IsSha(digest[7..]) && Number(layer, "size") is var size && size > 0 && size <= most
                ? (digest[7..].ToLowerInvariant(), size)
                : throw new LibraryException(LibraryProblem.BadFile, $"the manifest of {reference} has a layer without a sha256 digest, or of an impossible size");
    }

    /// <summary>The manifest that an Ollama on this machine has; null for none.</summary>
    private (string Manifest, string Folder)? LocalManifest(OllamaReference reference)
    {
        foreach (string folder in options.OllamaFolders)
        {
            string path = Path.Combine(folder, "manifests", "registry.ollama.ai", reference.Namespace, reference.Name, reference.Tag);
            if (Readable(path, MaxManifestBytes))
                return (path, folder);
        }

        return null;
    }

    private string? LocalBlob(string sha) => options.OllamaFolders.Select(folder => Path.Combine(folder, "blobs", $"sha256-{sha}")).FirstOrDefault(path => Readable(path, MaxFileBytes));

    private static bool Readable(string path, long most)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            return file.Length <= most;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private void CheckOnline(ModelReference reference)
    {
        if (options.Offline)
            throw new LibraryException(LibraryProblem.Offline, $"{reference} is not in the library, and nothing is fetched: the network is turned off (--offline, or HF_HUB_OFFLINE)");
    }

    private static string? LicenseOf(JsonElement root)
    {
        if (root.TryGetProperty("cardData", out JsonElement card) && card.ValueKind == JsonValueKind.Object && Text(card, "license") is { Length: > 0 and <= 200 } license)
            return license;
        if (root.TryGetProperty("tags", out JsonElement tags) && tags.ValueKind == JsonValueKind.Array)
            foreach (JsonElement tag in tags.EnumerateArray())
                if (tag.ValueKind == JsonValueKind.String && tag.GetString() is { } text && text.StartsWith("license:", StringComparison.Ordinal) && text.Length <= 200)
                    return text["license:".Length..];
        return null;
    }

    private static JsonDocument Parse(byte[] document, string what)
    {
        try
        {
            JsonDocument read = JsonDocument.Parse(document, Json);
            return read.RootElement.ValueKind == JsonValueKind.Object ? read : throw new JsonException("it is no object");
        }
        catch (JsonException error)
        {
            throw new LibraryException(LibraryProblem.Unreachable, $"what the hub says of {what} is no JSON object: is the address right, and is there a page in front of it?", error);
        }
    }

    internal static bool IsSha(string text) => text.Length == 64 && text.All(char.IsAsciiHexDigit);

    private static string Clip(string text, int length) => text.Length <= length ? text : text[..length];

    private static string? Text(JsonElement element, string name) => element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static long Number(JsonElement element, string name) => element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) ? number : 0;

    private static string? Utf8(byte[]? bytes) => bytes is null ? null : global::System.Text.Encoding.UTF8.GetString(bytes);

    private static string? FirstLine(string? text) => text?.Split('\n').Select(line => line.Trim()).FirstOrDefault(line => line.Length > 0) is { } line ? Clip(line, 200) : null;

    private static Uri Under(Uri endpoint, string path) => new(string.Create(CultureInfo.InvariantCulture, $"{endpoint.AbsoluteUri.TrimEnd('/')}/{path}"));
}
