using InferenceServer.Engine.Embedding;
using InferenceServer.Llama;
using InferenceServer.Mcp;
using InferenceServer.Models;
using InferenceServer.Moderation;
using InferenceServer.Operations;
using InferenceServer.Tests.Api;
using InferenceServer.Tests.Store;

namespace InferenceServer.Tests.Docs;

/// <summary>docs/metrics.md against what /metrics shows of a server that has had something of everything to count.</summary>
public sealed class MetricsReferenceTests
{
    private const string Chat = "/v1/chat/completions";

    // The rules flag dragons; the model cannot judge what is odd.
    private const string Flagged = "dragon", Unjudged = "odd";

    private static readonly ModerationRules Rules = ModerationRulesReader.Read("""{"categories":{"dragons":{"rules":[{"phrases":["dragon"]}]},"bad":{}}}"""u8.ToArray(), "test");

    private static readonly ServedEmbedder Judge = EmbeddingProbes.Models[^1] with
    {
        Id = "judge",
        Dimensions = 2,
        Engine = new ScriptedEmbedding((inputs, _) => inputs.Any(input => string.Concat(input.Select(token => (char)token)).Contains(Unjudged, StringComparison.Ordinal))
            ? throw new EmbeddingFailedException("The device gave up.")
            : Task.FromResult<float[][]>([.. inputs.Select(_ => (float[])[-9, 9])])),
    };

    [Fact]
    public async Task The_page_lists_every_metric_that_a_server_shows()
    {
        ScriptedEngine engine = new() { KvPoolBytes = 500 };
        await using TempStore kept = new();
        await using TestHost host = await TestHost.StartAsync(TestHost.Served(engine), store: kept.Store, embedders: EmbeddingProbes.Models,
            moderation: new ModerationGate(Rules, ModerationMode.Flag, ModerationClassifier.For(Judge, ["bad", "fine"], Rules)),
            devices: () => [new("CUDA0", "A GPU", LlamaDeviceType.Gpu, 60, 80)]);

        host.Service<ServerMetrics>().Mcp.Ended(new McpCallEnd("files", "ok", 0.1));
        foreach (string text in (string[])[Flagged, Unjudged])
            (await host.PostAsync(Chat, Body(text))).Dispose();
        for (int i = 0; i < 2; i++)
            (await SendAsync(host, Body("Hi"), "Idempotency-Key", "again")).Dispose();
        await LeaveAStreamAsync(host, engine);

        await GeneratedPage.CheckAsync("metrics.md", MetricsReference.Write(await MetricsAsync(host)));
    }

    /// <summary>A reader goes away, and the generation ends without one.</summary>
    private static async Task LeaveAStreamAsync(TestHost host, ScriptedEngine engine)
    {
        TaskCompletionSource left = new(TaskCreationOptions.RunContinuationsAsynchronously);
        engine.Script = async reply =>
        {
            reply.Token("begin");
            await left.Task;
            reply.Finish();
        };
        (await SendAsync(host, Body("Hi", ",\"stream\":true"), "X-Disconnect-Grace-Ms", "60000")).Dispose();
        await Eventually.HoldsAsync(async () => (await MetricsAsync(host)).Contains("inference_readerless_generations 1\n", StringComparison.Ordinal));
        left.SetResult();
        await Eventually.HoldsAsync(async () => (await MetricsAsync(host)).Contains("inference_readerless_generations_total{outcome=", StringComparison.Ordinal));
    }

    private static string Body(string text, string fields = "") => $$"""{"model":"scripted","messages":[{"role":"user","content":"{{text}}"}]{{fields}}}""";

    private static Task<string> MetricsAsync(TestHost host) => host.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));

    private static async Task<HttpResponseMessage> SendAsync(TestHost host, string body, string header, string value)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, Chat) { Content = new StringContent(body, null, "application/json") };
        request.Headers.Add(header, value);
        return await host.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }
}
