using InferenceServer.Mcp;

namespace InferenceServer.Operations;

/// <summary>Opens MCP servers that are to be open from the start on, beside it, and closes all when the server ends: no process of theirs outlives it.</summary>
internal sealed class McpLifetime(McpServers servers) : IHostedLifecycleService
{
    private Task _starting = Task.CompletedTask;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // A package runner may take a minute. Who needs the tools sooner waits for them.
        _starting = servers.StartAsync(CancellationToken.None);
        return Task.CompletedTask;
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        await servers.DisposeAsync();
        await _starting;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
