using InferenceServer.Llama;
using InferenceServer.Models;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>Memory of models, devices and this process. What changes is read at a scrape.</summary>
internal static class MemoryCollector
{
    // Reading a device is a call into its driver, beside the steps that it computes.
    private static readonly TimeSpan ReadInterval = TimeSpan.FromSeconds(1);

    /// <param name="devices">As they are at that moment.</param>
    public static void Add(MetricFactory factory, CollectorRegistry registry, ModelCatalogue models, Func<IReadOnlyList<LlamaDevice>> devices, TimeProvider clock)
    {
        Gauge memory = factory.CreateGauge("inference_device_memory_bytes", "Memory of a device that llama.cpp uses, whoever takes it, by state: total, or free of that.", "device", "state");
        Gauge process = factory.CreateGauge("process_resident_memory_bytes", "Memory of this process that is in RAM, mapped weights included.");

        Lock gate = new();
        long? last = null;
        registry.AddBeforeCollectCallback(() =>
        {
            lock (gate)
            {
                long now = clock.GetTimestamp();
                if (last is { } read && clock.GetElapsedTime(read, now) < ReadInterval)
                    return;
                last = now;
                process.Set(Environment.WorkingSet);
                // A device that has failed may not come back from a call, or take the process along: then the last numbers stay.
                if (models.Models.Any(model => model.Engine.Failure is not null) || models.Side.Any(model => model.Engine.Failure is not null))
                    return;
                // Helpers such as BLAS have no memory of their own; and where all of it is free nobody has counted (the host, on a Mac).
                foreach (LlamaDevice device in devices().Where(device => device.FreeBytes < device.TotalBytes))
                {
                    memory.WithLabels(device.Name, "total").Set(device.TotalBytes);
                    memory.WithLabels(device.Name, "free").Set(device.FreeBytes);
                }
            }
        });
    }
}
