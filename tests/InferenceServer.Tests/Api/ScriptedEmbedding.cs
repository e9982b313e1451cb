using InferenceServer.Engine.Embedding;

namespace InferenceServer.Tests.Api;

/// <summary>Embeds as the test wrote: for the border between HTTP and engine, where a model would only be in the way.</summary>
internal sealed class ScriptedEmbedding(Func<IReadOnlyList<int[]>, CancellationToken, Task<float[][]>> embed) : IEmbeddingEngine
{
    public EmbeddingSnapshot Snapshot => default;

    public string? Failure => null;

    public Task<float[][]> EmbedAsync(IReadOnlyList<int[]> inputs, CancellationToken cancellation) => embed(inputs, cancellation);

    public Task StopAsync(TimeSpan drainTimeout) => Task.CompletedTask;
}
