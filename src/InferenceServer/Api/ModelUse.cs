using InferenceServer.Models;

namespace InferenceServer.Api;

internal static class ModelUse
{
    /// <summary>The model that a request names, loaded if need be, and held until the request is answered.</summary>
    /// <exception cref="RequestProblem">There is none, or it cannot be had now.</exception>
    public static ValueTask<ServedModel> UseAsync(this ModelCatalogue models, HttpContext http, string? name, TimeSpan? keepAlive = null) =>
        models.UseAsync(name, http.Response.RegisterForDispose, keepAlive, http.RequestAborted);
}
