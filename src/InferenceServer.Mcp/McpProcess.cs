using System.ComponentModel;
using System.Diagnostics;
using ModelContextProtocol.Client;

namespace InferenceServer.Mcp;

/// <summary>
/// The process of a server that speaks over its standard streams. It ends with whoever started it: its input is closed, which servers take for the end, also when this
/// process is killed; who stays is killed with all that it started.
/// </summary>
internal sealed class McpProcess : IAsyncDisposable
{
    // A server that has something to save needs a moment, and a shutdown has not many.
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(2);

    private const int MaxErrorLine = 300;

    private readonly Process _process;
    private readonly Task _errors;
    private volatile string? _lastError;

    private McpProcess(Process process)
    {
        _process = process;
        _errors = ReadErrorsAsync();
    }

    public Stream Input => _process.StandardInput.BaseStream;

    public Stream Output => _process.StandardOutput.BaseStream;

    /// <summary>The last line that it wrote about itself, cut; null for none. It may say anything.</summary>
    public string? LastError => _lastError;

    /// <exception cref="IOException">It cannot be started.</exception>
    public static McpProcess Start(McpServerEntry entry, Func<string, string?> environment)
    {
        ProcessStartInfo start = new(entry.Command!, entry.Args)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            CreateNoWindow = true,
            WorkingDirectory = entry.Cwd ?? "",
        };
        // Keys and tokens of this process are none of its business.
        start.Environment.Clear();
        foreach ((string variable, string? value) in StdioClientTransportOptions.GetDefaultEnvironmentVariables())
            start.Environment[variable] = value;
        foreach ((string variable, string value) in entry.Env)
            start.Environment[variable] = McpServerEntry.Expand(value, environment);
        try
        {
            return new McpProcess(Process.Start(start)!);
        }
        catch (Win32Exception error)
        {
            throw new IOException($"'{entry.Command}' cannot be started: {error.Message}", error);
        }
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It does not read any more.
        }

        using CancellationTokenSource late = new(EndTime);
        try
        {
            await _process.WaitForExitAsync(late.Token);
        }
        catch (OperationCanceledException)
        {
            _process.Kill(entireProcessTree: true);
        }

        // A process of its own may hold the other end open.
        await Task.WhenAny(_errors, Task.Delay(EndTime));
        _process.Dispose();
    }

    private async Task ReadErrorsAsync()
    {
        // In pieces and not by line: a line may have no end.
        char[] piece = new char[MaxErrorLine];
        string line = "";
        try
        {
            for (int read; (read = await _process.StandardError.ReadAsync(piece)) > 0;)
            {
                string[] lines = (line + new string(piece, 0, read)).Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
                if (lines.Length == 0)
                    continue;
                _lastError = lines[^1][..Math.Min(lines[^1].Length, MaxErrorLine)];
                line = piece[read - 1] == '\n' ? "" : _lastError;
            }
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // It was ended.
        }
    }
}
