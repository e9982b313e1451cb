using System.Text.Json;

namespace InferenceServer.Library;

/// <summary>
/// The library on the disk: <c>blobs/sha256-HEX</c>, whole files under their hashes; <c>partial/</c>, what is being fetched; <c>manifests/NAME.json</c>; <c>parts/</c>, second
/// names of split models under which llama.cpp finds their parts; <c>locks/</c>. A file gets its final name once it is whole. Locks are the operating system's: they end with
/// their process, however that ends.
/// </summary>
internal sealed class LibraryFolder
{
    private const int MaxManifestBytes = 1 << 20;

    private static readonly TimeSpan LockInterval = TimeSpan.FromMilliseconds(100);

    // The library's own lock is held for some milliseconds at a time.
    private static readonly TimeSpan ExclusiveLimit = TimeSpan.FromSeconds(60);

    // What nobody names may belong to a model that is about to be written.
    private static readonly TimeSpan OrphanAge = TimeSpan.FromHours(1);

    private readonly string _blobs;
    private readonly string _partial;
    private readonly string _manifests;
    private readonly string _parts;
    private readonly string _locks;

    /// <exception cref="LibraryException">The folder cannot be made.</exception>
    public LibraryFolder(string root)
    {
        Root = root;
        (_blobs, _partial, _manifests, _parts, _locks) = (Path.Combine(root, "blobs"), Path.Combine(root, "partial"), Path.Combine(root, "manifests"), Path.Combine(root, "parts"), Path.Combine(root, "locks"));
    }

    public string Root { get; }

    /// <summary>Makes the folders, for those who will write.</summary>
    public void Prepare()
    {
        foreach (string folder in (ReadOnlySpan<string>)[_blobs, _partial, _manifests, _parts, _locks])
            Do(() => Directory.CreateDirectory(folder));
    }

    public string Blob(string sha256) => Path.Combine(_blobs, $"sha256-{sha256}");

    /// <summary>Without an ending: data and journal have one.</summary>
    public string Partial(string sha256) => Path.Combine(_partial, sha256);

    public bool Has(LibraryFile file) => new FileInfo(Blob(file.Sha256)) is { Exists: true } blob && blob.Length == file.Size;

