using InferenceServer.Chat;
using InferenceServer.Configuration;
using InferenceServer.Library;
using InferenceServer.Llama;
using InferenceServer.Mcp;
using InferenceServer.Moderation;
using InferenceServer.Store;

namespace InferenceServer.Operations;

/// <summary>What the web host is told besides its models.</summary>
internal sealed record WebHostOptions
{
    public required string Host { get; init; }

    /// <summary>0 takes a free one.</summary>
    public required int Port { get; init; }

    public required ServerIdentity Identity { get; init; }

    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>What computes, with its memory at that moment.</summary>
    public Func<IReadOnlyList<LlamaDevice>> Devices { get; init; } = () => [];

    /// <summary>Decode and answer once before readiness says yes.</summary>
    public bool WarmUp { get; init; } = true;

    /// <summary>How long it then rehearses at most, so that the first requests are as fast as later ones; two cores need about half of it.</summary>
    public TimeSpan Rehearsal { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>How long running requests may go on after SIGTERM.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>Largest request body, in bytes: a context of a million tokens as text.</summary>
    public long MaxBodyBytes { get; init; } = 16L << 20;

    /// <summary>What is kept for clients; disposed by whoever opened it.</summary>
    public ServerStore Store { get; init; } = ServerStore.Off;

    /// <summary>Models that are here under names, loaded or not; null for none. Disposed by whoever opened it.</summary>
    public ModelLibrary? Library { get; init; }

    /// <summary>server.json as it is now; null for none. Disposed by whoever opened it.</summary>
    public LiveConfiguration? Configuration { get; init; }

    /// <summary>Whether models may be fetched, made and deleted over HTTP.</summary>
    public bool AllowPull { get; init; }

    public AccessOptions Access { get; init; } = new();

    /// <summary>Refuse fields that nobody knows, instead of listing them in <c>x-ignored-params</c>.</summary>
    public bool Strict { get; init; }

    public ModerationGate Moderation { get; init; } = ModerationGate.Off;

    /// <summary>The MCP servers whose tools requests may use, by name. Checked by whoever read them.</summary>
    public IReadOnlyDictionary<string, McpServerEntry> Mcp { get; init; } = new Dictionary<string, McpServerEntry>();

    /// <summary>How far one request may go with these tools.</summary>
    public HostedLimits McpLimits { get; init; } = HostedLimits.Default;

    public ReplayLimits Replay { get; init; } = new();

    /// <summary>Where the built page lies; it need not be there.</summary>
    public string PageDirectory { get; init; } = Path.Combine(AppContext.BaseDirectory, "wwwroot");

    public LogLevel LogLevel { get; init; } = LogLevel.Information;
}
