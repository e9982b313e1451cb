using InferenceServer.Engine;
using InferenceServer.Models;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>
/// What /metrics shows. HTTP threads observe times here; the engine's own counters are copied from its snapshot when somebody asks, so that no
/// bookkeeping for metrics runs on the decode thread. One registry a host.
/// </summary>
internal sealed class ServerMetrics
{
    private readonly CollectorRegistry _registry = Metrics.NewCustomRegistry();
    private readonly Counter _requests;
    private readonly Histogram _durations;

    public ServerMetrics(ModelCatalogue models)
    {
        MetricFactory factory = Metrics.WithCustomRegistry(_registry);
        _requests = factory.CreateCounter("inference_requests_total", "HTTP requests by endpoint and outcome.", "endpoint", "outcome");
        _durations = factory.CreateHistogram("inference_request_duration_seconds", "From a request's arrival to the end of its answer.",
            ["endpoint"], new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 18) });
        TimeToFirstToken = factory.CreateHistogram("inference_time_to_first_token_seconds", "From a request's arrival to its first token.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.004, 2, 14) });
        InterToken = factory.CreateHistogram("inference_inter_token_seconds", "Between two tokens of one choice.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 1.6, 16) });
        QueueTime = factory.CreateHistogram("inference_queue_seconds", "From submission to the engine until the first step that worked on it.",
            new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 16) });
        foreach (ServedModel model in models.Models)
            _ = new EngineCollector(factory, _registry, model);
    }

    public Histogram TimeToFirstToken { get; }

    public Histogram InterToken { get; }

    public Histogram QueueTime { get; }

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

/// <summary>One engine's gauges and counters, read from its snapshot at each scrape.</summary>
internal sealed class EngineCollector
{
    private readonly Gauge.Child _waiting, _running, _cells, _cellsPrivate, _cellsPinned, _cellsCached, _cellsFree, _leaves;
    private readonly Counter.Child _accepted, _finished, _cancelled, _failed, _rejected, _computed, _cached, _completion, _steps, _decodeSteps,
        _decodeRows, _evicted, _preemptions;

    public EngineCollector(MetricFactory factory, CollectorRegistry registry, ServedModel model)
    {
        string id = model.Id;
        _waiting = factory.CreateGauge("inference_requests_waiting", "Requests in the engine's queue.", "model").WithLabels(id);
        _running = factory.CreateGauge("inference_requests_running", "Requests that hold a sequence.", "model").WithLabels(id);
        _cells = factory.CreateGauge("inference_kv_capacity_cells", "Cells of the KV pool, one for a token of a sequence.", "model").WithLabels(id);
        Gauge cells = factory.CreateGauge("inference_kv_cells",
            "Cells by state: private to running requests, pinned or evictable cache, free. They add up to the capacity.", "model", "state");
        _cellsPrivate = cells.WithLabels(id, "private");
        _cellsPinned = cells.WithLabels(id, "pinned");
        _cellsCached = cells.WithLabels(id, "cached");
        _cellsFree = cells.WithLabels(id, "free");
        _leaves = factory.CreateGauge("inference_prefix_cache_leaves", "Prefixes that the KV pool holds.", "model").WithLabels(id);

        _accepted = factory.CreateCounter("inference_engine_accepted_requests_total", "Generations that the engine took.", "model").WithLabels(id);
        Counter ended = factory.CreateCounter("inference_engine_ended_requests_total", "Generations that ended, by how.", "model", "outcome");
        _finished = ended.WithLabels(id, "finished");
        _cancelled = ended.WithLabels(id, "cancelled");
        _failed = ended.WithLabels(id, "failed");
        _rejected = factory.CreateCounter("inference_engine_rejected_requests_total", "Generations refused since the queue was full.", "model").WithLabels(id);
        Counter prompt = factory.CreateCounter("inference_prompt_tokens_total", "Prompt tokens, computed or found in the prefix cache.", "model", "source");
        _computed = prompt.WithLabels(id, "computed");
        _cached = prompt.WithLabels(id, "cached");
        _completion = factory.CreateCounter("inference_completion_tokens_total", "Generated tokens.", "model").WithLabels(id);
        _steps = factory.CreateCounter("inference_engine_steps_total", "Decode calls.", "model").WithLabels(id);
        _decodeSteps = factory.CreateCounter("inference_decode_steps_total", "Steps that generated for at least one request.", "model").WithLabels(id);
        _decodeRows = factory.CreateCounter("inference_decode_rows_total",
            "Generating rows of those steps; divided by inference_decode_steps_total: the mean batch.", "model").WithLabels(id);
        _evicted = factory.CreateCounter("inference_evicted_tokens_total", "Cached tokens that made room for others.", "model").WithLabels(id);
        _preemptions = factory.CreateCounter("inference_preemptions_total", "Running requests that made room and resumed later.", "model").WithLabels(id);
        registry.AddBeforeCollectCallback(() => Copy(model.Engine.Snapshot()));
    }

    private void Copy(EngineSnapshot now)
    {
        _waiting.Set(now.WaitingRequests);
        _running.Set(now.RunningRequests);
        _cells.Set(now.CellsTotal);
        _cellsPrivate.Set(now.CellsPrivate);
        _cellsPinned.Set(now.CellsPinned);
        _cellsCached.Set(now.CellsCached);
        _cellsFree.Set(now.CellsFree);
        _leaves.Set(now.CachedLeaves);
        _accepted.IncTo(now.AcceptedRequests);
        _finished.IncTo(now.FinishedRequests);
        _cancelled.IncTo(now.CancelledRequests);
        _failed.IncTo(now.FailedRequests);
        _rejected.IncTo(now.RejectedRequests);
        _computed.IncTo(now.PromptTokensComputed);
        _cached.IncTo(now.PromptTokensCached);
        _completion.IncTo(now.CompletionTokens);
        _steps.IncTo(now.Steps);
        _decodeSteps.IncTo(now.DecodeSteps);
        _decodeRows.IncTo(now.DecodeRows);
        _evicted.IncTo(now.EvictedTokens);
        _preemptions.IncTo(now.Preemptions);
    }
}
