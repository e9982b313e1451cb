using System.ComponentModel;

namespace InferenceServer.Api.OpenAI;

/// <summary>The body of POST /v1/chat/completions/{id}.</summary>
public sealed record MetadataUpdate([property: Description("Up to 16 pairs of text, which replace those that were there; null for none.")] IReadOnlyDictionary<string, string> Metadata);

/// <summary>The answer of DELETE /v1/chat/completions/{id}, and of other deletions.</summary>
public sealed record Deletion(string Id, string Object, bool Deleted);