    /// <summary>What an earlier pull, or one that runs, has left of a file.</summary>
    public long PartialBytes(string sha256)
    {
        try
        {
            return PartialFile.DoneBytes(Partial(sha256));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>Locks files against others who would fetch them, always in the same order, so that nobody waits for whoever waits for him.</summary>
    /// <param name="waiting">Called now and then while another has one of them.</param>
    public async Task<IDisposable> LockAsync(IEnumerable<string> sha256, Action waiting, CancellationToken cancellation)
    {
        Locks locks = new();
        try
        {
            foreach (string sha in sha256.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
            {
                FileStream? held;
                while ((held = TryLock(sha)) is null)
                {
                    waiting();
                    await Task.Delay(LockInterval, cancellation);
                }

                locks.Add(held);
            }

            return locks;
        }
        catch
        {
            locks.Dispose();
            throw;
        }
    }

    /// <summary>Changes what the library holds; one at a time, over all processes.</summary>
    public async Task<T> ExclusivelyAsync<T>(Func<T> change, CancellationToken cancellation)
    {
        long start = Environment.TickCount64;
        FileStream? held;
        while ((held = TryLock("library")) is null)
        {
            if (Environment.TickCount64 - start > ExclusiveLimit.TotalMilliseconds)
                throw new LibraryException(LibraryProblem.Folder, $"another process has locked {Root} for {ExclusiveLimit.TotalSeconds:0} s: end it, or wait");
            await Task.Delay(LockInterval, cancellation);
        }

        using (held)
            return Do(change);
    }

    /// <summary>All manifests that can be read, by name.</summary>
    /// <param name="damaged">Is told of the others: the file's name and why.</param>
    public IReadOnlyList<ModelManifest> Manifests(Action<string, string>? damaged = null)
    {
        if (!Directory.Exists(_manifests))
            return [];
        List<ModelManifest> manifests = [];
        foreach (string path in Do(() => Directory.GetFiles(_manifests, "*.json")))
            if (Read(path, damaged) is { } manifest)
                manifests.Add(manifest);
        return [.. manifests.OrderBy(manifest => manifest.Name, StringComparer.OrdinalIgnoreCase)];
    }

    public ModelManifest? Find(ModelName name) => Path.Combine(_manifests, $"{name.FileName}.json") is var path && File.Exists(path) ? Read(path, null) : null;

    /// <summary>Whole or not at all. Within <see cref="ExclusivelyAsync"/>.</summary>
    public void Write(ModelManifest manifest)
    {
        string path = Path.Combine(_manifests, $"{ModelName.Parse(manifest.Name).FileName}.json"), temporary = Path.Combine(_partial, $"{Guid.NewGuid():N}.manifest");
        using (FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write))
        {
            JsonSerializer.Serialize(file, manifest, ManifestJson.Default.ModelManifest);
            file.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Deletes a manifest and the files that only it names. Within <see cref="ExclusivelyAsync"/>.</summary>
    /// <returns>Bytes that are free again.</returns>
    public long Delete(ModelManifest manifest)
    {
        File.Delete(Path.Combine(_manifests, $"{ModelName.Parse(manifest.Name).FileName}.json"));
        HashSet<string> named = [.. Manifests().SelectMany(other => other.Files).Select(file => file.Sha256)];
        HashSet<string> dropped = [.. manifest.Files.Select(file => file.Sha256)];
        long freed = 0;
        foreach (FileInfo blob in new DirectoryInfo(_blobs).GetFiles("sha256-*"))
        {
            string sha = blob.Name["sha256-".Length..].Split('.')[0];
            if (named.Contains(sha) || (!dropped.Contains(sha) && DateTime.UtcNow - blob.LastWriteTimeUtc < OrphanAge) || TryLock(sha) is not { } held)
                continue;
            using (held)
            {
                freed += blob.Length;
                blob.Delete();
            }
        }

        foreach (DirectoryInfo parts in new DirectoryInfo(_parts).GetDirectories().Where(parts => !named.Contains(parts.Name)))
            parts.Delete(recursive: true);
        return freed;
    }

    /// <summary>The path under which llama.cpp finds a model: of a split one a folder with its parts, named as it wants them.</summary>
    public string WeightsPath(ModelManifest manifest)
    {
        LibraryFile[] weights = [.. manifest.Files.Where(file => file.Role is LibraryFileRole.Model or LibraryFileRole.Shard)];
        if (weights.Length == 1)
            return Blob(weights[0].Sha256);
        string folder = Path.Combine(_parts, weights[0].Sha256);
        Do(() => Directory.CreateDirectory(folder));
        string PathOf(int part) => Path.Combine(folder, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"model-{part + 1:00000}-of-{weights.Length:00000}.gguf"));
        for (int part = 0; part < weights.Length; part++)
        {
            string path = PathOf(part);
            if (!File.Exists(path) && !HardLink.TryCreate(Blob(weights[part].Sha256), path) && !File.Exists(path))
                Do(() => File.CreateSymbolicLink(path, Blob(weights[part].Sha256)));
        }

        return PathOf(0);
    }

    /// <summary>Runs what reads or writes the disk, and says in a line what went wrong there.</summary>
    public T Do<T>(Func<T> work)
    {
        try
        {
            return work();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Failed(error);
        }
    }

    public LibraryException Failed(Exception error) => IsDiskFull(error)
        ? new(LibraryProblem.DiskFull, $"the disk of {Root} is full: free some space, or choose another --models-dir; what has come is kept", error)
        : new(LibraryProblem.Folder, $"the library {Root} cannot be used: {error.Message}; choose another --models-dir", error);

    // ENOSPC and EDQUOT of Linux and macOS; ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL of Windows.
    private static bool IsDiskFull(Exception error) => OperatingSystem.IsWindows() ? error.HResult is unchecked((int)0x80070070) or unchecked((int)0x80070027) : error.HResult is 28 or 122 or 69;

    private static ModelManifest? Read(string path, Action<string, string>? damaged)
    {
        try
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (file.Length > MaxManifestBytes)
                throw new JsonException($"it has {file.Length} bytes");
            ModelManifest manifest = JsonSerializer.Deserialize(file, ManifestJson.Default.ModelManifest) ?? throw new JsonException("it is null");
            if (manifest.Version != ModelManifest.CurrentVersion)
                throw new JsonException($"it has version {manifest.Version}; this server reads {ModelManifest.CurrentVersion}");
            if ($"{ModelName.Parse(manifest.Name).FileName}.json" != Path.GetFileName(path))
                throw new JsonException($"it is that of '{ModelName.Shown(manifest.Name)}'");
            if (manifest.Files.Count == 0 || manifest.Files[0].Role != LibraryFileRole.Model || manifest.Files.Any(entry => !HubClient.IsSha(entry.Sha256) || entry.Sha256.Any(char.IsAsciiLetterUpper) || entry.Size <= 0))
                throw new JsonException("its files are not as they should be");
            return manifest;
        }
        catch (Exception error) when (error is JsonException or LibraryException or IOException or UnauthorizedAccessException)
        {
            if (error is not FileNotFoundException)
                damaged?.Invoke(Path.GetFileName(path), error.Message);
            return null;
        }
    }

    /// <summary>Null while another has it, in this process or in another.</summary>
    private FileStream? TryLock(string name)
    {
        try
        {
            return new FileStream(Path.Combine(_locks, $"{name}.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1);
        }
        catch (UnauthorizedAccessException error)
        {
            throw Failed(error);
        }
        catch (DirectoryNotFoundException error)
        {
            throw Failed(error);
        }
        catch (IOException error) when (!IsDiskFull(error))
        {
            return null;
        }
    }

    private sealed class Locks : IDisposable
    {
        private readonly List<FileStream> _held = [];

        public void Add(FileStream held) => _held.Add(held);

        // The files stay: deleting one that another is about to lock would let two have it.
        public void Dispose() => _held.ForEach(held => held.Dispose());
    }
}
