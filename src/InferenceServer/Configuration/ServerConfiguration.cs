using InferenceServer.Mcp;
using InferenceServer.Models;

namespace InferenceServer.Configuration;

/// <summary>server.json, checked. Immutable.</summary>
/// <param name="Path">Null where there is no such file.</param>
internal sealed record ServerConfiguration(string? Path)
{
    public static ServerConfiguration None { get; } = new((string?)null);

    /// <summary>Options of the server, in the order of the file: a name with its dashes, and its values.</summary>
    public IReadOnlyList<(string Name, IReadOnlyList<string> Values)> Options { get; init; } = [];

    /// <summary>In the order of the file.</summary>
    public IReadOnlyList<ConfiguredModel> Models { get; init; } = [];

    /// <summary>MCP servers by their names.</summary>
    public IReadOnlyDictionary<string, McpServerEntry> Mcp { get; init; } = new Dictionary<string, McpServerEntry>();

    /// <summary>The model of a name, or of another name of it; null where there is none.</summary>
    public ConfiguredModel? Find(string name) => Models.FirstOrDefault(model => ModelCatalogue.IsNamed(model.Name, name))
        ?? Models.FirstOrDefault(model => model.Aliases.Any(alias => ModelCatalogue.IsNamed(alias, name)));

    /// <summary>From another name of a model to its own; what is none stays as it is.</summary>
    public string NameOf(string name) => Models.Count == 0 ? name : Find(name)?.Name ?? name;
}

/// <summary>A model of server.json.</summary>
/// <param name="Name">What requests call it.</param>
/// <param name="Source">As <c>--model</c> takes it.</param>
/// <param name="Arguments">Options that it is loaded with, as on a command line: <c>--ctx-size=8192</c>.</param>
/// <param name="Settings">What holds for requests that say nothing else.</param>
internal sealed record ConfiguredModel(string Name, string Source, IReadOnlyList<string> Aliases, IReadOnlyList<string> Arguments, ModelSettings Settings)
{
    public bool IsPinned { get; init; }

    public bool IsPreloaded { get; init; }

    /// <summary>Null for the server's; <see cref="Timeout.InfiniteTimeSpan"/> for ever.</summary>
    public TimeSpan? KeepAlive { get; init; }

    /// <summary>What it is loaded from and with.</summary>
    public string Load => string.Join('\n', [Source, .. Arguments]);
}

/// <summary>server.json cannot be used; the message names the place and what would be right.</summary>
internal sealed class ServerFileException(string message, Exception? inner = null) : Exception(message, inner);
