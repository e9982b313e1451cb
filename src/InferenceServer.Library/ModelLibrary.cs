using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using InferenceServer.Llama.Gguf;

namespace InferenceServer.Library;

/// <summary>What to fetch.</summary>
/// <param name="Model">A reference; a bare <c>owner/repo</c> is Hugging Face's, and a bare <c>name</c> Ollama's.</param>
/// <param name="Name">What the library is to call it; null takes a name made of the reference.</param>
/// <param name="FreeMemoryBytes">Memory of what will compute: the best quant that fits is taken where none is named.</param>
public sealed record PullRequest(string Model, string? Name = null, long FreeMemoryBytes = long.MaxValue);

/// <summary>A model as the engine needs it.</summary>
/// <param name="Path">Of the weights; of a split model, of the first part.</param>
/// <param name="TemplatePath">Of a Jinja template that replaces the model's own; null for none.</param>
public sealed record ResolvedModel(ModelManifest Manifest, string Path, string? TemplatePath, string? ProjectorPath, IReadOnlyList<string> AdapterPaths);

/// <summary>What became of a removal.</summary>
/// <param name="FreedBytes">Files that other models name stay.</param>
public sealed record ModelRemoval(string Name, long FreedBytes);

/// <summary>How a file of the library is.</summary>
/// <param name="Problem">Null where it is as it should be.</param>
public sealed record FileCheck(string Model, LibraryFile File, string? Problem);

/// <summary>
/// Models in a folder under names. Files are kept once, under their hashes, and are whole or not there; several processes may use one folder. Safe from any thread.
/// </summary>
public sealed class ModelLibrary : IDisposable
{
    private const int MaxTextBytes = 1 << 20;
    private const string BlobPrefix = "@sha256:";

    // What a pull has fetched may be deleted by another process before it is named; then it is fetched once more.
    private const int MaxCommits = 3;

    // Beside what is fetched: journals, manifests, and whoever else writes there.
    private const long SpareBytes = 64L << 20;

    private readonly LibraryOptions _options;
    private readonly LibraryFolder _folder;
    private readonly HubHttp _http;
    private readonly HubClient _hub;

    private ModelLibrary(LibraryOptions options)
    {
        _options = options;
        _folder = new LibraryFolder(options.Folder);
        _http = new HubHttp(options);
        _hub = new HubClient(_http, options);
    }

    public string Folder => _folder.Root;

    /// <summary>Bytes that pulls have fetched since this object was made.</summary>
    public long FetchedBytes => Interlocked.Read(ref _fetched);

    private long _fetched;

    /// <summary>Touches nothing yet: the folder is made when something is written.</summary>
    public static ModelLibrary Open(LibraryOptions options) => new(options);

    /// <summary>All models, by name.</summary>
    /// <param name="damaged">Is told of manifests that cannot be read: the file's name and why.</param>
    public IReadOnlyList<ModelManifest> List(Action<string, string>? damaged = null) => _folder.Manifests(damaged);

    /// <summary>The model of a name or reference; the owner or the tag may be left out where that leaves one only. Null for none.</summary>
    public ModelManifest? Find(string text)
    {
        if (ModelReference.IsRemote(text))
        {
            string source = ModelReference.Parse(text).ToString();
            ModelManifest[] of = [.. List().Where(manifest => manifest.Source.Equals(source, StringComparison.OrdinalIgnoreCase) || manifest.Source.StartsWith(source + ":", StringComparison.OrdinalIgnoreCase))];
            return of.FirstOrDefault(manifest => manifest.Source.Equals(source, StringComparison.OrdinalIgnoreCase)) ?? of.MaxBy(manifest => manifest.AddedAt);
        }

        if (!ModelName.TryParse(text.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? text[..^5] : text, out ModelName? name))
            return null;
        if (_folder.Find(name) is { } exact)
            return exact;
        bool anyTag = !text.Contains(':', StringComparison.Ordinal);
        ModelManifest[] like = [.. List().Where(manifest => ModelName.Parse(manifest.Name) is var other && other.Name.Equals(name.Name, StringComparison.OrdinalIgnoreCase)
            && (name.Owner is null || name.Owner.Equals(other.Owner, StringComparison.OrdinalIgnoreCase)) && (anyTag || name.Tag.Equals(other.Tag, StringComparison.OrdinalIgnoreCase)))];
        return like.Length == 1 ? like[0] : null;
    }

