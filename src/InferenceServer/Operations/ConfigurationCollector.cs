using InferenceServer.Configuration;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>How often server.json was read anew.</summary>
internal static class ConfigurationCollector
{
    public static void Add(MetricFactory factory, CollectorRegistry registry, LiveConfiguration configuration)
    {
        Counter reloads = factory.CreateCounter("inference_config_reloads_total", "Changes of server.json by outcome: in effect, or refused for a mistake in it.", "outcome");
        Counter.Child done = reloads.WithLabels("done"), failed = reloads.WithLabels("failed");
        registry.AddBeforeCollectCallback(() =>
        {
            done.IncTo(configuration.Reloads);
            failed.IncTo(configuration.FailedReloads);
        });
    }
}
