// Routes llama.cpp's log to an ILogger. Called on whatever native thread logs; nothing may be thrown back into native code.
using System.Text;

using LLama.Native;

using Microsoft.Extensions.Logging;

namespace InferenceServer.Llama.Native;

/// <summary>Joins the fragments of a line, forwards it, and keeps each thread's first error so that a failed call can say why it failed.</summary>
internal sealed partial class NativeLog
{
    private const int MaxLineLength = 4096;

    // What a warning says that somebody can do something about: the words of llama.cpp's loader, memory and backends where something is lost.
    private static readonly string[] Troubles = ["fail", "unable", "cannot", "could not", "degraded", "out of memory", "not enough", "not supported", "unsupported", "corrupt"];

    private readonly Lock _gate = new();
    private readonly StringBuilder _line = new();
    private readonly ILogger _logger;
    private LLamaLogLevel _level = LLamaLogLevel.Info;

    [ThreadStatic]
    private static string? _lastError; // An error is logged on the thread whose call fails; other contexts' have no part in it.

    [ThreadStatic]
    private static List<string>? _recorded;

    public NativeLog(ILogger logger) => _logger = logger;

    /// <summary>The lines that llama.cpp logs on this thread during a call.</summary>
    public static List<string> LinesOf(Action call)
    {
        List<string> lines = _recorded = [];
        try
        {
            call();
            return lines;
        }
        finally
        {
            _recorded = null;
        }
    }

    /// <summary>Forgets this thread's last error, before a call whose failure should be explained.</summary>
    public static void ClearError() => _lastError = null;

    /// <summary>The first error logged on this thread since <see cref="ClearError"/>, without the native function's name; null when there was none.</summary>
    public static string? LastError => _lastError;

    /// <summary>The callback that LLamaSharp hands to llama.cpp.</summary>
    public void OnNativeLog(LLamaLogLevel level, string text)
    {
        try
        {
            Append(level, text);
        }
        catch (Exception)
        {
            // A logger that throws must not unwind through native frames: that would end the process.
        }
    }

    private void Append(LLamaLogLevel level, string text)
    {
        lock (_gate)
        {
            if (level != LLamaLogLevel.Continue)
            {
                Flush();
                _level = level;
            }

            if (_line.Length < MaxLineLength)
                _line.Append(text);
            if (text.EndsWith('\n'))
                Flush();
        }
    }

    private void Flush()
    {
        string line = _line.ToString().Trim();
        _line.Clear();
        if (line.Length == 0 || line.All(c => c == '.'))
            return; // The loader draws its progress with dots.
        _recorded?.Add(line);
        if (_level == LLamaLogLevel.Error)
            Remember(line);
        LogLevel level = _level switch
        {
            LLamaLogLevel.Error => LogLevel.Error,
            // Most tell of what was chosen on purpose here, such as a pool for many sequences, or of how a file was made.
            LLamaLogLevel.Warning => Troubles.Any(trouble => line.Contains(trouble, StringComparison.OrdinalIgnoreCase)) ? LogLevel.Warning : LogLevel.Debug,
            _ => LogLevel.Debug, // What llama.cpp calls information is several hundred lines a model.
        };
        LogNativeLine(_logger, level, line);
    }

    private static void Remember(string line)
    {
        int colon = line.IndexOf(": ", StringComparison.Ordinal);
        bool startsWithFunction = colon > 0 && !line.AsSpan(0, colon).Contains(' ');
        string message = startsWithFunction ? line[(colon + 2)..] : line;
        // The first error names the cause; those after it only say that the caller failed too.
        _lastError ??= message;
    }

    [LoggerMessage(EventId = 100, Message = "llama.cpp: {Line}")]
    private static partial void LogNativeLine(ILogger logger, LogLevel level, string line);
}
