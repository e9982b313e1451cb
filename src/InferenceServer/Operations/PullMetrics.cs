using Prometheus;

namespace InferenceServer.Operations;

/// <summary>What fetching models over HTTP comes to.</summary>
internal sealed class PullMetrics
{
    private readonly Gauge _running;
    private readonly Counter _ended;
    private readonly Counter _bytes;

    public PullMetrics(MetricFactory factory)
    {
        _running = factory.CreateGauge("inference_pulls", "Models that are being fetched over HTTP now.");
        _ended = factory.CreateCounter("inference_pulls_total", "Pulls that have ended: done, cancelled when the last who listened went away, or failed, with the error's code as the reason.", "outcome");
        _bytes = factory.CreateCounter("inference_pulled_bytes_total", "Bytes of models that were fetched.");
        // So that a rate is there before the first one fails.
        _ended.WithLabels("done");
    }

    public void Begins() => _running.Inc();

    public void Ended(string outcome)
    {
        _running.Dec();
        _ended.WithLabels(outcome).Inc();
    }

    /// <param name="total">Since the start.</param>
    public void Fetched(long total) => _bytes.IncTo(total);
}
