using InferenceServer.Models;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>Models that come and go on demand.</summary>
internal static class HostCollector
{
    /// <param name="changed">Told of each model that was loaded, and of each that is about to go.</param>
    public static void Add(MetricFactory factory, CollectorRegistry registry, ModelHost host, Action<HostedModel, bool> changed)
    {
        host.Changed = changed;
        Counter loads = factory.CreateCounter("inference_model_loads_total", "Loads of models on demand, by outcome.", "outcome");
        Counter.Child loaded = loads.WithLabels("loaded"), failed = loads.WithLabels("failed");
        Counter unloads = factory.CreateCounter("inference_model_unloads_total", "Models that left, idle or to make room.");
        Gauge bytes = factory.CreateGauge("inference_models_on_demand_bytes", "What the models take that were loaded on demand.");
        Gauge waiting = factory.CreateGauge("inference_model_waiting_requests", "Requests that wait for their model to be loaded.");
        registry.AddBeforeCollectCallback(() =>
        {
            loaded.IncTo(host.Loads);
            failed.IncTo(host.FailedLoads);
            unloads.IncTo(host.Unloads);
            bytes.Set(host.Status.Sum(model => model.Bytes));
            waiting.Set(host.Waiting);
        });
    }
}