    /// <exception cref="LibraryException">There is none by this name.</exception>
    public ModelManifest Show(string name) => Find(name) ?? throw Missing(name);

    /// <summary>What the weights' own file says of itself.</summary>
    /// <exception cref="LibraryException">It is missing or damaged.</exception>
    public GgufFile ReadHeader(ModelManifest manifest) => manifest.Files[0] is var file && _folder.Has(file) ? GgufFacts.Read(file, _folder.Blob(file.Sha256))
        : throw new LibraryException(LibraryProblem.NotFound, $"{ModelName.Shown(file.Name)} of '{manifest.Name}' is missing from {Folder}: {Remedy(manifest)}");

    /// <summary>The template that replaces the model's own; null for none.</summary>
    public string? ReadTemplate(ModelManifest manifest) => manifest.Files.FirstOrDefault(file => file.Role == LibraryFileRole.Template) is { Size: <= MaxTextBytes } file && _folder.Has(file)
        ? _folder.Do(() => File.ReadAllText(_folder.Blob(file.Sha256)))
        : null;

    /// <summary>What the engine needs to load a model.</summary>
    /// <exception cref="LibraryException">There is none by this name, or a file of it is missing.</exception>
    public ResolvedModel Resolve(string name)
    {
        ModelManifest manifest = Show(name);
        if (manifest.Files.FirstOrDefault(file => !_folder.Has(file)) is { } missing)
            throw new LibraryException(LibraryProblem.NotFound, $"{ModelName.Shown(missing.Name)} of '{manifest.Name}' is missing from {Folder}: {Remedy(manifest)}");
        string? PathOf(LibraryFileRole role) => manifest.Files.FirstOrDefault(file => file.Role == role) is { } file ? _folder.Blob(file.Sha256) : null;
        return new ResolvedModel(manifest, _folder.WeightsPath(manifest), PathOf(LibraryFileRole.Template), PathOf(LibraryFileRole.Projector),
            [.. manifest.Files.Where(file => file.Role == LibraryFileRole.Adapter).Select(file => _folder.Blob(file.Sha256))]);
    }

    /// <summary>Fetches a model; what is here already is not fetched again, and what was begun goes on.</summary>
    /// <exception cref="LibraryException">It cannot be had; what has come is kept.</exception>
    /// <exception cref="OperationCanceledException">It was called off; what has come is kept.</exception>
    public async Task<ModelManifest> PullAsync(PullRequest request, IProgress<PullProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        ModelReference reference = ModelReference.ParseRemote(request.Model);
        ModelName? named = request.Name is null ? null : ModelName.Parse(request.Name);
        PullMeter meter = new(progress, _options.Clock, bytes => Interlocked.Add(ref _fetched, bytes));
        if (_options.Offline && Find(named?.ToString() ?? reference.ToString()) is { } here && here.Files.All(_folder.Has))
        {
            meter.Say(PullPhase.Done, "it is in the library; nothing was looked up, since the network is turned off.");
            return here;
        }

        meter.Say(PullPhase.ReadingManifest);
        RemoteModel model = await _hub.FindAsync(reference, request.FreeMemoryBytes, cancellation);
        meter.Say(PullPhase.ReadingManifest, model.QuantReason);
        _folder.Prepare();
        for (int commits = 1; ; commits++)
        {
            if (await TryPullAsync(model, named ?? model.Name, meter, cancellation) is { } pulled)
            {
                meter.Say(PullPhase.Done);
                return pulled;
            }

            if (commits == MaxCommits)
                throw new LibraryException(LibraryProblem.Folder, $"files of {reference} vanish from {Folder} while it is fetched: does something else delete them?");
        }
    }

    /// <summary>Takes a GGUF file of this machine into the library, with all its parts if it is the first of several.</summary>
    /// <param name="name">Null takes the file's.</param>
    /// <param name="copy">Copy it even where a second name of the same file would do.</param>
    /// <exception cref="LibraryException">It cannot be read or used.</exception>
    public async Task<ModelManifest> ImportAsync(string path, string? name = null, bool copy = false, IProgress<PullProgress>? progress = null, CancellationToken cancellation = default)
    {
        ModelName given = name is null ? ModelName.Parse(NameOf(path)) : ModelName.Parse(name);
        return await CommitAsync(given, Path.GetFullPath(path), await TakeWeightsAsync(path, copy, progress, cancellation), manifest => manifest with { Quant = Quantization.LabelOf(Path.GetFileName(path)) }, cancellation);
    }

