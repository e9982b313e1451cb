// What pages in a browser may do with a server that runs on somebody's own machine.

using System.Net;
using Microsoft.AspNetCore.Cors.Infrastructure;

namespace InferenceServer.Operations;

/// <summary>Whose pages may read our answers, and under which names the server may be spoken to.</summary>
internal sealed record AccessOptions
{
    public ApiKeyRing Keys { get; init; } = new([]);

    /// <summary>Origins whose pages may use the API; * for all, none for those of this machine.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>Names, besides this machine's own and addresses, that requests may have in Host; with any given, others are refused wherever the server listens.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];
}

internal static class BrowserAccess
{
    /// <summary>Headers of ours that a page may read.</summary>
    private static readonly string[] Exposed =
        ["x-request-id", "request-id", "x-ignored-params", "x-conversation-adapted", "x-loosened-schemas", "x-moderation", "x-stream-id", "x-idempotent-replayed", "retry-after", "x-queue-position", "x-queue-estimated-start"];

    public static void Configure(CorsPolicyBuilder policy, AccessOptions access)
    {
        policy.AllowAnyHeader().AllowAnyMethod().WithExposedHeaders(Exposed).SetPreflightMaxAge(TimeSpan.FromMinutes(10));
        if (access.CorsOrigins.Contains("*"))
            policy.AllowAnyOrigin();
        else if (access.CorsOrigins.Count > 0)
            policy.WithOrigins([.. access.CorsOrigins]);
        else
            policy.SetIsOriginAllowed(IsLocal);
    }

    /// <summary>Whether pages of an origin may use the API, as the policy above says; a page of this server itself needs no permission.</summary>
    public static bool MayUse(HttpRequest request, string origin, AccessOptions access) =>
        access.CorsOrigins.Contains("*")
        || (access.CorsOrigins.Count > 0 ? access.CorsOrigins.Contains(origin, StringComparer.OrdinalIgnoreCase) : IsLocal(origin))
        // A proxy before us may have another scheme.
        || (Uri.TryCreate(origin, UriKind.Absolute, out Uri? page) && page.Authority.Equals(request.Host.Value, StringComparison.OrdinalIgnoreCase));

    /// <summary>
    /// A page that this machine serves, or that came with an app which somebody installed: no site has such a scheme. A file's origin is "null", and so is every
    /// sandboxed page's: those are anybody's.
    /// </summary>
    public static bool IsLocal(string origin) =>
        Uri.TryCreate(origin, UriKind.Absolute, out Uri? uri) && (uri.Scheme is "app" or "tauri" or "vscode-webview" or "capacitor" || (uri.Scheme is "http" or "https" && IsLocalName(uri.Host)));

    /// <summary>An origin as browsers write it: scheme, host and perhaps a port.</summary>
    public static bool IsOrigin(string text) => text == "*"
        || (Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) && uri is { Host.Length: > 0, UserInfo: "", PathAndQuery: "/" or "", Fragment: "" } && !text.EndsWith('/'));

    /// <summary>
    /// Whether a name in Host cannot be one that an attacker made to point here: this machine's own, or one that no public name server may have. RFC 6762 keeps .local for
    /// the local network, and ICANN keeps .internal for private use, as Docker does with host.docker.internal.
    /// </summary>
    public static bool IsPrivateName(string host)
    {
        string name = host.EndsWith('.') ? host[..^1] : host;
        return IsLocalName(name) || name.EndsWith(".local", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".internal", StringComparison.OrdinalIgnoreCase);
    }

    public static bool IsLocalName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host, out IPAddress? address) && IPAddress.IsLoopback(address));
}
