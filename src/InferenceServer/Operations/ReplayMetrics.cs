using Prometheus;

namespace InferenceServer.Operations;

/// <summary>How often answers are asked for again, and what keeping them takes.</summary>
internal sealed class ReplayMetrics(MetricFactory factory)
{
    private readonly Counter _answered = factory.CreateCounter("inference_replays_total",
        "Requests answered from a recording: replayed, joined while it ran, resumed after an event; or refused for another body, or lost.", "outcome");

    private readonly Counter _withoutReader = factory.CreateCounter("inference_readerless_generations_total",
        "Generations that went on after their last reader left: resumed by another, finished alone, or cancelled when their time was over.", "outcome");

    private readonly Gauge _readerless = factory.CreateGauge("inference_readerless_generations", "Generations that go on without a reader now.");
    private readonly Gauge _answers = factory.CreateGauge("inference_recorded_answers", "Answers that can be asked for again, those that are being made included.");
    private readonly Gauge _bytes = factory.CreateGauge("inference_recorded_bytes", "Memory that answers which can be asked for again take.");

    public void Answered(string outcome) => _answered.WithLabels(outcome).Inc();

    public void ReaderLeft() => _readerless.Inc();

    /// <summary>A generation without a reader was resumed, has finished, or is cancelled.</summary>
    public void WithoutReader(string outcome)
    {
        _readerless.Dec();
        _withoutReader.WithLabels(outcome).Inc();
    }

    public void Holds(int answers, long bytes)
    {
        _answers.Set(answers);
        _bytes.Set(bytes);
    }
}
