using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using InferenceServer.Models;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Operations;

/// <summary>
/// Start: real requests over loopback before readiness says yes, so that no client pays for the JIT and "ready" is known to be true: a free reply,
/// and one held to JSON, which also waits for the vocabulary's trie and makes a first mask; then a second or two of what users ask.
/// Stop: while new requests are answered 503, running ones finish within the drain time; only then does the web server close.
/// </summary>
internal sealed partial class ServerLifecycle(
    ModelCatalogue models, WebHostOptions options, Readiness readiness, IServer server, ILogger<ServerLifecycle> log) : IHostedLifecycleService
{
    // A cold model on a slow disk; a decode that takes longer is hung.
    private static readonly TimeSpan WarmUpLimit = TimeSpan.FromMinutes(5);

    // On two cores the compiler then has done two thirds of what it does in a first minute of load.
    private static readonly TimeSpan RehearsalTime = TimeSpan.FromSeconds(2);

    private const int RehearsalStreams = 16;
    private const string WarmUpName = "warm-up";

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
        using HttpClient client = new() { BaseAddress = new Uri(address), Timeout = WarmUpLimit };
        client.DefaultRequestHeaders.Add(Readiness.OwnHeader, readiness.OwnSecret);
        if (options.Access.Keys.OwnKey is { } key)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        foreach (ServedModel model in models.Models)
        {
            foreach (string extra in (string[])["\"ignore_eos\":true", "\"response_format\":{\"type\":\"json_object\"}"])
            {
                string answer = await AskAsync(client, model, $"\"stream\":true,\"max_tokens\":4,{extra}", cancellation);
                if (!answer.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
                    throw new ServerStartException($"the model '{model.Id}' cannot decode: {answer.ReplaceLineEndings(" ").Trim()}");
            }
            await RehearseAsync(client, model, cancellation);
            using HttpRequestMessage forget = new(HttpMethod.Delete, $"/v1/sessions/{WarmUpName}");
            forget.Headers.Add("X-Cache-Salt", WarmUpName);
            using HttpResponseMessage forgotten = await client.SendAsync(forget, cancellation);
        }
    }

    /// <summary>As users will ask: one at a time and many at once, streamed and whole. Answers do not matter, and a slow model's are cut off when the time is over.</summary>
    private static async Task RehearseAsync(HttpClient client, ServedModel model, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; Stopwatch.GetElapsedTime(start) is var spent && spent < RehearsalTime; round++)
        {
            int left = (int)Math.Ceiling((RehearsalTime - spent).TotalMilliseconds);
            await Task.WhenAll(Enumerable.Range(0, round % 2 == 0 ? 1 : RehearsalStreams).Select(i => AskAsync(client, model,
                $"\"stream\":{(i % 4 == 3 ? "false" : "true")},\"max_tokens\":32,\"ignore_eos\":true,\"temperature\":{i % 2},\"timeout_ms\":{left}", cancellation)));
        }
    }

    private static async Task<string> AskAsync(HttpClient client, ServedModel model, string fields, CancellationToken cancellation)
    {
        // A namespace of its own: nobody's prefix cache starts with this prompt.
        string body = $$"""
            {"model":"{{System.Text.Json.JsonEncodedText.Encode(model.Id)}}","messages":[{"role":"user","content":"Hi"}],
             "cache_salt":"{{WarmUpName}}","prompt_cache_key":"{{WarmUpName}}",{{fields}}}
            """;
        using StringContent content = new(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
        using HttpResponseMessage answer = await client.PostAsync(new Uri("/v1/chat/completions", UriKind.Relative), content, cancellation);
        return await answer.Content.ReadAsStringAsync(cancellation);
    }

    [LoggerMessage(EventId = 120, Level = LogLevel.Information, Message = "Stopping: running requests have {DrainSeconds} s to finish")]
    private static partial void LogDraining(ILogger logger, double drainSeconds);
}

/// <summary>The server cannot start; the message is the one line that the user sees, and names the remedy.</summary>
public sealed class ServerStartException(string message, Exception? inner = null) : Exception(message, inner);
