using System.Diagnostics;
using System.Text.Json;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Api.Responses;

/// <summary>The npm openai package against responses, conversations and stored completions of a real engine.</summary>
[Collection(nameof(RunsAlone))]
public sealed class ResponseNodeClientTests(TinyServer server) : IClassFixture<TinyServer>
{
    [SkippableFact]
    public async Task The_npm_client_responds_chains_converses_runs_in_the_background_and_keeps_completions()
    {
        await using TempStore store = new();
        await using TestHost host = await TestHost.StartAsync(server.Model, store: store.Store);
        DirectoryInfo folder = Directory.CreateTempSubdirectory("openai-node-responses-");
        try
        {
            foreach (string file in Directory.GetFiles(Path.Combine(SharedFolder.RepositoryRoot, "tests", "clients", "openai-responses")))
                File.Copy(file, Path.Combine(folder.FullName, Path.GetFileName(file)));
            (int installed, _, string why) = await RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--silent"], folder.FullName);
            Skip.If(installed != 0, $"npm could not install the client: {why}");
            (int exit, string output, string error) = await RunAsync("node", ["responses.mjs", new Uri(host.Client.BaseAddress!, "/v1").ToString()], folder.FullName);
            Assert.True(exit == 0, error);
            Check(JsonDocument.Parse(output).RootElement);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
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

    private static void Check(JsonElement seen)
    {
        string whole = seen.GetProperty("whole").GetString()!;
        Assert.Equal([whole, whole, whole], ((string[])["streamed", "last", "accumulated"]).Select(name => seen.GetProperty(name).GetString()));
        string[] types = [.. seen.GetProperty("types").EnumerateArray().Select(type => type.GetString()!)];
        Assert.Equal(("response.created", "response.in_progress"), (types[0], types[1]));
        Assert.Contains(types[^1], (string[])["response.completed", "response.incomplete"]);
        foreach (string name in (string[])["chained", "counted", "removed", "listed", "dropped"])
            Assert.True(seen.GetProperty(name).GetBoolean(), name);
        Assert.Equal("[\"And then?\"]", seen.GetProperty("inputItems").GetRawText());
        Assert.Equal("[\"message:user\",\"message:user\",\"message:assistant\"]", seen.GetProperty("conversationItems").GetRawText());
        Assert.Equal(("cancelled", "b"), (seen.GetProperty("cancelled").GetString(), seen.GetProperty("updated").GetString()));
        Assert.Equal("[\"Keep this.\"]", seen.GetProperty("messages").GetRawText());
        int[] resumed = [.. seen.GetProperty("resumed").EnumerateArray().Select(number => number.GetInt32())];
        Assert.True(resumed.Length > 5);
        Assert.Equal(Enumerable.Range(1, resumed.Length), resumed);
        Assert.Equal("{\"status\":404,\"code\":\"not_found\"}", seen.GetProperty("missing").GetRawText());
        Assert.Equal("{\"status\":400,\"param\":\"tools[0].type\"}", seen.GetProperty("refused").GetRawText());
    }
}
