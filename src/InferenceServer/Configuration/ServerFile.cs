// server.json as it is written. Its members can be set: the serializer drops the defaults of those that only an initializer sets. What each member means is said here once: the JSON schema that editors use is made of it.

using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Mcp;

namespace InferenceServer.Configuration;

/// <summary>The file.</summary>
internal sealed record ServerFile
{
    [JsonPropertyName("$schema")]
    [Description("The schema that editors check this file with.")]
    public string? Schema { get; set; }

    [Description("Options of the server by their names without the dashes. The command line and the environment come before them.")]
    public IReadOnlyDictionary<string, JsonElement> Options { get; set; } = new Dictionary<string, JsonElement>();

    [Description("Models by the names that requests have for them, besides those of the library. The first is loaded at the start and stays, unless the option model names another.")]
    public IReadOnlyDictionary<string, ModelEntry> Models { get; set; } = new Dictionary<string, ModelEntry>();

    [Description("MCP servers by the names that requests have for them: their tools can be offered to models, and this server runs the calls.")]
    public IReadOnlyDictionary<string, McpServerEntry> Mcp { get; set; } = new Dictionary<string, McpServerEntry>();
}

/// <summary>A model of the file.</summary>
internal sealed record ModelEntry
{
    [Description("A GGUF file, a model of the library by its name, or one to fetch: hf:owner/repo[:quant] or ollama:name[:tag]. What is to be fetched is fetched at the start.")]
    public required string Model { get; set; }

    [Description("Other names of it.")]
    public IReadOnlyList<string> Aliases { get; set; } = [];

    [Description("Options that this model is loaded with instead of the server's.")]
    public IReadOnlyDictionary<string, JsonElement> Options { get; set; } = new Dictionary<string, JsonElement>();

    [Description("Sampling for requests that say nothing else.")]
    public IReadOnlyDictionary<string, JsonElement> Sampling { get; set; } = new Dictionary<string, JsonElement>();

    [Description("A system message for conversations that bring none.")]
    public string? System { get; set; }

    [Description("Keep it loaded once it is, whichever other model needs the room.")]
    public bool Pinned { get; set; }

    [Description("Load it at the start, before anybody asks for it.")]
    public bool Preload { get; set; }

    [Description("Seconds that it stays after its last use; -1 for ever. Default: the option keep-alive.")]
    public int? KeepAlive { get; set; }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false,
    ReadCommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, RespectNullableAnnotations = true, MaxDepth = 16)]
[JsonSerializable(typeof(ServerFile))]
internal sealed partial class ServerFileJson : JsonSerializerContext;
