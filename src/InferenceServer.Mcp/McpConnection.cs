// The way to one MCP server: opened at first use, shared by all requests, opened again after it broke, with longer and longer waits while that fails. What comes from
// there is untrusted text of any size: it is cut here, and leaves as descriptions, schemas and results only.

using System.Text;
using System.Text.Json;
using InferenceServer.Chat;
using ModelContextProtocol;
using ModelContextProtocol.Client;
using ModelContextProtocol.Protocol;

namespace InferenceServer.Mcp;

/// <summary>A tool as its server lists it, within the limits.</summary>
/// <param name="Schema">JSON schema of its arguments, an object.</param>
/// <param name="IsReadOnly">It says so of itself.</param>
public sealed record McpTool(string Name, string? Description, JsonElement Schema, bool IsReadOnly);

/// <summary>How a call ended.</summary>
/// <param name="Outcome">ok, tool_error, refused, timeout, cancelled or failed.</param>
public readonly record struct McpCallEnd(string Server, string Outcome, double Seconds);

/// <summary>An MCP server could not be reached, or did not answer as one.</summary>
internal sealed class McpFailure(string message, Exception? cause = null) : Exception(message, cause);

/// <summary>One server's connection. Any thread.</summary>
internal sealed partial class McpConnection : IAsyncDisposable
{
    // Pages have no largest number of their own.
    private const int MaxPages = 64;
    private const int MaxSchemaCharacters = 16 << 10;

    // Of a message, so that what holds a result and its JSON passes, and a list of tools.
    private const long LeastMessageBytes = 4 << 20;
    private const int MessagePerResult = 8;

    // Servers tell of a changed list; not all, and over some transports nobody hears it.
    private static readonly TimeSpan ListAge = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(1);
    private static readonly JsonElement AnyObject = JsonDocument.Parse("""{"type":"object"}""").RootElement;

    private readonly string _name;
    private readonly McpServerEntry _entry;
    private readonly Func<string, string?> _environment;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Action<McpCallEnd> _observe;
    private readonly IReadOnlyList<string> _secrets;
    private readonly SemaphoreSlim _gate = new(1);
    private readonly SemaphoreSlim _turns;
    private readonly CancellationTokenSource _closing = new();
    private Session? _session;
    private int _failures;
    private long _failedAt;
    private string _why = "";

    public McpConnection(string name, McpServerEntry entry, Func<string, string?> environment, TimeProvider clock, ILogger log, Action<McpCallEnd> observe)
    {
        (_name, _entry, _environment, _clock, _log, _observe) = (name, entry, environment, clock, log, observe);
        _secrets = entry.Secrets(environment);
        _turns = new SemaphoreSlim(entry.MaxConcurrent);
    }

    /// <summary>A session, from its opening until it breaks.</summary>
    private sealed class Session(McpClient client, McpProcess? process, StaleMark mark)
    {
        private volatile bool _isBroken;

        public McpClient Client => client;

        public IReadOnlyList<McpTool>? Tools { get; set; }

        public long ListedAt { get; set; }

        public StaleMark Mark => mark;

        public bool IsOpen => !_isBroken && !client.Completion.IsCompleted;

        public void Broke() => _isBroken = true;

        public async ValueTask CloseAsync()
        {
            try
            {
                await client.DisposeAsync();
            }
            finally
            {
                if (process is not null)
                    await process.DisposeAsync();
            }
        }
    }

    /// <summary>Whether the list of tools has changed since it was read. The client is given it before there is a session.</summary>
    private sealed class StaleMark
    {
        private volatile bool _isSet;

        public bool IsSet => _isSet;

        public void Set() => _isSet = true;

        public void Clear() => _isSet = false;
    }

