using InferenceServer.Mcp;
using Prometheus;

namespace InferenceServer.Operations;

/// <summary>What calling tools of MCP servers comes to.</summary>
internal sealed class McpMetrics(MetricFactory factory)
{
    private readonly Counter _calls = factory.CreateCounter("inference_mcp_calls_total",
        "Calls of MCP servers' tools by server and outcome: ok, tool_error (the tool says that it failed), refused (by its server), timeout, cancelled, or failed (on the way).", "server", "outcome");

    private readonly Histogram _seconds = factory.CreateHistogram("inference_mcp_call_seconds", "From a call of an MCP server's tool to its result, the wait for its turn included.",
        ["server"], new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 17) });

    public void Ended(McpCallEnd end)
    {
        _calls.WithLabels(end.Server, end.Outcome).Inc();
        _seconds.WithLabels(end.Server).Observe(end.Seconds);
    }
}
