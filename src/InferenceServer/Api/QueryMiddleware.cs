using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>What a query has that its route does not read is told as unknown fields of a body are: in <c>x-ignored-params</c>, or by a 400 where the server is strict.</summary>
internal sealed class QueryMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext http)
    {
        // Pages and documents have no name; their queries are their own.
        if (http.Request.Query.Count > 0 && http.GetEndpoint()?.Metadata is { } route && route.GetMetadata<IEndpointNameMetadata>() is not null)
        {
            IReadOnlyList<ApiParameter> known = route.GetOrderedMetadata<ApiParameter>();
            IgnoredParameters.Announce(http.Response, [.. http.Request.Query.Keys.Where(name => !known.Any(parameter => parameter.IsMeantBy(name)))]);
        }

        return next(http);
    }
}
