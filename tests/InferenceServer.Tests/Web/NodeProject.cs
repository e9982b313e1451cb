using System.Diagnostics;

namespace InferenceServer.Tests.Web;

/// <summary>A folder with a package.json, and the programs that are run in it.</summary>
internal sealed class NodeProject(string folder, TimeSpan limit)
{
    /// <summary>Runs npm or another program of Node's; an exit code of -1 where it is not there or does not end in time.</summary>
    public async Task<(int ExitCode, string Said)> RunAsync(string program, string[] arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        // A test runner that runs inside another reports to it, and not in words.
        start.Environment.Remove("NODE_TEST_CONTEXT");
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return (-1, $"{program}: {e.Message}");
        }

        using (process)
        {
            using CancellationTokenSource time = new(limit);
            Task<string> output = process.StandardOutput.ReadToEndAsync(time.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(time.Token);
            try
            {
                await process.WaitForExitAsync(time.Token);
                return (process.ExitCode, await error + await output);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                return (-1, $"{program} did not end within {limit}");
            }
        }
    }
}
