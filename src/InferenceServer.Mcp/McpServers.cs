using InferenceServer.Chat;

namespace InferenceServer.Mcp;

/// <summary>What a request asks of one MCP server.</summary>
/// <param name="Server">Its name in the configuration.</param>
/// <param name="Path">Where the request names it, for errors.</param>
public sealed record McpAsk(string Server, string Path)
{
    /// <summary>The only tools that it wants; null for all that it may use.</summary>
    public IReadOnlyList<string>? Tools { get; init; }

    /// <summary>Only tools that say of themselves that they change nothing.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>The address that the request believes it to have; null where it says none.</summary>
    public string? Url { get; init; }

    /// <summary>Which tools need an approval, beside those that the configuration says it of; null where the request has no way to give one.</summary>
    public Func<McpTool, bool>? NeedsApproval { get; init; }
}

/// <summary>What a request gets.</summary>
/// <param name="Lists">Each server that was asked for, and its tools that are offered.</param>
public sealed record McpOffer(HostedTools Tools, IReadOnlyList<(string Server, IReadOnlyList<McpTool> Tools)> Lists);

/// <summary>The MCP servers that this server is a client of. They are those of the configuration: a request names them, and cannot bring its own. Any thread.</summary>
public sealed class McpServers : IAsyncDisposable
{
    public const string UnavailableCode = "mcp_server_unavailable";

    private readonly Dictionary<string, (McpServerEntry Entry, McpConnection Connection)> _servers = [];
    private readonly TimeProvider _clock;

    /// <param name="entries">Checked with <see cref="McpServerEntry.Validate"/>.</param>
    /// <param name="observe">Told how each call ended.</param>
    public McpServers(IReadOnlyDictionary<string, McpServerEntry> entries, TimeProvider clock, ILogger<McpServers> log, Action<McpCallEnd> observe)
        : this(entries, Environment.GetEnvironmentVariable, clock, log, observe)
    {
    }

    internal McpServers(IReadOnlyDictionary<string, McpServerEntry> entries, Func<string, string?> environment, TimeProvider clock, ILogger log, Action<McpCallEnd> observe)
    {
        _clock = clock;
        foreach ((string name, McpServerEntry entry) in entries)
            _servers[name] = (entry, new McpConnection(name, entry, environment, clock, log, observe));
    }

    public HostedLimits Limits { get; init; } = HostedLimits.Default;

    /// <summary>The name that calls of a tool use: no two servers share one.</summary>
    public static string OfferedName(string server, string tool) => $"{server}__{tool}";

    /// <summary>Opens those that are to be open from the start on. One that cannot be is tried again when it is used.</summary>
    public Task StartAsync(CancellationToken cancellation) => Task.WhenAll(_servers.Values.Where(server => server.Entry.Start).Select(async server =>
    {
        try
        {
            _ = await server.Connection.ListAsync(cancellation);
        }
        catch (McpFailure)
        {
            // Logged where it failed.
        }
    }));

    /// <summary>The tools of the servers that a request asks for.</summary>
    /// <exception cref="RequestProblem">There is no such server or tool, or it cannot be had now.</exception>
    public async Task<McpOffer> OfferAsync(IReadOnlyList<McpAsk> asks, CancellationToken cancellation)
    {
        (McpAsk Ask, McpServerEntry Entry, McpConnection Connection)[] asked = [.. asks.Select(ask =>
            _servers.TryGetValue(ask.Server, out var server) ? (ask, server.Entry, server.Connection) : throw Unknown(ask))];
        // This server calls no address of a client's choice: it stands where others cannot reach.
        if (Array.Find(asked, each => each.Ask.Url is { } url && !IsSame(url, each.Entry.Url)) is { Ask: { } elsewhere })
            throw RequestProblem.Invalid(
                $"{{where}} names an address that this server does not have for '{elsewhere.Server}': it calls no other. Leave the address out.", elsewhere.Path, "mcp_server_unknown");
        IReadOnlyList<McpTool>[] listed = await Task.WhenAll(asked.Select(each => ListAsync(each.Ask, each.Connection, cancellation)));
        List<HostedTool> tools = [];
        List<(string, IReadOnlyList<McpTool>)> lists = [];
        for (int i = 0; i < asked.Length; i++)
        {
            (McpAsk ask, McpServerEntry entry, McpConnection connection) = asked[i];
            bool Needs(McpTool tool) => entry.Approval.Covers(tool.Name) || ask.NeedsApproval?.Invoke(tool) == true;
            McpTool[] wanted = [.. listed[i].Where(tool => ask.Tools?.Contains(tool.Name) != false && (!ask.ReadOnly || tool.IsReadOnly))];
            if (ask.Tools?.FirstOrDefault(name => !wanted.Any(tool => tool.Name == name)) is { } missing)
                throw RequestProblem.Invalid($"{{where}} asks for '{missing}', which is no tool of '{ask.Server}' that may be used here.", ask.Path, "mcp_tool_unknown");
            McpTool[] offered = ask.NeedsApproval is null ? [.. wanted.Where(tool => !Needs(tool))] : wanted;
            if (offered.Length == 0 && wanted.Length > 0)
                throw RequestProblem.Invalid(
                    $"{{where}} cannot be used here: every tool of '{ask.Server}' needs an approval. Responses can ask for one (/v1/responses).", ask.Path, "mcp_needs_approval");
            lists.Add((ask.Server, offered));
            tools.AddRange(offered.Select(tool => new HostedTool(ask.Server, tool.Name,
                new ChatTool(OfferedName(ask.Server, tool.Name), tool.Description, tool.Schema, Strict: false) { Path = $"mcp.{ask.Server}.{tool.Name}" },
                Needs(tool), (arguments, aborted) => connection.CallAsync(tool.Name, arguments, aborted))));
        }

        return new McpOffer(new HostedTools(tools, _clock) { Limits = Limits }, lists);
    }

    public async ValueTask DisposeAsync() => await Task.WhenAll(_servers.Values.Select(server => server.Connection.DisposeAsync().AsTask()));

    private static bool IsSame(string url, string? own) => own is not null && Uri.TryCreate(url, UriKind.Absolute, out Uri? address) && address == new Uri(own);

    private static async Task<IReadOnlyList<McpTool>> ListAsync(McpAsk ask, McpConnection connection, CancellationToken cancellation)
    {
        try
        {
            return await connection.ListAsync(cancellation);
        }
        catch (McpFailure failure)
        {
            throw new RequestProblem(ProblemKind.Unreachable, $"{{where}} names the MCP server '{ask.Server}', which cannot be used now: {failure.Message}", ask.Path, UnavailableCode);
        }
    }

    private RequestProblem Unknown(McpAsk ask) => RequestProblem.Invalid(_servers.Count == 0
        ? $"{{where}} names the MCP server '{ask.Server}', and this server has none."
        : $"{{where}} names the MCP server '{ask.Server}', and there are: {string.Join(", ", _servers.Keys)}.", ask.Path, "mcp_server_unknown");
}
