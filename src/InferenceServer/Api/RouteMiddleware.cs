using InferenceServer.Operations;
using InferenceServer.Store;

namespace InferenceServer.Api;

/// <summary>
/// What a route's description asks for before its handler runs. Requests to models are put among the recent ones of whoever asks. What a query has that the route
/// does not read is told as unknown fields of a body are: in <c>x-ignored-params</c>, or by a 400 where the server is strict. After the keys, which say who asks.
/// </summary>
internal sealed class RouteMiddleware(RequestDelegate next, RecentRequests recent, Readiness readiness)
{
    public Task InvokeAsync(HttpContext http)
    {
        if (http.GetEndpoint() is not RouteEndpoint route)
            return next(http);
        if (route.Metadata.GetMetadata<ModelRoute>() is not null && !readiness.IsOwn(http.Request))
            recent.Begin(StoreOwner.Of(http), route.RoutePattern.RawText!, RequestTrace.Of(http));
        // Pages and documents have no name; their queries are their own.
        if (http.Request.Query.Count > 0 && route.Metadata.GetMetadata<IEndpointNameMetadata>() is not null)
        {
            IReadOnlyList<ApiParameter> known = route.Metadata.GetOrderedMetadata<ApiParameter>();
            IgnoredParameters.Announce(http.Response, [.. http.Request.Query.Keys.Where(name => !known.Any(parameter => parameter.IsMeantBy(name)))]);
        }

        return next(http);
    }
}
