using InferenceServer.Api.Streaming;
using InferenceServer.Models;

namespace InferenceServer.Api;

internal static class ModelUse
{
    /// <summary>The model that a request names, loaded if need be, and held until the request is answered.</summary>
    /// <exception cref="RequestProblem">There is none, or it cannot be had now.</exception>
    /// <param name="stream">How the answer is streamed, so that signs of life go out while the model is loaded; null for an answer that comes whole.</param>
    public static ValueTask<ServedModel> UseAsync(this ModelCatalogue models, HttpContext http, string? name, TimeSpan? keepAlive = null, LoadSigns? stream = null)
    {
        ValueTask<ServedModel> use = models.UseAsync(name, http.Response.RegisterForDispose, keepAlive, http.RequestAborted);
        return use.IsCompleted || stream is null ? use : new(stream.WhileAsync(http, use.AsTask(), () => models.OnDemand?.Describe(models.NameOf(name!))));
    }

    /// <summary>As the other, of a model that embeds or ranks.</summary>
    public static ValueTask<ServedEmbedder> UseEmbedderAsync(this ModelCatalogue models, HttpContext http, string name, TimeSpan? keepAlive = null) =>
        models.UseEmbedderAsync(name, http.Response.RegisterForDispose, keepAlive, http.RequestAborted);
}
