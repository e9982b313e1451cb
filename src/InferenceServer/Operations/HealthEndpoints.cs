using System.ComponentModel;
using System.Reflection;
using InferenceServer.Api;
using InferenceServer.Api.OpenAI;
using InferenceServer.Engine;
using InferenceServer.Models;

namespace InferenceServer.Operations;

/// <summary>The answer of the health endpoints.</summary>
public sealed record HealthReport(
    [property: Description("ready, starting, draining or failed.")] string Status,
    [property: Description("Why it failed; else null.")] string? Reason,
    string Version, string Model, string Backend, double UptimeSeconds, int WaitingRequests, int RunningRequests, int KvCellsUsed, int KvCellsTotal);

/// <summary>Whether the server has shown that it can decode, and whether it is going down. Written by start and stop, read by anyone.</summary>
internal sealed class Readiness
{
    /// <summary>With <see cref="OwnSecret"/> in this header a request is the server's own, by which it warms up.</summary>
    public const string OwnHeader = "X-Warm-Up";

    private volatile bool _warm;
    private volatile bool _draining;

    public string OwnSecret { get; } = Guid.NewGuid().ToString("N");

    public bool IsWarm => _warm;

    public bool IsDraining => _draining;

    /// <summary>Its own requests are no user's: not logged, and not in the metrics of requests.</summary>
    public bool IsOwn(HttpRequest request) => !_warm && request.Headers[OwnHeader] == OwnSecret;

    public void BecameWarm() => _warm = true;

    public void Drains() => _draining = true;
}

internal sealed class HealthEndpoints(ModelCatalogue models, ServerIdentity identity, Readiness readiness, TimeProvider clock)
{
    private readonly long _started = clock.GetTimestamp();

    public static string Version { get; } =
        typeof(HealthEndpoints).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>200 while the process can work at all: a failed or hung decode thread wants a restart.</summary>
    public Task LiveAsync(HttpContext http) => WriteAsync(http, report => report.Status != "failed");

    /// <summary>200 while a token can be decoded for a new request.</summary>
    public Task ReadyAsync(HttpContext http) => WriteAsync(http, report => report.Status == "ready");

    public Task ReportAsync(HttpContext http) => WriteAsync(http, report => report.Status is "ready" or "starting");

    private Task WriteAsync(HttpContext http, Predicate<HealthReport> healthy)
    {
        HealthReport report = Report();
        return JsonAnswer.WriteAsync(http, report, OpenAIJson.Wire.HealthReport,
            healthy(report) ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }

    private HealthReport Report()
    {
        ServedModel model = models.Models[0];
        EngineSnapshot now = model.Engine.Snapshot();
        string? failure = model.Engine.Failure() ?? models.Side.Select(model => model.Failure()).FirstOrDefault(reason => reason is not null);
        string status = failure is not null ? "failed" : readiness.IsDraining ? "draining" : readiness.IsWarm ? "ready" : "starting";
        return new HealthReport(status, failure, Version, model.Id, identity.Backend, Math.Round(clock.GetElapsedTime(_started).TotalSeconds, 3),
            now.WaitingRequests, now.RunningRequests, now.CellsTotal - now.CellsFree, now.CellsTotal);
    }
}

/// <summary>What the server says of itself.</summary>
/// <param name="Backend">The backend and why it was chosen.</param>
internal sealed record ServerIdentity(string Backend);
