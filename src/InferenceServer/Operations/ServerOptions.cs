using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Moderation;

namespace InferenceServer.Operations;

/// <summary>What the operator chose, whether on the command line, in the environment or in appsettings.json. Null means: decide when the model is known.</summary>
internal sealed record ServerOptions
{
    public required ModelOptions Model { get; init; }

    /// <summary>Where models that have names lie; null where there is no folder for them.</summary>
    public LibraryOptions? Library { get; init; }

    /// <summary>Whether models may be fetched, made and deleted over HTTP.</summary>
    public bool AllowPull { get; init; }

    /// <summary>Most bytes of models that are loaded on demand; 0 loads none, null takes a part of what is free.</summary>
    public long? ModelMemory { get; init; }

    /// <summary>How long such a model stays after its last use.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromMinutes(5);

    public required string Host { get; init; }

    public required int Port { get; init; }

    public required LlamaBackend Backend { get; init; }

    /// <summary>Folder of what is kept for clients; null takes one of the user's own, and "off" keeps nothing.</summary>
    public string? DataDirectory { get; init; }

    public required int RetentionDays { get; init; }

    /// <summary>Most bytes of what is kept.</summary>
    public required long DataBytes { get; init; }

    /// <summary>Keys that open the API, besides those of <see cref="ApiKeyFile"/>; with neither it is open to all.</summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = [];

    public string? ApiKeyFile { get; init; }

    /// <summary>What is done about chats that the moderation rules flag.</summary>
    public ModerationMode Moderation { get; init; }

    /// <summary>A rules file; null takes the built-in rules.</summary>
    public string? ModerationRulesPath { get; init; }

    /// <summary>As <see cref="WebHostOptions.Strict"/>.</summary>
    public bool Strict { get; init; }

    /// <summary>As <see cref="WebHostOptions.DrainTimeout"/>.</summary>
    public required TimeSpan ShutdownTimeout { get; init; }

    /// <summary>As <see cref="AccessOptions.CorsOrigins"/>.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>As <see cref="AccessOptions.AllowedHosts"/>.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];
}
