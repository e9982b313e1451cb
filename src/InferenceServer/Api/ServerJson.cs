using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Operations;

namespace InferenceServer.Api;

/// <summary>How JSON for clients is written.</summary>
internal static class WireJson
{
    /// <summary>Snake case; characters beyond ASCII and &lt; are left as they are: this is JSON for programs, never embedded in HTML.</summary>
    public static JsonSerializerOptions Options() => new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
}

/// <summary>What belongs to no dialect: how the server is, its sessions, its latest requests, and the reports that a reply may carry.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(SessionList))]
[JsonSerializable(typeof(SessionDeletion))]
[JsonSerializable(typeof(CacheUse))]
[JsonSerializable(typeof(RequestTiming))]
[JsonSerializable(typeof(HealthReport))]
[JsonSerializable(typeof(RequestList))]
internal sealed partial class ServerJson : JsonSerializerContext
{
    public static ServerJson Wire { get; } = new(WireJson.Options());
}
