using System.Text.Json;
using InferenceServer.Mcp;
using InferenceServer.Models;

namespace InferenceServer.Configuration;

/// <summary>
/// server.json as it is now. The file is looked at every few seconds: a change takes effect without a restart where it can, and a file that is wrong changes nothing.
/// Any thread.
/// </summary>
internal sealed partial class LiveConfiguration : IDisposable
{
    // By time and size rather than by events: these are lost on network folders and on what containers mount.
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(2);

    private readonly ILogger _log;
    private readonly ITimer? _timer;
    private readonly Lock _gate = new();
    private volatile ServerConfiguration _current;
    private (DateTime, long) _seen;

    public LiveConfiguration(ServerConfiguration current, TimeProvider clock, ILogger log)
    {
        (_current, _log) = (current, log);
        if (current.Path is null)
            return;
        _seen = Stamp();
        _timer = clock.CreateTimer(_ => Look(), null, LookInterval, LookInterval);
    }

    public ServerConfiguration Current => _current;

    /// <summary>Told after a change took effect.</summary>
    public Action? Changed { get; set; }

    public long Reloads { get; private set; }

    public long FailedReloads { get; private set; }

    /// <summary>What holds for a model's requests now.</summary>
    /// <param name="name">Its own name.</param>
    /// <param name="others">What holds where the file says nothing.</param>
    public ModelSettings SettingsOf(string name, ModelSettings others) => _current.Find(name) is { } model ? model.Settings.Over(others) : others;

    /// <summary>Reads the file if it is another than before.</summary>
    public void Look()
    {
        lock (_gate)
        {
            (DateTime, long) now = Stamp();
            if (now == _seen)
                return;
            _seen = now;
            try
            {
                ServerConfiguration before = _current, read = ServerFileReader.Load(before.Path!);
                if (!Same(before.Options, read.Options) || Written(before.Mcp) != Written(read.Mcp))
                    LogRestart(_log, before.Path!);
                _current = read;
                Reloads++;
                LogReloaded(_log, before.Path!, read.Models.Count);
            }
            catch (ServerFileException error)
            {
                FailedReloads++;
                LogFailed(_log, error.Message);
                return;
            }
        }
        Changed?.Invoke();
    }

    public void Dispose() => _timer?.Dispose();

    private static bool Same(IReadOnlyList<(string Name, IReadOnlyList<string> Values)> one, IReadOnlyList<(string Name, IReadOnlyList<string> Values)> other) =>
        one.Select(Written).SequenceEqual(other.Select(Written));

    private static string Written((string Name, IReadOnlyList<string> Values) option) => $"{option.Name}={string.Join(',', option.Values)}";

    private static string Written(IReadOnlyDictionary<string, McpServerEntry> servers) => JsonSerializer.Serialize(new ServerFile { Mcp = servers }, ServerFileJson.Default.ServerFile);

    private (DateTime, long) Stamp()
    {
        FileInfo file = new(_current.Path!);
        // While an editor replaces it, it may not be there.
        return file.Exists ? (file.LastWriteTimeUtc, file.Length) : _seen;
    }

    [LoggerMessage(EventId = 170, Level = LogLevel.Information, Message = "{Path} has changed and is in effect: {Models} models")]
    private static partial void LogReloaded(ILogger logger, string path, int models);

    [LoggerMessage(EventId = 171, Level = LogLevel.Warning, Message = "The options at the top of {Path}, or its MCP servers, have changed; they take effect at the next start")]
    private static partial void LogRestart(ILogger logger, string path);

    [LoggerMessage(EventId = 172, Level = LogLevel.Error, Message = "The changed server.json is not in effect: {Reason}")]
    private static partial void LogFailed(ILogger logger, string reason);
}