    /// <summary>Makes a model of others.</summary>
    /// <param name="allowPaths">Whether FROM and ADAPTER may name files of this machine.</param>
    /// <exception cref="LibraryException">A part of it is wrong or cannot be had.</exception>
    public async Task<ModelManifest> CreateAsync(string name, Modelfile modelfile, bool allowPaths, long freeMemoryBytes = long.MaxValue, IProgress<PullProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(modelfile);
        ModelName given = ModelName.Parse(name);
        if (modelfile.Template is { } jinja && Modelfile.IsGoTemplate(jinja))
            throw new LibraryException(LibraryProblem.Invalid, Modelfile.GoTemplate);
        _folder.Prepare();
        ModelManifest? parent = null;
        List<LibraryFile> files;
        string from = modelfile.From;
        if (from.StartsWith(BlobPrefix, StringComparison.Ordinal))
            files = [Uploaded(from, "model.gguf", LibraryFileRole.Model)];
        else if ((parent = Find(from)) is null && ModelReference.Parse(from) is FileReference file)
            files = allowPaths ? [.. await TakeWeightsAsync(file.Path, copy: false, progress, cancellation)] : throw PathsRefused("FROM", from);
        else
        {
            parent ??= (ModelReference.Parse(from) is NameReference ? throw Missing(from) : await PullAsync(new PullRequest(from, FreeMemoryBytes: freeMemoryBytes), progress, cancellation));
            files = [.. parent.Files];
        }

        foreach (string adapter in modelfile.Adapters)
            files.Add(adapter.StartsWith(BlobPrefix, StringComparison.Ordinal) ? Uploaded(adapter, "adapter.gguf", LibraryFileRole.Adapter)
                : allowPaths ? await TakeAsync(adapter, LibraryFileRole.Adapter, copy: false, Meter(progress), cancellation)
                : throw PathsRefused("ADAPTER", adapter));
        if (modelfile.Template is { } template)
        {
            files.RemoveAll(old => old.Role == LibraryFileRole.Template);
            files.Add(await TakeTextAsync(template, cancellation));
        }

        Dictionary<string, JsonElement> parameters = new(parent?.Parameters ?? new Dictionary<string, JsonElement>());
        foreach ((string key, JsonElement value) in modelfile.Parameters)
            parameters[key] = value;
        return await CommitAsync(given, parent?.Source ?? from, files, manifest => manifest with
        {
            Revision = parent?.Revision,
            Quant = parent?.Quant,
            System = modelfile.System ?? parent?.System,
            License = modelfile.License ?? parent?.License,
            Parameters = parameters,
        }, cancellation);
    }

    /// <summary>Gives a model a second name; its files are not copied.</summary>
    /// <exception cref="LibraryException">There is none by the first name, or the second is no name.</exception>
    public async Task<ModelManifest> CopyAsync(string from, string to, CancellationToken cancellation = default)
    {
        ModelManifest copy = Show(from) with { Name = ModelName.Parse(to).ToString(), AddedAt = _options.Clock.GetUtcNow() };
        return await _folder.ExclusivelyAsync(() =>
        {
            _folder.Write(copy);
            return copy;
        }, cancellation);
    }

    /// <summary>Deletes a name, and the files that no other name needs. A running server keeps what it has loaded.</summary>
    /// <exception cref="LibraryException">There is none by this name.</exception>
    public async Task<ModelRemoval> RemoveAsync(string name, CancellationToken cancellation = default)
    {
        ModelManifest manifest = Show(name);
        return new ModelRemoval(manifest.Name, await _folder.ExclusivelyAsync(() => _folder.Delete(manifest), cancellation));
    }

