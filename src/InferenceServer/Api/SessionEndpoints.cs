using System.ComponentModel;
using InferenceServer.Api.OpenAI;
using InferenceServer.Engine;
using InferenceServer.Models;
using InferenceServer.Operations;
using Microsoft.AspNetCore.Http.Features;

namespace InferenceServer.Api;

/// <summary>The answer of GET /v1/sessions.</summary>
public sealed record SessionList(string Object, IReadOnlyList<SessionDescription> Data);

public sealed record SessionDescription(
    string Id, string Object,
    [property: Description("The model whose cache holds it.")] string Model,
    [property: Description("Tokens of the newest turn that the next one would find.")] int Tokens,
    [property: Description("Where these tokens are.")] SessionTiers Tiers,
    [property: Description("Unix time at which a turn last ended.")] long LastUsed);

/// <param name="Kv">In the KV pool.</param>
/// <param name="Host">In host memory.</param>
/// <param name="Disk">On disk only.</param>
public sealed record SessionTiers(int Kv, int Host, int Disk);

public sealed record SessionDeletion(string Id, string Object, bool Deleted);

/// <summary>
/// GET /v1/sessions and DELETE /v1/sessions/{id}: the conversations that requests named with X-Session-Id or prompt_cache_key. The header
/// X-Cache-Salt is what cache_salt is to a request: it says, within those of the API key, whose sessions are meant. No other namespace's can be seen or dropped.
/// </summary>
internal sealed class SessionEndpoints(ModelCatalogue models)
{
    private const string SaltHeader = "X-Cache-Salt";

    public static readonly ApiParameter Salt = new(SaltHeader, "As cache_salt in requests: whose sessions are meant.", Microsoft.OpenApi.ParameterLocation.Header);

    public async Task ListAsync(HttpContext http)
    {
        string cacheNamespace = Namespace(http);
        List<SessionDescription> sessions = [];
        foreach (ServedModel model in models.Models)
            foreach (CachedSession session in await model.Engine.ListSessionsAsync(cacheNamespace))
                sessions.Add(Describe(session, model));
        await JsonAnswer.WriteAsync(http, new SessionList("list", sessions), ServerJson.Wire.SessionList);
    }

    public async Task DropAsync(HttpContext http)
    {
        string id = IdIn(http);
        bool dropped = false;
        foreach (ServedModel model in models.Models)
            dropped |= await model.Engine.DropSessionAsync(Namespace(http), id);
        if (!dropped)
            throw new RequestProblem(ProblemKind.NotFound, $"There is no session '{id}' here.", "id", "session_not_found");
        await JsonAnswer.WriteAsync(http, new SessionDeletion(id, "session.deleted", true), ServerJson.Wire.SessionDeletion);
    }

    /// <summary>From the target as it was sent: routing leaves %2F as it is, and an id may hold a slash.</summary>
    private static string IdIn(HttpContext http)
    {
        string target = http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        string path = target.Split('?')[0];
        return Uri.UnescapeDataString(path[(path.LastIndexOf('/') + 1)..]);
    }

    private static string Namespace(HttpContext http) => ApiKey.Of(http).CacheNamespace(http.Request.Headers[SaltHeader].ToString());

    private static SessionDescription Describe(CachedSession session, ServedModel model) => new(
        session.Id, "session", model.Id, session.Tokens, new SessionTiers(session.PoolTokens, session.HostTokens, session.DiskTokens),
        session.LastUsed.ToUnixTimeSeconds());
}
