using System.Diagnostics;
using System.Net.Http.Headers;
using System.Runtime;
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

    // Longer than the just-in-time compiler waits, after the last method that is new, before it counts calls and optimizes: 100 ms.
    private static readonly TimeSpan CompilerRest = TimeSpan.FromMilliseconds(250);

    // A round that makes the compiler work less than so long brings nothing new: that is the third or fourth.
    private static readonly TimeSpan LittleToCompile = TimeSpan.FromMilliseconds(100);

    // A method is optimized at its 30th call: half of these are chats, and half are completions.
    private const int RehearsalBurst = 64;
    private const string WarmUpName = "warm-up";
    private const string Conversation = "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]", Prompt = "\"prompt\":\"Hi\"";

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
        await Task.WhenAll([.. models.Models.Select(model => model.Engine.StopAsync(options.DrainTimeout)), .. models.Side.Select(model => model.Engine.StopAsync(options.DrainTimeout))]);
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
                string fields = $"\"stream\":true,\"max_tokens\":4,{extra}";
                string answer = await AskAsync(client, model, chats: true, fields, cancellation);
                // The template's fault is not the model's: those who complete texts need none, and chats are told.
                if (answer.Contains("\"code\":\"template_", StringComparison.Ordinal))
                {
                    LogTemplate(log, model.Id, answer.ReplaceLineEndings(" ").Trim());
                    answer = await AskAsync(client, model, chats: false, fields, cancellation);
                }
                if (!answer.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal))
                    throw new ServerStartException($"the model '{model.Id}' cannot decode: {answer.ReplaceLineEndings(" ").Trim()}");
            }
            await RehearseAsync(client, model, cancellation);
        }
    }

    /// <summary>
    /// As users will ask: one at a time and many at once, streamed and whole, with rests in which the compiler does what this made worth its while; else it
    /// took half of the first requests' speed. Answers do not matter: a slow model's are cut off when the time is over.
    /// </summary>
    private async Task RehearseAsync(HttpClient client, ServedModel model, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        TimeSpan compiled = TimeSpan.Zero;
        for (int round = 0; JitInfo.GetCompilationTime() - compiled > LittleToCompile; round++)
        {
            compiled = JitInfo.GetCompilationTime();
            foreach (int streams in (int[])[1, RehearsalBurst])
            {
                int left = (int)(options.Rehearsal - Stopwatch.GetElapsedTime(start)).TotalMilliseconds;
                if (left <= 0)
                    return;
                await Task.WhenAll(Enumerable.Range(0, streams).Select(i => AskAsync(client, model, (round + i) % 2 == 0,
                    $"\"stream\":{(i % 8 < 6 ? "true" : "false")},\"max_tokens\":{(streams == 1 ? 40 : 2)},\"ignore_eos\":true,\"temperature\":{i / 2 % 2},\"timeout_ms\":{left}", cancellation)));
            }
            for (long methods = 0; methods != JitInfo.GetCompiledMethodCount() && Stopwatch.GetElapsedTime(start) < options.Rehearsal;)
            {
                methods = JitInfo.GetCompiledMethodCount();
                await Task.Delay(CompilerRest, cancellation);
            }
        }
    }

    private static async Task<string> AskAsync(HttpClient client, ServedModel model, bool chats, string fields, CancellationToken cancellation)
    {
        // A namespace of its own: nobody's prefix cache starts with this prompt.
        string body = $$"""
            {"model":"{{System.Text.Json.JsonEncodedText.Encode(model.Id)}}",{{(chats ? Conversation : Prompt)}},
             "cache_salt":"{{WarmUpName}}",{{fields}}}
            """;
        using StringContent content = new(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
        using HttpResponseMessage answer = await client.PostAsync(new Uri(chats ? "/v1/chat/completions" : "/v1/completions", UriKind.Relative), content, cancellation);
        return await answer.Content.ReadAsStringAsync(cancellation);
    }

    [LoggerMessage(EventId = 121, Level = LogLevel.Warning, Message = "The chat template of {Model} cannot render a plain chat, so chats will fail: {Answer}")]
    private static partial void LogTemplate(ILogger logger, string model, string answer);

    [LoggerMessage(EventId = 120, Level = LogLevel.Information, Message = "Stopping: running requests have {DrainSeconds} s to finish")]
    private static partial void LogDraining(ILogger logger, double drainSeconds);
}
