using System.Diagnostics;
using System.Security.Cryptography;

namespace InferenceServer.Tests.Web;

/// <summary>A folder with a package.json, and the programs that are run in it.</summary>
/// <param name="environment">For all of them, beside this process's own.</param>
internal sealed class NodeProject(string folder, TimeSpan limit, IReadOnlyDictionary<string, string>? environment = null)
{
    // Several fixtures may want the same packages, and npm removes what is there before it installs.
    private static readonly SemaphoreSlim Installing = new(1);

    public string Folder => folder;

    /// <summary>Copies a project's own files beside the tests' output and installs its packages there, once for each lock file.</summary>
    /// <returns>The copy, and why its packages cannot be had; null where they are there.</returns>
    public static async Task<(NodeProject Project, string? Failure)> InstallAsync(string source, TimeSpan limit, IReadOnlyDictionary<string, string>? environment = null)
    {
        byte[] packages = await File.ReadAllBytesAsync(Path.Combine(source, "package-lock.json"));
        string folder = Path.Combine(AppContext.BaseDirectory, $"{Path.GetFileName(source)}-{Convert.ToHexStringLower(SHA256.HashData(packages).AsSpan(0, 6))}");
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(source))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        NodeProject project = new(folder, limit, environment);
        await Installing.WaitAsync();
        try
        {
            string installed = Path.Combine(folder, "installed");
            if (File.Exists(installed))
                return (project, null);
            (int exit, string output, string error) = await project.RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]);
            if (exit != 0)
                return (project, error + output);
            await File.WriteAllTextAsync(installed, "");
            return (project, null);
        }
        finally
        {
            Installing.Release();
        }
    }

    /// <summary>Runs npm or another program of Node's; an exit code of -1 where it is not there or does not end in time.</summary>
    public async Task<(int ExitCode, string Output, string Error)> RunAsync(string program, string[] arguments, IReadOnlyDictionary<string, string>? more = null)
    {
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in (environment ?? new Dictionary<string, string>()).Concat(more ?? new Dictionary<string, string>()))
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
            return (-1, "", $"{program}: {e.Message}");
        }

        using (process)
        {
            using CancellationTokenSource time = new(limit);
            Task<string> output = process.StandardOutput.ReadToEndAsync(time.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(time.Token);
            try
            {
                await process.WaitForExitAsync(time.Token);
                return (process.ExitCode, await output, await error);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                return (-1, "", $"{program} did not end within {limit}");
            }
        }
    }
}