    /// <summary>Reads every file of a model, or of all, and compares hashes. A damaged file is set aside, so that a pull fetches it anew.</summary>
    /// <param name="name">Null for all.</param>
    /// <exception cref="LibraryException">There is none by this name.</exception>
    public async Task<IReadOnlyList<FileCheck>> VerifyAsync(string? name = null, IProgress<PullProgress>? progress = null, CancellationToken cancellation = default)
    {
        List<FileCheck> checks = [];
        IReadOnlyList<ModelManifest> manifests = name is null ? List((file, why) => throw new LibraryException(LibraryProblem.BadFile, $"manifests/{file} is damaged: {why}. Delete it, and pull the model again")) : [Show(name)];
        Dictionary<string, string?> known = [];
        PullMeter meter = Meter(progress);
        meter.Plan(manifests.SelectMany(manifest => manifest.Files).DistinctBy(file => file.Sha256).Sum(file => file.Size), 0);
        foreach (ModelManifest manifest in manifests)
            foreach (LibraryFile file in manifest.Files)
            {
                if (!known.TryGetValue(file.Sha256, out string? problem))
                {
                    known[file.Sha256] = problem = await ProblemOfAsync(file, meter, cancellation);
                    meter.Finish(file);
                }

                checks.Add(new FileCheck(manifest.Name, file, problem is null ? null : $"{problem}: {Remedy(manifest)}"));
            }

        meter.Say(PullPhase.Done);
        return checks;
    }

    /// <summary>Whether a file of this hash is here.</summary>
    public bool HasBlob(string sha256) => HubClient.IsSha(sha256) && File.Exists(_folder.Blob(sha256.ToLowerInvariant()));

