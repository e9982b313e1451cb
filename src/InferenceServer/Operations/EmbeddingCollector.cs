using InferenceServer.Engine.Embedding;
using InferenceServer.Models;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>One embedding model's gauges and counters, read from its snapshot at each scrape.</summary>
internal static class EmbeddingCollector
{
    public static void Add(MetricFactory factory, CollectorRegistry registry, ServedEmbedder model)
    {
        Gauge.Child waiting = factory.CreateGauge("inference_embedding_requests_waiting", "Requests that an embedding model has not computed yet.", "model").WithLabels(model.Id);
        Counter.Child inputs = Count("inference_embedding_inputs_total", "Texts embedded or ranked.");
        Counter.Child tokens = Count("inference_embedding_tokens_total", "Tokens of texts that were embedded or ranked.");
        Counter.Child batches = Count("inference_embedding_batches_total", "Calls that embed or rank texts, several at once.");
        Counter.Child failed = Count("inference_embedding_failed_batches_total", "Calls that embed or rank texts and failed.");
        Counter.Child seconds = Count("inference_embedding_batch_seconds_total", "Time spent in calls that embed or rank texts.");
        registry.AddBeforeCollectCallback(() =>
        {
            EmbeddingSnapshot now = model.Engine.Snapshot;
            waiting.Set(now.WaitingRequests);
            inputs.IncTo(now.Inputs);
            tokens.IncTo(now.Tokens);
            batches.IncTo(now.Batches);
            failed.IncTo(now.FailedBatches);
            seconds.IncTo(now.BatchSeconds);
        });

        Counter.Child Count(string name, string help) => factory.CreateCounter(name, help, "model").WithLabels(model.Id);
    }
}
