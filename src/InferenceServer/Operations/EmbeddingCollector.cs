using InferenceServer.Engine.Embedding;
using InferenceServer.Models;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>One embedding model's gauges and counters, read from its snapshot at each scrape.</summary>
internal sealed class EmbeddingCollector
{
    private readonly ServedEmbedder _model;
    private readonly Gauge.Child _waiting;
    private readonly Counter.Child _inputs, _tokens, _batches, _failed, _seconds;
    private readonly List<Action> _removals = [];

    public EmbeddingCollector(MetricFactory factory, ServedEmbedder model)
    {
        _model = model;
        Of(factory.CreateGauge("inference_model_bytes", "Weights of a loaded model.", "model")).Set(model.File.SizeBytes);
        _waiting = Of(factory.CreateGauge("inference_embedding_requests_waiting", "Requests that an embedding model has not computed yet.", "model"));
        _inputs = Of(factory.CreateCounter("inference_embedding_inputs_total", "Texts embedded or ranked.", "model"));
        _tokens = Of(factory.CreateCounter("inference_embedding_tokens_total", "Tokens of texts that were embedded or ranked.", "model"));
        _batches = Of(factory.CreateCounter("inference_embedding_batches_total", "Calls that embed or rank texts, several at once.", "model"));
        _failed = Of(factory.CreateCounter("inference_embedding_failed_batches_total", "Calls that embed or rank texts and failed.", "model"));
        _seconds = Of(factory.CreateCounter("inference_embedding_batch_seconds_total", "Time spent in calls that embed or rank texts.", "model"));
    }

    public void Read()
    {
        EmbeddingSnapshot now = _model.Engine.Snapshot;
        _waiting.Set(now.WaitingRequests);
        _inputs.IncTo(now.Inputs);
        _tokens.IncTo(now.Tokens);
        _batches.IncTo(now.Batches);
        _failed.IncTo(now.FailedBatches);
        _seconds.IncTo(now.BatchSeconds);
    }

    /// <summary>Takes the model's series away: it was unloaded.</summary>
    public void Remove() => _removals.ForEach(remove => remove());

    private T Of<T>(Collector<T> collector)
        where T : ChildBase
    {
        _removals.Add(() => collector.RemoveLabelled(_model.Id));
        return collector.WithLabels(_model.Id);
    }
}