    /// <summary>Takes a file that somebody uploads, for a model that will be made of it.</summary>
    /// <exception cref="LibraryException">It is not what its hash says, or too large for the disk.</exception>
    public async Task AddBlobAsync(string sha256, Stream content, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(content);
        if (!HubClient.IsSha(sha256))
            throw new LibraryException(LibraryProblem.Invalid, "a blob is named sha256: and 64 hex digits");
        string sha = sha256.ToLowerInvariant(), temporary = $"{_folder.Partial(sha)}.{Guid.NewGuid():N}.upload";
        _folder.Prepare();
        try
        {
            using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            await using (FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 0, FileOptions.Asynchronous))
            {
                byte[] buffer = new byte[128 << 10];
                for (long written = 0; await content.ReadAsync(buffer, cancellation) is > 0 and var count; written += count)
                {
                    if (written % (256L << 20) < count)
                        CheckDisk(SpareBytes, "the upload");
                    hash.AppendData(buffer, 0, count);
                    await file.WriteAsync(buffer.AsMemory(0, count), cancellation);
                }

                file.Flush(flushToDisk: true);
            }

            string found = Convert.ToHexStringLower(hash.GetHashAndReset());
            if (found != sha)
                throw new LibraryException(LibraryProblem.WrongHash, $"the upload has the hash {found}; {sha} was named");
            File.Move(temporary, _folder.Blob(sha), overwrite: true);
        }
        catch (Exception error) when (error is UnauthorizedAccessException or IOException { InnerException: null })
        {
            throw _folder.Failed(error);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Null where a file vanished before it was named.</summary>
    private async Task<ModelManifest?> TryPullAsync(RemoteModel model, ModelName name, PullMeter meter, CancellationToken cancellation)
    {
        IReadOnlyList<RemoteFile> files = [.. model.Files.DistinctBy(file => file.Sha256)];
        long total = files.Sum(file => file.Size);
        bool waited = false;
        using IDisposable locks = await _folder.LockAsync(files.Select(file => file.Sha256), () =>
        {
            meter.Plan(total, files.Where(file => _folder.Has(file.Entry)).Sum(file => file.Size));
            if (!waited)
                meter.Begin(PullPhase.Waiting, null, 0, "another process or request fetches the same files.");
            waited = true;
            meter.Set(files.Where(file => !_folder.Has(file.Entry)).Sum(file => _folder.PartialBytes(file.Sha256)));
        }, cancellation);
        RemoteFile[] missing = [.. files.Where(file => !_folder.Has(file.Entry))];
        meter.Plan(total, total - missing.Sum(file => file.Size));
        CheckDisk(missing.Sum(file => file.Size - _folder.PartialBytes(file.Sha256)) + SpareBytes, model.Source.ToString());
        Download download = new(_http, _folder, _options, meter);
        foreach (RemoteFile file in missing)
            await download.FetchAsync(file, cancellation);
        LibraryFile[] entries = [.. files.Select(file => file.Entry)];
        ModelDetails details = _folder.Do(() => GgufFacts.Check(entries, file => _folder.Blob(file.Sha256)));
        meter.Say(PullPhase.WritingManifest);
        ModelManifest manifest = new()
        {
            Name = name.ToString(),
            Source = model.Source.ToString(),
            Revision = model.Revision,
            Quant = model.Quant,
            QuantReason = model.QuantReason,
            Files = entries,
            Details = details,
            System = model.System,
            Parameters = model.Parameters,
            License = model.License,
            Notes = model.Notes,
            AddedAt = _options.Clock.GetUtcNow(),
        };
        return await WriteAsync(manifest, cancellation) ? manifest : null;
    }

    private async Task<ModelManifest> CommitAsync(ModelName name, string source, IReadOnlyList<LibraryFile> files, Func<ModelManifest, ModelManifest> complete, CancellationToken cancellation)
    {
        ModelManifest manifest = complete(new ModelManifest
        {
            Name = name.ToString(),
            Source = source,
            Files = [.. files],
            Details = _folder.Do(() => GgufFacts.Check(files, file => _folder.Blob(file.Sha256))),
            AddedAt = _options.Clock.GetUtcNow(),
        });
        return await WriteAsync(manifest, cancellation) ? manifest : throw new LibraryException(LibraryProblem.Folder, $"files of '{name}' vanish from {Folder}: does something else delete them?");
    }

    /// <summary>False where a file that it names is gone.</summary>
    private Task<bool> WriteAsync(ModelManifest manifest, CancellationToken cancellation) => _folder.ExclusivelyAsync(() =>
    {
        if (!manifest.Files.All(_folder.Has))
            return false;
        _folder.Write(manifest);
        return true;
    }, cancellation);

    /// <summary>A file and, if it is the first of several parts, the others beside it.</summary>
    private async Task<IReadOnlyList<LibraryFile>> TakeWeightsAsync(string path, bool copy, IProgress<PullProgress>? progress, CancellationToken cancellation)
    {
        _folder.Prepare();
        string full = Path.GetFullPath(path);
        if (!File.Exists(full))
            throw new LibraryException(LibraryProblem.NotFound, Directory.Exists(full) ? $"{ModelName.Shown(path)} is a folder: name a .gguf file" : $"there is no file {ModelName.Shown(path)}");
        string[] paths = [full];
        if (Quantization.PartOf(full) is { Count: > 1 and <= 1000 } part)
        {
            if (part.Number != 1)
                throw new LibraryException(LibraryProblem.Invalid, $"{ModelName.Shown(Path.GetFileName(path))} is part {part.Number} of {part.Count}: name the first one");
            string before = full[..^"00001-of-00001.gguf".Length];
            paths = [.. Enumerable.Range(1, part.Count).Select(number => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{before}{number:00000}-of-{part.Count:00000}.gguf"))];
            if (paths.FirstOrDefault(other => !File.Exists(other)) is { } missing)
                throw new LibraryException(LibraryProblem.NotFound, $"{ModelName.Shown(Path.GetFileName(missing))} is missing beside the first part: all {part.Count} are needed");
        }

        PullMeter meter = Meter(progress);
        meter.Plan(paths.Sum(each => new FileInfo(each).Length), 0);
        List<LibraryFile> files = [];
        foreach (string each in paths)
            files.Add(await TakeAsync(each, files.Count == 0 ? LibraryFileRole.Model : LibraryFileRole.Shard, copy, meter, cancellation));
        return files;
    }

    private async Task<LibraryFile> TakeAsync(string path, LibraryFileRole role, bool copy, PullMeter meter, CancellationToken cancellation)
    {
        try
        {
            LibraryFile file = new(ModelName.Shown(Path.GetFileName(path)), "", new FileInfo(path).Length, role);
            // Before hashing: it is told at once what is no model at all.
            GgufFile header = GgufFacts.Read(file, path);
            if (role == LibraryFileRole.Model && header.GetString("general.type") is "adapter" or "mmproj")
                throw new LibraryException(LibraryProblem.BadFile, $"{file.Name} holds {header.GetString("general.type")}, not a model");
            string sha = await Download.HashAsync(path, file, meter, cancellation);
            file = file with { Sha256 = sha };
            if (!_folder.Has(file))
            {
                using IDisposable held = await _folder.LockAsync([sha], () => { }, cancellation);
                if (copy)
                    CheckDisk(file.Size + SpareBytes, file.Name);
                Download.LinkOrCopy(path, _folder.Blob(sha), $"{_folder.Partial(sha)}.copy", copy);
            }

            meter.Finish(file);
            return file;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new LibraryException(LibraryProblem.Folder, $"{ModelName.Shown(path)} cannot be taken over: {error.Message}", error);
        }
    }

    private async Task<LibraryFile> TakeTextAsync(string text, CancellationToken cancellation)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (bytes.Length is 0 or > MaxTextBytes)
            throw new LibraryException(LibraryProblem.Invalid, $"the template has {bytes.Length} bytes; it may have 1 to {MaxTextBytes}");
        string sha = Convert.ToHexStringLower(SHA256.HashData(bytes));
        using MemoryStream content = new(bytes);
        if (!HasBlob(sha))
            await AddBlobAsync(sha, content, cancellation);
        return new LibraryFile("template.jinja", sha, bytes.Length, LibraryFileRole.Template);
    }

    private LibraryFile Uploaded(string reference, string name, LibraryFileRole role)
    {
        string sha = reference[BlobPrefix.Length..].ToLowerInvariant();
        return HasBlob(sha) ? new LibraryFile(name, sha, new FileInfo(_folder.Blob(sha)).Length, role)
            : throw new LibraryException(LibraryProblem.NotFound, $"there is no blob {ModelName.Shown(reference)}: upload it first, with POST /api/blobs/sha256:...");
    }

    private async Task<string?> ProblemOfAsync(LibraryFile file, PullMeter meter, CancellationToken cancellation)
    {
        string path = _folder.Blob(file.Sha256);
        if (!File.Exists(path))
            return "it is missing";
        string hash;
        try
        {
            hash = await Download.HashAsync(path, file, meter, cancellation);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return $"it cannot be read ({error.Message})";
        }

        if (hash == file.Sha256)
            return null;
        _folder.Do(() =>
        {
            File.Move(path, path + ".damaged", overwrite: true);
            return true;
        });
        return $"its hash is {hash}, and it was set aside as {Path.GetFileName(path)}.damaged";
    }

    private void CheckDisk(long needed, string what)
    {
        long free = _folder.Do(() => _options.FreeDiskBytes(_folder.Root));
        if (needed > free)
            throw new LibraryException(LibraryProblem.DiskFull, $"{what} needs {Quantization.Size(needed)} on the disk of {Folder}, and {Quantization.Size(free)} are free: free some, or choose another --models-dir");
    }

    private PullMeter Meter(IProgress<PullProgress>? progress) => new(progress, _options.Clock, null);

    private static string NameOf(string path)
    {
        string stem = Path.GetFileNameWithoutExtension(path);
        if (Quantization.PartOf(path) is not null)
            stem = stem[..^"-00001-of-00001".Length];
        return ModelName.TagOf(stem);
    }

    private static string Remedy(ModelManifest manifest) => manifest.Source.Contains(':', StringComparison.Ordinal) && !Path.IsPathRooted(manifest.Source)
        ? $"fetch it again with 'pull {manifest.Source} --name {manifest.Name}'"
        : $"take it in again with 'import PATH --name {manifest.Name}'";

    private static LibraryException PathsRefused(string instruction, string path) => new(LibraryProblem.Invalid,
        $"{instruction} '{ModelName.Shown(path)}' is a path: over HTTP files of the server are not read. Upload it with POST /api/blobs/sha256:..., and name @sha256:...");

    private LibraryException Missing(string name)
    {
        string text = ModelName.Shown(name);
        string[] known = [.. List().Select(manifest => ModelName.Parse(manifest.Name)).Where(other => text.Contains(other.Name, StringComparison.OrdinalIgnoreCase) || other.Name.Contains(text.Split(':')[0].Split('/')[^1], StringComparison.OrdinalIgnoreCase)).Select(other => other.Display).Take(5)];
        return new(LibraryProblem.NotFound, $"there is no model '{text}' in the library" + (known.Length > 0 ? $"; there is {string.Join(", ", known)}" : ": 'list' shows what there is, and 'pull' fetches one"));
    }
}
