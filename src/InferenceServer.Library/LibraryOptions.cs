namespace InferenceServer.Library;

/// <summary>Where a library lies and how it may fetch.</summary>
public sealed record LibraryOptions
{
    /// <summary>Hugging Face's own address; a mirror's takes its place.</summary>
    public static Uri DefaultHubEndpoint { get; } = new("https://huggingface.co");

    /// <summary>Ollama's own address.</summary>
    public static Uri DefaultOllamaRegistry { get; } = new("https://registry.ollama.ai");

    /// <summary>The folder; several processes may share it.</summary>
    public required string Folder { get; init; }

    public Uri HubEndpoint { get; init; } = DefaultHubEndpoint;

    public Uri OllamaRegistry { get; init; } = DefaultOllamaRegistry;

    /// <summary>Goes to <see cref="HubEndpoint"/> only; null for none.</summary>
    public string? HubToken { get; init; }

    /// <summary>Never use the network.</summary>
    public bool Offline { get; init; }

    /// <summary>Folders of Ollama installations on this machine, whose files need not be fetched again.</summary>
    public IReadOnlyList<string> OllamaFolders { get; init; } = [];

    /// <summary>Most connections for one file.</summary>
    public int Connections { get; init; } = 4;

    /// <summary>Most silence of a hub, in the middle of a file or before an answer.</summary>
    public TimeSpan SilenceLimit { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Bytes that may be written to the disk of a folder.</summary>
    public Func<string, long> FreeDiskBytes { get; init; } = folder => new DriveInfo(folder).AvailableFreeSpace;

    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>What waiting before a retry is; tests do not wait.</summary>
    public Func<TimeSpan, CancellationToken, Task> Delay { get; init; } = Task.Delay;

    /// <summary>A connection of its own is worth so many bytes: less is fetched by fewer.</summary>
    internal long SegmentBytes { get; init; } = 8 << 20;

    /// <summary>After so many bytes of a connection, or after a second, the disk is told to keep them, and the journal notes it: what a kill loses at most, a connection.</summary>
    internal long JournalBytes { get; init; } = 4 << 20;

    /// <summary>A user's own folder for models; null where there is none.</summary>
    public static string? DefaultFolder =>
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify) is { Length: > 0 } folder
            ? Path.Combine(folder, "InferenceServer", "models")
            : null;

    /// <summary>Fills in what the environment says, under the names that Hugging Face's and Ollama's own tools read: HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, OLLAMA_MODELS.</summary>
    /// <param name="folder">The library's.</param>
    /// <param name="hubEndpoint">Goes before HF_ENDPOINT.</param>
    /// <exception cref="LibraryException">HF_ENDPOINT is no address.</exception>
    public static LibraryOptions FromEnvironment(string folder, Uri? hubEndpoint, Uri? ollamaRegistry, bool? offline, Func<string, string?> environment)
    {
        ArgumentNullException.ThrowIfNull(environment);
        Uri? named = environment("HF_ENDPOINT") is not { Length: > 0 } text ? null
            : IsAddress(text, out Uri? address) ? address
            : throw new LibraryException(LibraryProblem.Invalid, $"HF_ENDPOINT is '{ModelName.Shown(text)}': it must be an address such as https://hub.example");
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return new LibraryOptions
        {
            Folder = Path.GetFullPath(folder),
            HubEndpoint = hubEndpoint ?? named ?? DefaultHubEndpoint,
            OllamaRegistry = ollamaRegistry ?? DefaultOllamaRegistry,
            HubToken = environment("HF_TOKEN")?.Trim() is { Length: > 0 } token ? token : null,
            Offline = offline ?? environment("HF_HUB_OFFLINE") is "1" or "true" or "TRUE" or "yes" or "on",
            OllamaFolders = environment("OLLAMA_MODELS") is { Length: > 0 } models ? [models] : [Path.Combine(home, ".ollama", "models"), "/usr/share/ollama/.ollama/models"],
        };
    }

    /// <summary>Whether a text is the address of a hub: absolute, http or https.</summary>
    public static bool IsAddress(string text, out Uri? address) =>
        Uri.TryCreate(text, UriKind.Absolute, out address) && address.Scheme is "http" or "https" && address.UserInfo.Length == 0 && address.Query.Length == 0;
}
