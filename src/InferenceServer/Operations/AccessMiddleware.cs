using System.Net;
using Microsoft.AspNetCore.Authorization;
using Microsoft.Extensions.Primitives;

namespace InferenceServer.Operations;

/// <summary>
/// Who may ask. A request under a name that is not this machine's is refused: a page of evil.example whose name was made to point to 127.0.0.1 is of the same origin
/// as the server for the browser, whatever CORS says; but its requests carry its own name in Host, and an address cannot be made to point elsewhere. Where the server
/// has keys, whoever has one is let in, as <c>Authorization: Bearer</c> or <c>x-api-key</c>, and known by it; routes that allow anonymous use stay open.
/// </summary>
internal sealed class AccessMiddleware(RequestDelegate next, WebHostOptions options)
{
    private const string Scheme = "Bearer ";

    private readonly ApiKeyRing _keys = options.Access.Keys;
    private readonly bool _checksHost = options.Access.AllowedHosts.Count > 0 || (IPAddress.TryParse(options.Host, out IPAddress? address) && IPAddress.IsLoopback(address));

    public Task InvokeAsync(HttpContext http)
    {
        string host = http.Request.Host.Host;
        if (_checksHost && host.Length > 0 && !BrowserAccess.IsPrivateName(host) && !IPAddress.TryParse(host, out _)
            && !options.Access.AllowedHosts.Contains(host, StringComparer.OrdinalIgnoreCase))
            throw new RequestProblem(ProblemKind.Forbidden,
                "The request's Host is no name of this machine; start the server with --allowed-host to serve under it.", "Host", "host_not_allowed");
        // Here bodies need no content type, so a browser posts for any site without asking first.
        if (http.Request.Path.StartsWithSegments("/api") && http.Request.Headers.Origin.ToString() is { Length: > 0 } origin && !BrowserAccess.MayUse(http.Request, origin, options.Access))
            throw new RequestProblem(ProblemKind.Forbidden, "Pages of this Origin may not use the server; start it with --cors-origin to allow them.", "Origin", "origin_not_allowed");
        if (!_keys.IsEmpty)
            CheckKey(http);
        return next(http);
    }

    private void CheckKey(HttpContext http)
    {
        string? bearer = Bearer(http.Request.Headers.Authorization);
        StringValues header = http.Request.Headers["x-api-key"];
        ApiKey? key = (bearer is null ? null : _keys.Find(bearer)) ?? (header.Count == 1 ? _keys.Find(header.ToString()) : null);
        if (key is not null)
            http.Features.Set(key);
        else if (http.GetEndpoint()?.Metadata.GetMetadata<IAllowAnonymous>() is null)
            throw new RequestProblem(ProblemKind.Unauthorized, bearer is null && header.Count == 0
                ? "This server wants an API key: send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
                : "The API key is none of this server's.", code: "invalid_api_key");
    }

    private static string? Bearer(StringValues header) =>
        header.Count == 1 && header.ToString() is var value && value.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? value[Scheme.Length..].Trim() : null;
}
