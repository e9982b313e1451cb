namespace InferenceServer.Operations;

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
