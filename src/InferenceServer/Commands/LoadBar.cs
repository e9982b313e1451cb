using System.Globalization;

namespace InferenceServer.Commands;

/// <summary>Shows on a terminal's stderr how much of a model's weights was read. What loads within a second shows nothing.</summary>
internal sealed class LoadBar(TextWriter output, bool isTerminal, TimeProvider clock) : IProgress<float>
{
    private const int Blocks = 30;
    private static readonly TimeSpan Delay = TimeSpan.FromSeconds(1);

    private readonly long _start = clock.GetTimestamp();
    private int _percent = -1;

    /// <summary>Loads something with a bar for this process's stderr.</summary>
    public static T While<T>(Func<IProgress<float>, T> load)
    {
        LoadBar bar = new(Console.Error, !Console.IsErrorRedirected, TimeProvider.System);
        try
        {
            return load(bar);
        }
        finally
        {
            bar.End();
        }
    }

    public void Report(float value)
    {
        int percent = (int)(Math.Clamp(value, 0, 1) * 100);
        if (!isTerminal || percent == _percent || clock.GetElapsedTime(_start) < Delay)
            return;
        _percent = percent;
        int full = percent * Blocks / 100;
        output.Write(string.Create(CultureInfo.InvariantCulture, $"\rloading  [{new string('#', full)}{new string('.', Blocks - full)}] {percent,3}%\u001b[K"));
        output.Flush();
    }

    /// <summary>Leaves the bar's line.</summary>
    public void End()
    {
        if (_percent < 0)
            return;
        output.Write("\r\u001b[K");
        output.Flush();
    }
}
