using Microsoft.AspNetCore.Authorization;
using Microsoft.Extensions.Primitives;

namespace InferenceServer.Operations;

/// <summary>Lets in whoever has a key, as <c>Authorization: Bearer</c> or <c>x-api-key</c>, and says who it is. Routes that allow anonymous use stay open.</summary>
internal sealed class ApiKeyMiddleware(RequestDelegate next, ApiKeyRing keys)
{
    private const string Scheme = "Bearer ";

    public Task InvokeAsync(HttpContext http)
    {
        if (keys.IsEmpty)
            return next(http);
        string? bearer = Bearer(http.Request.Headers.Authorization);
        StringValues header = http.Request.Headers["x-api-key"];
        ApiKey? key = (bearer is null ? null : keys.Find(bearer)) ?? (header.Count == 1 ? keys.Find(header.ToString()) : null);
        if (key is not null)
            http.Features.Set(key);
        else if (http.GetEndpoint()?.Metadata.GetMetadata<IAllowAnonymous>() is null)
            throw new RequestProblem(ProblemKind.Unauthorized, bearer is null && header.Count == 0
                ? "This server wants an API key: send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
                : "The API key is none of this server's.", code: "invalid_api_key");
        return next(http);
    }

    private static string? Bearer(StringValues header) =>
        header.Count == 1 && header.ToString() is var value && value.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? value[Scheme.Length..].Trim() : null;
}
