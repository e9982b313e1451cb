using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using InferenceServer.Engine;
using InferenceServer.Llama;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace InferenceServer.Benchmarks;

/// <summary>The real server in this process, reached over HTTP on loopback.</summary>
internal sealed class Server : IAsyncDisposable
{
    private readonly LoadedModel _model;
    private readonly WebApplication _app;
    private readonly ConcurrentBag<LeanConnection> _idle = [];

    private Server(LoadedModel model, WebApplication app)
    {
        _model = model;
        _app = app;
        Address = new Uri(app.Urls.First());
    }

    public Uri Address { get; }

    public string ModelId => _model.Served.Id;

    public InferenceEngine Engine => _model.Engine;

    public static Task<Server> StartAsync(BenchmarkSetup setup, int cells, params string[] more) => StartAsync(setup, setup.ModelPath, cells, more);

    public static async Task<Server> StartAsync(BenchmarkSetup setup, string modelPath, int cells, string[] more)
    {
        string kvType = setup.Options.KvType.ToString().ToLowerInvariant();
        ServerOptions options = CommandLine.Read(
            ["--model", modelPath, "--ctx-size", cells.ToString(CultureInfo.InvariantCulture), "--port", "0",
             "--kv-unified", setup.Options.Unified ? "on" : "off", "--cache-type-k", kvType, "--cache-type-v", kvType, .. more],
            new ConfigurationBuilder().Build(), _ => null).Options ?? throw new InvalidOperationException("The server's options changed.");
        LoadedModel model = ModelLoader.Load(options.Model, setup.Library, NullLoggerFactory.Instance, TimeProvider.System);
        WebApplication app = ServerHost.Build(
            new WebHostOptions { Host = options.Host, Port = 0, Identity = new ServerIdentity("benchmark"), LogLevel = LogLevel.Warning },
            new ModelCatalogue([model.Served]));
        await app.StartAsync();
        Server server = new(model, app);
        using CancellationTokenSource limit = new(TimeSpan.FromMinutes(2));
        using HttpClient client = new() { BaseAddress = server.Address };
        while (!(await client.GetAsync("/health/ready", limit.Token)).IsSuccessStatusCode)
            await Task.Delay(50, limit.Token);
        return server;
    }

    /// <summary>Streams a completion and reads it to its end.</summary>
    /// <param name="onChunk">Called with the time whenever bytes arrive.</param>
    /// <param name="ignoreEos">Go on after an end-of-generation token; what obeys a constraint cannot.</param>
    public async Task StreamAsync(int[] prompt, int maxTokens, string sampling = "\"temperature\":0", Action<long>? onChunk = null, bool ignoreEos = true)
    {
        string body = CompletionBody(ModelId, prompt, maxTokens, sampling, ignoreEos);
        if (!_idle.TryTake(out LeanConnection? connection))
            connection = await LeanConnection.OpenAsync(Address);
        await connection.PostAsync("/v1/completions", body, onChunk);
        _idle.Add(connection);
    }

    /// <summary>A streamed completion's request.</summary>
    public static string CompletionBody(string model, int[] prompt, int maxTokens, string sampling, bool ignoreEos)
    {
        StringBuilder body = new();
        body.Append(CultureInfo.InvariantCulture, $"{{\"model\":\"{model}\",\"stream\":true,{(ignoreEos ? "\"ignore_eos\":true," : "")}\"max_tokens\":{maxTokens},{sampling},\"prompt\":[");
        return body.AppendJoin(',', prompt).Append("]}").ToString();
    }

    /// <summary>Waits until the engine has saved what it saves when nothing is asked of it, so that this is not taken for the next run's work.</summary>
    public async Task RestAsync()
    {
        for (long saved = -1; Engine.Snapshot.HostCacheBytes != saved;)
        {
            saved = Engine.Snapshot.HostCacheBytes;
            await Task.Delay(200);
        }
    }

    /// <summary>All at once; seconds until the last has ended.</summary>
    public async Task<double> RunAsync(IEnumerable<int[]> prompts, int maxTokens, string sampling = "\"temperature\":0", bool ignoreEos = true)
    {
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(prompts.Select(prompt => StreamAsync(prompt, maxTokens, sampling, null, ignoreEos)));
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (LeanConnection connection in _idle)
            connection.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        await _model.DisposeAsync();
    }
}
