using System.Text.Json;
using InferenceServer.Tests.Web;

namespace InferenceServer.Tests.Api.Clients;

/// <summary>The scripts of tests/clients/node with their packages.</summary>
public sealed class NodeClients : IAsyncLifetime
{
    private static readonly string Source = Path.Combine(SharedFolder.RepositoryRoot, "tests", "clients", "node");

    // Some of them report how they are used, or send traces, unless told not to.
    private static readonly Dictionary<string, string> Quiet = new() { ["DO_NOT_TRACK"] = "1", ["LANGSMITH_TRACING"] = "false", ["LANGCHAIN_TRACING_V2"] = "false" };

    private NodeProject? _project;
    private string? _failure;

    public async Task InitializeAsync() => (_project, _failure) = await NodeProject.InstallAsync(Source, TimeSpan.FromMinutes(2), Quiet);

    public Task DisposeAsync() => Task.CompletedTask;

    /// <summary>Runs one script against one or two servers and returns what it reports; skips the test where the packages cannot be had.</summary>
    public async Task<JsonElement> RunAsync(string script, Uri real, Uri? scripted = null)
    {
        Skip.If(_failure is not null, $"npm could not install the clients: {_failure}");
        (int exit, string output, string error) = await _project!.RunAsync("node", [$"{script}.mjs", real.ToString(), scripted?.ToString() ?? ""]);
        Assert.True(exit == 0, $"{script}: {error}{output}");
        return JsonDocument.Parse(output).RootElement;
    }

    /// <summary>Runs a module that is not one of the scripts, and returns what it prints; skips as the other does.</summary>
    public async Task<string> RunSourceAsync(string name, string source)
    {
        Skip.If(_failure is not null, $"npm could not install the clients: {_failure}");
        string file = $"{name}.mjs";
        await File.WriteAllTextAsync(Path.Combine(_project!.Folder, file), source);
        (int exit, string output, string error) = await _project.RunAsync("node", [file]);
        Assert.True(exit == 0, $"{name}: {error}{output}");
        return output;
    }
}
