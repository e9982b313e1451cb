using System.ComponentModel;
using InferenceServer.Api.OpenAI;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>The answer of the health endpoints.</summary>
public sealed record HealthReport(
    [property: Description("ready, starting, draining or failed.")] string Status,
    [property: Description("Why it failed; else null.")] string? Reason,
    string Version, string Model, string Backend, double UptimeSeconds, int WaitingRequests, int RunningRequests, int KvCellsUsed, int KvCellsTotal);

internal sealed class HealthEndpoints(ModelCatalogue models, ServerIdentity identity, Readiness readiness, TimeProvider clock)
{
    private readonly long _started = clock.GetTimestamp();

    /// <summary>200 while the process can work at all: a failed or hung decode thread wants a restart.</summary>
    public Task LiveAsync(HttpContext http) => WriteAsync(http, report => report.Status != "failed");

    /// <summary>200 while a token can be decoded for a new request.</summary>
    public Task ReadyAsync(HttpContext http) => WriteAsync(http, report => report.Status == "ready");

    public Task ReportAsync(HttpContext http) => WriteAsync(http, report => report.Status is "ready" or "starting");

    private Task WriteAsync(HttpContext http, Predicate<HealthReport> healthy)
    {
        HealthReport report = Report();
        // A probe that says "not now" has done what it is there for.
        RequestTrace.Of(http).IsAnsweredAsMeant = true;
        return JsonAnswer.WriteAsync(http, report, ServerJson.Wire.HealthReport,
            healthy(report) ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }

    private HealthReport Report()
    {
        ServedModel model = models.Models[0];
        EngineSnapshot now = model.Engine.Snapshot;
        string? failure = model.Engine.Failure ?? models.Side.Select(model => model.Engine.Failure).FirstOrDefault(reason => reason is not null);
        string status = failure is not null ? "failed" : readiness.IsDraining ? "draining" : readiness.IsWarm ? "ready" : "starting";
        return new HealthReport(status, failure, ServerVersion.Text, model.Id, identity.Backend, Math.Round(clock.GetElapsedTime(_started).TotalSeconds, 3),
            now.WaitingRequests, now.RunningRequests, now.CellsTotal - now.CellsFree, now.CellsTotal);
    }
}
