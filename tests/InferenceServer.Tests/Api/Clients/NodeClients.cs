using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;

namespace InferenceServer.Tests.Api.Clients;

/// <summary>The scripts of tests/clients/node with their packages, installed once for each lock file beside the tests' own output.</summary>
public sealed class NodeClients : IAsyncLifetime
{
    private static readonly string Source = Path.Combine(SharedFolder.RepositoryRoot, "tests", "clients", "node");

    private string _folder = "";
    private string? _failure;

    public async Task InitializeAsync()
    {
        byte[] packages = await File.ReadAllBytesAsync(Path.Combine(Source, "package-lock.json"));
        _folder = Path.Combine(AppContext.BaseDirectory, $"node-clients-{Convert.ToHexStringLower(SHA256.HashData(packages).AsSpan(0, 6))}");
        Directory.CreateDirectory(_folder);
        foreach (string file in Directory.GetFiles(Source))
            File.Copy(file, Path.Combine(_folder, Path.GetFileName(file)), overwrite: true);
        string installed = Path.Combine(_folder, "installed");
        if (File.Exists(installed))
            return;
        (int exit, _, string why) = await RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]);
        if (exit == 0)
            await File.WriteAllTextAsync(installed, "");
        else
            _failure = why;
    }

    public Task DisposeAsync() => Task.CompletedTask;

    /// <summary>Runs one script against one or two servers and returns what it reports; skips the test where the packages cannot be had.</summary>
    public async Task<JsonElement> RunAsync(string script, Uri real, Uri? scripted = null)
    {
        Skip.If(_failure is not null, $"npm could not install the clients: {_failure}");
        (int exit, string output, string error) = await RunAsync("node", [$"{script}.mjs", real.ToString(), scripted?.ToString() ?? ""]);
        Assert.True(exit == 0, $"{script}: {error}{output}");
        return JsonDocument.Parse(output).RootElement;
    }

    /// <summary>Runs a module that is not one of the scripts, and returns what it prints; skips as the other does.</summary>
    public async Task<string> RunSourceAsync(string name, string source)
    {
        Skip.If(_failure is not null, $"npm could not install the clients: {_failure}");
        string file = $"{name}.mjs";
        await File.WriteAllTextAsync(Path.Combine(_folder, file), source);
        (int exit, string output, string error) = await RunAsync("node", [file]);
        Assert.True(exit == 0, $"{name}: {error}{output}");
        return output;
    }

    private async Task<(int ExitCode, string Output, string Error)> RunAsync(string program, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = _folder, RedirectStandardOutput = true, RedirectStandardError = true };
        // Some of them report how they are used, or send traces, unless told not to.
        foreach (string quiet in (ReadOnlySpan<string>)["DO_NOT_TRACK", "LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"])
            start.Environment[quiet] = quiet == "DO_NOT_TRACK" ? "1" : "false";
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
            using CancellationTokenSource limit = new(TimeSpan.FromMinutes(2));
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(limit.Token);
            try
            {
                await process.WaitForExitAsync(limit.Token);
                return (process.ExitCode, await output, await error);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                return (-1, "", $"{program} did not end within two minutes");
            }
        }
    }
}
