using Prometheus;

namespace InferenceServer.Store;

/// <summary>What keeping things takes, read at each scrape.</summary>
internal static class StoreCollector
{
    public static void Register(MetricFactory factory, CollectorRegistry registry, Database database)
    {
        Counter writes = factory.CreateCounter("inference_store_writes_total", "Changes to what is stored: made, and on the disk; or failed.", "outcome");
        Counter commits = factory.CreateCounter("inference_store_commits_total", "Flushes of the store to the disk; changes that wait together share one.");
        Counter seconds = factory.CreateCounter("inference_store_commit_seconds_total", "Time spent on flushes of the store to the disk; divided by inference_store_commits_total: the mean.");
        Counter deleted = factory.CreateCounter("inference_store_deleted_total", "Stored entries that were deleted for their age, or because too much was stored.");
        Gauge bytes = factory.CreateGauge("inference_store_bytes", "Size of the store's files.");
        registry.AddBeforeCollectCallback(() =>
        {
            StoreSnapshot snapshot = database.Snapshot;
            writes.WithLabels("made").IncTo(snapshot.Writes);
            writes.WithLabels("failed").IncTo(snapshot.FailedWrites);
            commits.IncTo(snapshot.Commits);
            seconds.IncTo(snapshot.CommitSeconds);
            deleted.IncTo(snapshot.Deleted);
            bytes.Set(database.FileBytes);
        });
    }
}
