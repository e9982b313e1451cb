using System.Net.Http.Headers;
using System.Text;
using InferenceServer.Models;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Operations;

/// <summary>
/// Start: real requests over loopback before readiness says yes, so that no client pays for the JIT and "ready" is known to be true: a free reply,
/// and one held to JSON, which also waits for the vocabulary's trie and makes a first mask.
/// Stop: while new requests are answered 503, running ones finish within the drain time; only then does the web server close.
/// </summary>
internal sealed partial class ServerLifecycle(
    ModelCatalogue models, WebHostOptions options, Readiness readiness, IServer server, ILogger<ServerLifecycle> log) : IHostedLifecycleService
{
    // A cold model on a slow disk; a decode that takes longer is hung.
    private static readonly TimeSpan WarmUpLimit = TimeSpan.FromMinutes(5);

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        if (options.WarmUp)
        {
            await WarmUpAsync(cancellationToken);
            // What loading and warming up left behind, three times what lives on, would otherwise stay committed for as long as little is asked.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }
        readiness.BecameWarm();
    }

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        readiness.Drains();
        LogDraining(log, options.DrainTimeout.TotalSeconds);
        await Task.WhenAll([.. models.Models.Select(model => model.Engine.Stop(options.DrainTimeout)), .. models.Side.Select(model => model.Stop(options.DrainTimeout))]);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private async Task WarmUpAsync(CancellationToken cancellation)
    {
        string address = server.Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First()
            .Replace("//0.0.0.0:", "//127.0.0.1:", StringComparison.Ordinal).Replace("//[::]:", "//[::1]:", StringComparison.Ordinal);
        using HttpClient client = new() { Timeout = WarmUpLimit };
        if (options.Access.Keys.OwnKey is { } key)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        foreach (ServedModel model in models.Models)
        {
            foreach (string extra in (string[])["\"ignore_eos\":true", "\"response_format\":{\"type\":\"json_object\"}"])
            {
                // A namespace of its own: nobody's prefix cache starts with this prompt.
                string body = $$"""
                    {"model":"{{System.Text.Json.JsonEncodedText.Encode(model.Id)}}","messages":[{"role":"user","content":"Hi"}],
                     "max_tokens":4,"stream":true,{{extra}},"cache_salt":"warm-up"}
                    """;
                using StringContent content = new(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
                using HttpResponseMessage answer = await client.PostAsync(new Uri($"{address}/v1/chat/completions"), content, cancellation);
                string stream = await answer.Content.ReadAsStringAsync(cancellation);
                if (!stream.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
                    throw new ServerStartException($"the model '{model.Id}' cannot decode: {stream.ReplaceLineEndings(" ").Trim()}");
            }
        }
    }

    [LoggerMessage(EventId = 120, Level = LogLevel.Information, Message = "Stopping: running requests have {DrainSeconds} s to finish")]
    private static partial void LogDraining(ILogger logger, double drainSeconds);
}

/// <summary>The server cannot start; the message is the one line that the user sees, and names the remedy.</summary>
public sealed class ServerStartException(string message, Exception? inner = null) : Exception(message, inner);
