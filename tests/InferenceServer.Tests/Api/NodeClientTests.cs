using System.Diagnostics;
using System.Text.Json;

namespace InferenceServer.Tests.Api;

/// <summary>The npm openai package, as an app would use it, against the real server and a real GGUF.</summary>
public sealed class NodeClientTests(TinyServer server) : IClassFixture<TinyServer>
{
    private static readonly string Source = Path.Combine(SharedFolder.RepositoryRoot, "tests", "clients", "openai-node");

    [SkippableFact]
    public async Task The_npm_client_chats_streams_aborts_and_reads_errors()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"openai-node-{Environment.ProcessId}");
        Directory.CreateDirectory(folder);
        try
        {
            foreach (string file in Directory.GetFiles(Source))
                File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
            (int installed, _, string why) = await RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--silent"], folder);
            Skip.If(installed != 0, $"npm could not install the client: {why}");
            (int exit, string output, string error) = await RunAsync("node", ["smoke.mjs", new Uri(server.Host.Client.BaseAddress!, "/v1").ToString()], folder);
            Assert.True(exit == 0, error);
            Check(JsonDocument.Parse(output).RootElement);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Check(JsonElement seen)
    {
        Assert.Equal(seen.GetProperty("whole").GetString(), seen.GetProperty("streamed").GetString());
        Assert.Equal("length", seen.GetProperty("finish").GetString());
        Assert.Equal(24, seen.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        Assert.All(seen.GetProperty("together").EnumerateArray(), reason => Assert.Equal("length", reason.GetString()));
        Assert.Equal(8, seen.GetProperty("together").GetArrayLength());
        Assert.True(seen.GetProperty("beforeAbort").GetInt32() > 3);
        Assert.Equal(404, seen.GetProperty("error").GetProperty("status").GetInt32());
        Assert.Equal("model_not_found", seen.GetProperty("error").GetProperty("code").GetString());
    }

    private static async Task<(int ExitCode, string Output, string Error)> RunAsync(string program, string[] arguments, string folder)
    {
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
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