    /// <summary>The tools that requests may use.</summary>
    /// <exception cref="McpFailure">They cannot be had now.</exception>
    public async Task<IReadOnlyList<McpTool>> ListAsync(CancellationToken cancellation)
    {
        using CancellationTokenSource late = new(_entry.StartTimeout, _clock);
        using CancellationTokenSource any = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _closing.Token, cancellation);
        try
        {
            Session session = await OpenAsync(any.Token);
            if (session.Tools is { } known && !session.Mark.IsSet && _clock.GetElapsedTime(session.ListedAt) < ListAge)
                return known;
            try
            {
                // Before it is read: a change while it is read makes it stale again.
                session.Mark.Clear();
                IReadOnlyList<McpTool> tools = await ReadToolsAsync(session.Client, any.Token);
                (session.Tools, session.ListedAt) = (tools, _clock.GetTimestamp());
                return tools;
            }
            catch (Exception error)
            {
                session.Mark.Set();
                if (error is not (OperationCanceledException or McpProtocolException))
                    session.Broke();
                throw;
            }
        }
        catch (Exception error) when (error is not (OperationCanceledException or McpFailure))
        {
            throw new McpFailure(Redact(error.Message), error);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new McpFailure(_closing.IsCancellationRequested ? "this server is stopping" : $"it did not answer within {_entry.StartTimeout.TotalSeconds:0.###} s");
        }
    }

    /// <summary>Runs a tool. What goes wrong with it, or on the way, is a result.</summary>
    /// <param name="arguments">A JSON object, as text.</param>
    public async Task<HostedResult> CallAsync(string tool, string arguments, CancellationToken cancellation)
    {
        long started = _clock.GetTimestamp();
        using CancellationTokenSource late = new(_entry.Timeout, _clock);
        using CancellationTokenSource any = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _closing.Token, cancellation);
        string outcome = "failed";
        try
        {
            await _turns.WaitAsync(any.Token);
            try
            {
                CallToolResult result = await SendAsync(tool, arguments, any.Token);
                bool isError = result.IsError == true;
                outcome = isError ? "tool_error" : "ok";
                return new HostedResult(Cut(TextOf(result)), isError);
            }
            finally
            {
                _turns.Release();
            }
        }
        catch (OperationCanceledException)
        {
            outcome = cancellation.IsCancellationRequested ? "cancelled" : "timeout";
            if (cancellation.IsCancellationRequested)
                throw;
            return HostedResult.Error(_closing.IsCancellationRequested ? "The server is stopping." : $"The tool did not answer within {_entry.Timeout.TotalSeconds:0.###} s.");
        }
        catch (McpProtocolException error)
        {
            outcome = "refused";
            return HostedResult.Error(Cut($"The tool server refused the call: {Redact(error.Message)}"));
        }
        catch (JsonException error)
        {
            outcome = "refused";
            return HostedResult.Error($"The arguments are no JSON object: {error.Message}");
        }
        catch (Exception error)
        {
            LogCall(_log, _name, error.GetType().Name);
            return HostedResult.Error(Cut($"The tool server cannot be used now: {Redact(error.Message)}"));
        }
        finally
        {
            _observe(new McpCallEnd(_name, outcome, _clock.GetElapsedTime(started).TotalSeconds));
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync();
        await _gate.WaitAsync();
        try
        {
            if (_session is { } session)
                await CloseAsync(session);
            _session = null;
        }
        finally
        {
            _gate.Release();
        }
    }

    private async Task<CallToolResult> SendAsync(string tool, string arguments, CancellationToken cancellation)
    {
        Dictionary<string, JsonElement> given = [];
        using (JsonDocument document = JsonDocument.Parse(arguments))
            foreach (JsonProperty argument in document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.EnumerateObject() : throw new JsonException("they are something else"))
                given[argument.Name] = argument.Value.Clone();
        Session session = await OpenAsync(cancellation);
        try
        {
            CallToolResult result = await session.Client.CallToolAsync(new CallToolRequestParams { Name = tool, Arguments = given }, cancellation);
            Volatile.Write(ref _failures, 0);
            return result;
        }
        catch (Exception error) when (error is not (OperationCanceledException or McpProtocolException))
        {
            session.Broke();
            throw;
        }
    }

    /// <summary>The session that is open, or a new one.</summary>
    private async Task<Session> OpenAsync(CancellationToken cancellation)
    {
        if (_session is { IsOpen: true } open)
            return open;
        await _gate.WaitAsync(cancellation);
        try
        {
            if (_session is { IsOpen: true } opened)
                return opened;
            if (_session is { } broken)
            {
                _session = null;
                Failed("the connection broke");
                LogBroke(_log, _name);
                await CloseAsync(broken);
            }

            TimeSpan left = Wait(Volatile.Read(ref _failures)) - _clock.GetElapsedTime(_failedAt);
            if (left > TimeSpan.Zero)
                throw new McpFailure(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{_why}; it is tried again in {Math.Ceiling(left.TotalSeconds):0} s"));
            return _session = await ConnectAsync(cancellation);
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>At once after the first failure: a server may just have been restarted.</summary>
    private static TimeSpan Wait(int failures) => failures < 2 ? TimeSpan.Zero : TimeSpan.FromSeconds(Math.Min(LongestWait.TotalSeconds, Math.Pow(2, failures - 2)));

    private void Failed(string why)
    {
        Interlocked.Increment(ref _failures);
        (_failedAt, _why) = (_clock.GetTimestamp(), why);
    }

    private async Task<Session> ConnectAsync(CancellationToken cancellation)
    {
        StaleMark mark = new();
        McpProcess? process = null;
        try
        {
            if (_entry.Command is not null)
                process = McpProcess.Start(_entry, _environment);
            IClientTransport transport = process is null ? OverHttp() : new StreamClientTransport(process.Input, new BoundedStream(process.Output, MaxMessageBytes, isByLine: true));
            McpClient client = await McpClient.CreateAsync(transport, new McpClientOptions
            {
                ClientInfo = new Implementation { Name = "InferenceServer", Version = ServerVersion.Text },
                InitializationTimeout = _entry.StartTimeout,
                Handlers = new McpClientHandlers { NotificationHandlers = [new(NotificationMethods.ToolListChangedNotification, Changed)] },
            }, cancellationToken: cancellation);
            LogOpened(_log, _name, client.NegotiatedProtocolVersion);
            return new Session(client, process, mark);

            ValueTask Changed(JsonRpcNotification notification, CancellationToken none)
            {
                mark.Set();
                return default;
            }
        }
        catch (Exception error)
        {
            string? said = process?.LastError;
            if (process is not null)
                await process.DisposeAsync();
            if (error is OperationCanceledException && cancellation.IsCancellationRequested)
                throw;
            string why = Redact(said is null ? error.Message : $"{error.Message} Its last words: {said}");
            Failed(why);
            LogFailed(_log, _name, why);
            throw new McpFailure(why, error);
        }
    }

    private long MaxMessageBytes => Math.Max(LeastMessageBytes, (long)MessagePerResult * _entry.MaxResult);

    private HttpClientTransport OverHttp()
    {
        // A redirection would take the headers, and the calls, to an address that nobody configured.
        SocketsHttpHandler handler = new() { AllowAutoRedirect = false, UseCookies = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        return new HttpClientTransport(new HttpClientTransportOptions
        {
            Endpoint = new Uri(_entry.Url!),
            Name = _name,
            ConnectionTimeout = _entry.StartTimeout,
            AdditionalHeaders = _entry.Headers.ToDictionary(header => header.Key, header => McpServerEntry.Expand(header.Value, _environment)),
        }, new HttpClient(new BoundedAnswers(handler, MaxMessageBytes)) { Timeout = Timeout.InfiniteTimeSpan }, ownsHttpClient: true);
    }

    /// <summary>Answers whose messages are no longer than they may be.</summary>
    private sealed class BoundedAnswers(HttpMessageHandler inner, long maxBytes) : DelegatingHandler(inner)
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            HttpResponseMessage answer = await base.SendAsync(request, cancellationToken);
            StreamContent bounded = new(new BoundedStream(await answer.Content.ReadAsStreamAsync(cancellationToken), maxBytes, answer.Content.Headers.ContentType?.MediaType == "text/event-stream"));
            foreach ((string name, IEnumerable<string> values) in answer.Content.Headers)
                bounded.Headers.TryAddWithoutValidation(name, values);
            answer.Content = bounded;
            return answer;
        }
    }

    private async Task<IReadOnlyList<McpTool>> ReadToolsAsync(McpClient client, CancellationToken cancellation)
    {
        List<McpTool> tools = [];
        bool isMore = false;
        string? cursor = null;
        for (int page = 0; page < MaxPages && !isMore; page++)
        {
            ListToolsResult listed = await client.ListToolsAsync(new ListToolsRequestParams { Cursor = cursor }, cancellation);
            foreach (Tool tool in listed.Tools.Where(tool => _entry.Tools.Contains("*") || _entry.Tools.Contains(tool.Name)))
                if (tools.Count == _entry.MaxTools)
                    isMore = true;
                else if (!ChatTool.IsName(McpServers.OfferedName(_name, tool.Name)))
                    LogOddName(_log, _name, ChatTool.NameRule);
                else if (!tools.Exists(known => known.Name == tool.Name))
                    tools.Add(Read(tool));
            cursor = listed.NextCursor;
            if (cursor is null)
                break;
        }

        if (isMore)
            LogMore(_log, _name, _entry.MaxTools);
        if (!isMore && _entry.Tools.FirstOrDefault(name => name != "*" && !tools.Exists(tool => tool.Name == name)) is { } missing)
            LogMissing(_log, _name, missing);
        return tools;
    }

    private McpTool Read(Tool tool)
    {
        string? description = tool.Description?[..Math.Min(tool.Description.Length, _entry.MaxDescription)].Replace('\0', '\uFFFD');
        return new McpTool(tool.Name, description, IsUsable(tool.InputSchema) ? tool.InputSchema : AnyObject, tool.Annotations?.ReadOnlyHint == true);
    }

    /// <summary>Whether a schema can be shown to the model and to clients: neither endless, nor with texts that cannot be written again.</summary>
    private static bool IsUsable(JsonElement schema)
    {
        if (schema.ValueKind != JsonValueKind.Object || schema.GetRawText() is var text && (text.Length > MaxSchemaCharacters || text.Contains("\\u0000", StringComparison.Ordinal)))
            return false;
        try
        {
            using Utf8JsonWriter writer = new(Stream.Null);
            schema.WriteTo(writer);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false; // half a pair of surrogates
        }
    }

    /// <summary>What a result says: its texts. Of what the model cannot read it is told that it was there.</summary>
    private static string TextOf(CallToolResult result)
    {
        string text = string.Join('\n', result.Content.Select(part => part switch
        {
            TextContentBlock said => said.Text,
            EmbeddedResourceBlock { Resource: TextResourceContents resource } => resource.Text,
            ResourceLinkBlock link => $"[{link.Name}: {link.Uri}]",
            _ => $"[{part.Type}: not shown, the model reads text only]",
        }));
        return text.Length > 0 || result.StructuredContent is not { } structured ? text : structured.GetRawText();
    }

    private string Cut(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (bytes.Length <= _entry.MaxResult)
            return text;
        // No character is cut in two: only what goes on with one has the form 10xxxxxx.
        int end = _entry.MaxResult;
        while (end > 0 && (bytes[end] & 0xC0) == 0x80)
            end--;
        return $"{Encoding.UTF8.GetString(bytes, 0, end)}\n[cut here: {bytes.Length} bytes in all]";
    }

    /// <summary>A text without the values of secrets: an error may quote what was sent.</summary>
    private string Redact(string text) => _secrets.Aggregate(text, static (clean, secret) => clean.Replace(secret, "***", StringComparison.Ordinal));

    private async Task CloseAsync(Session session)
    {
        try
        {
            await session.CloseAsync();
        }
        catch (Exception error)
        {
            // It is of no use any more, however it ends.
            LogClose(_log, _name, error.GetType().Name);
        }
    }

    [LoggerMessage(EventId = 180, Level = LogLevel.Information, Message = "MCP server {Server} is connected, protocol {Protocol}")]
    private static partial void LogOpened(ILogger logger, string server, string? protocol);

    [LoggerMessage(EventId = 181, Level = LogLevel.Warning, Message = "MCP server {Server} cannot be used: {Why}")]
    private static partial void LogFailed(ILogger logger, string server, string why);

    [LoggerMessage(EventId = 182, Level = LogLevel.Warning, Message = "MCP server {Server}: the connection broke")]
    private static partial void LogBroke(ILogger logger, string server);

    [LoggerMessage(EventId = 183, Level = LogLevel.Warning, Message = "MCP server {Server}: a call failed on its way: {Error}")]
    private static partial void LogCall(ILogger logger, string server, string error);

    [LoggerMessage(EventId = 184, Level = LogLevel.Warning, Message = "MCP server {Server} has more than {Most} tools; the rest is left out")]
    private static partial void LogMore(ILogger logger, string server, int most);

    [LoggerMessage(EventId = 185, Level = LogLevel.Warning, Message = "MCP server {Server} has no tool '{Tool}', which its entry allows")]
    private static partial void LogMissing(ILogger logger, string server, string tool);

    [LoggerMessage(EventId = 186, Level = LogLevel.Warning, Message = "MCP server {Server} has a tool whose name cannot be used; it must have, after the server's name, {Rule}")]
    private static partial void LogOddName(ILogger logger, string server, string rule);

    [LoggerMessage(EventId = 187, Level = LogLevel.Warning, Message = "MCP server {Server}: closing the connection failed: {Error}")]
    private static partial void LogClose(ILogger logger, string server, string error);
}
