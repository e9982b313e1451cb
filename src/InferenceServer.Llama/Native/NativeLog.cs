// Routes llama.cpp's log to an ILogger. Called on whatever native thread logs; nothing may be thrown back into native code.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

using Microsoft.Extensions.Logging;

namespace InferenceServer.Llama.Native;

/// <summary>Joins the fragments of a line, forwards it, and keeps the last errors so that a failed call can say why it failed.</summary>
internal sealed partial class NativeLog
{
    private const int LevelInfo = 2, LevelWarn = 3, LevelError = 4, LevelContinue = 5;
    private const int MaxLineLength = 4096;

    private readonly Lock _gate = new();
    private readonly StringBuilder _line = new();
    private readonly ILogger _logger;
    private int _level = LevelInfo;
    private string? _lastError;

    public NativeLog(ILogger logger) => _logger = logger;

    /// <summary>Takes over logging for the life of the process.</summary>
    public unsafe void Attach()
    {
        // Never freed: native code may log until the process ends.
        GCHandle self = GCHandle.Alloc(this);
        LlamaNative.llama_log_set(&OnNativeLog, GCHandle.ToIntPtr(self));
        LlamaNative.ggml_set_abort_callback(&OnNativeAbort);
    }

    /// <summary>Forgets the last error, before a call whose failure should be explained.</summary>
    public void ClearError()
    {
        lock (_gate)
            _lastError = null;
    }

    /// <summary>The last error logged since <see cref="ClearError"/>, without the native function's name; null when there was none.</summary>
    public string? LastError
    {
        get
        {
            lock (_gate)
                return _lastError;
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static unsafe void OnNativeLog(int level, byte* text, nint userData)
    {
        try
        {
            if (text == null || GCHandle.FromIntPtr(userData).Target is not NativeLog log)
                return;
            log.Append(level, Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text)));
        }
        catch (Exception)
        {
            // A logger that throws must not unwind through native frames: that would end the process.
        }
    }

    /// <summary>
    /// A failed assertion ends the process after this returns. Arguments and files are checked so that none fails; should one yet, the operator
    /// gets a line instead of a debugger's trace and a core dump.
    /// </summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static unsafe void OnNativeAbort(byte* message)
    {
        try
        {
            string text = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(message));
            string where = text[(text.LastIndexOfAny(['/', '\\']) + 1)..].ReplaceLineEndings(" ").Trim();
            Console.Error.WriteLine($"llama.cpp gave up ({where}): this model or setting is not supported; choose another --model");
            Console.Error.Flush();
        }
        finally
        {
            if (NativeLibrary.TryGetExport(NativeLibrary.GetMainProgramHandle(), "_exit", out nint exit))
                ((delegate* unmanaged[Cdecl]<int, void>)exit)(1);
        }
    }

    private void Append(int level, string text)
    {
        lock (_gate)
        {
            if (level != LevelContinue)
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
        if (_level == LevelError)
            Remember(line);
        LogLevel level = _level switch
        {
            LevelError => LogLevel.Error,
            // A pool for many sequences is larger than one may grow on purpose; the engine keeps each within what the model was trained for.
            LevelWarn => line.Contains("possible training context overflow", StringComparison.Ordinal) ? LogLevel.Debug : LogLevel.Warning,
            _ => LogLevel.Debug, // What llama.cpp calls information is several hundred lines a model.
        };
        LogNativeLine(_logger, level, line);
    }

    private void Remember(string line)
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
