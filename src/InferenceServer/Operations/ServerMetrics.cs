using System.Collections.Concurrent;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Store;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>
/// What /metrics shows. HTTP threads observe times here; the engine's own counters are copied from its snapshot when somebody asks, so that no
/// bookkeeping for metrics runs on the decode thread. One registry a host.
/// </summary>
internal sealed class ServerMetrics
{
    private readonly CollectorRegistry _registry = Metrics.NewCustomRegistry();
    private readonly ConcurrentDictionary<ServedModel, EngineCollector> _engines = new(ReferenceEqualityComparer.Instance);
    private readonly ConcurrentDictionary<ServedEmbedder, EmbeddingCollector> _embedders = new(ReferenceEqualityComparer.Instance);
    private readonly Counter _requests;
    private readonly Histogram _durations;

    public ServerMetrics(ModelCatalogue models, ServerStore store, WebHostOptions options)
    {
        MetricFactory factory = Metrics.WithCustomRegistry(_registry);
        _requests = factory.CreateCounter("inference_requests_total", "HTTP requests by endpoint and outcome.", "endpoint", "outcome");
        _durations = factory.CreateHistogram("inference_request_duration_seconds", "From a request's arrival to the end of its answer.",
            ["endpoint"], new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 18) });
        TimeToFirstToken = factory.CreateHistogram("inference_time_to_first_token_seconds", "From a request's arrival to its first token.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.004, 2, 14) });
        InterToken = factory.CreateHistogram("inference_inter_token_seconds", "Time between two tokens of one choice.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 1.6, 16) });
        QueueTime = factory.CreateHistogram("inference_queue_seconds", "From submission to the engine until the first step that worked on it.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 16) });
        Conventional = new ConventionalMetrics(factory);
        DotNetStats.Register(_registry);
        Replay = new ReplayMetrics(factory);
        if (store.Database is { } database)
            StoreCollector.Register(factory, _registry, database);
        Moderation = new ModerationMetrics(factory);
        Pulls = new PullMetrics(factory);
        Mcp = new McpMetrics(factory);
        foreach (ServedModel model in models.Models)
            _engines[model] = new EngineCollector(factory, model);
        foreach (ServedEmbedder model in models.Side)
            _embedders[model] = new EmbeddingCollector(factory, model);
        if (models.OnDemand is { } host)
            HostCollector.Add(factory, _registry, host, (hosted, isLoaded) =>
            {
                if (hosted.Chat is { } chat)
                {
                    if (isLoaded)
                        _engines[chat] = new EngineCollector(factory, chat);
                    else if (_engines.TryRemove(chat, out EngineCollector? gone))
                        gone.Remove();
                }
                if (hosted.Embedder is { } embedder)
                {
                    if (isLoaded)
                        _embedders[embedder] = new EmbeddingCollector(factory, embedder);
                    else if (_embedders.TryRemove(embedder, out EmbeddingCollector? gone))
                        gone.Remove();
                }
            });
        if (options.Configuration is { Current.Path: not null } configuration)
            ConfigurationCollector.Add(factory, _registry, configuration);
        _registry.AddBeforeCollectCallback(() =>
        {
            foreach (EngineCollector engine in _engines.Values)
                engine.Read();
            foreach (EmbeddingCollector embedder in _embedders.Values)
                embedder.Read();
        });
        MemoryCollector.Add(factory, _registry, models, options.Devices, options.Clock);
    }

    public Histogram TimeToFirstToken { get; }

    public Histogram InterToken { get; }

    public Histogram QueueTime { get; }

    public ConventionalMetrics Conventional { get; }

    public ReplayMetrics Replay { get; }

    public ModerationMetrics Moderation { get; }

    public PullMetrics Pulls { get; }

    public McpMetrics Mcp { get; }

    public void Request(string endpoint, string outcome, double seconds)
    {
        _requests.WithLabels(endpoint, outcome).Inc();
        _durations.WithLabels(endpoint).Observe(seconds);
    }

    /// <summary>GET /metrics.</summary>
    public Task WriteAsync(HttpContext http)
    {
        http.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        return _registry.CollectAndExportAsTextAsync(http.Response.Body, http.RequestAborted);
    }
}
